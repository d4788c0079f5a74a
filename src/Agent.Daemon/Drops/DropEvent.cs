using System.Globalization;
using Agent.Daemon.Logging;
using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>A record as an entry of the log: its line of JSON, and the fields that one looks for.</summary>
internal static class DropEvent
{
    /// <param name="record">The record.</param>
    /// <param name="lostBefore">Records that were lost before it.</param>
    public static LogEntry Of(DropRecord record, long lostBefore)
    {
        PacketHeaders packet = record.Packet;
        return new LogEntry(record.Time, LogLevel.Information, EventLog.Ours, DropJson.Line(record, lostBefore))
        {
            Event = record.IsAccepted ? Log.Accepted : Log.Dropped,
            Fields =
            [
                (FieldName.Of("Vnic"), record.VnicId),
                (FieldName.Of("Interface"), record.Interface),
                (FieldName.Of("Direction"), record.Direction == Direction.Ingress ? "ingress" : "egress"),
                (FieldName.Of("Reason"), record.Reason),
                (FieldName.Of("Rule"), record.Rule),
                (FieldName.Of("Protocol"), DropJson.ProtocolOf(packet)),
                (FieldName.Of("Source"), packet.Source?.ToString() ?? ""),
                (FieldName.Of("SourcePort"), Number(packet.SourcePort)),
                (FieldName.Of("Destination"), packet.Destination?.ToString() ?? ""),
                (FieldName.Of("DestinationPort"), Number(packet.DestinationPort)),
                (FieldName.Of("Mac"), record.GuestMac?.ToString() ?? ""),
                (FieldName.Of("LostBefore"), lostBefore == 0 ? "" : Number(lostBefore)),
            ],
        };
    }

    private static string Number(long? value) => value?.ToString(CultureInfo.InvariantCulture) ?? "";
}
