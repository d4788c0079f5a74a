using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Agent.Evaluator.Explaining;
using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>A record as one line of JSON: what is not known is not there.</summary>
internal static class DropJson
{
    private static readonly JsonWriterOptions Options = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // it goes to files and journals, never into a page
    };

    /// <param name="record">The record.</param>
    /// <param name="lostBefore">Records that were lost before it; not written if none were.</param>
    public static string Line(DropRecord record, long lostBefore = 0)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, Options))
        {
            json.WriteStartObject();
            json.WriteString("time", record.Time.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
            Write(json, "vnic", record.VnicId);
            json.WriteString("interface", record.Interface);
            json.WriteString("direction", record.Direction == Direction.Ingress ? "ingress" : "egress");
            json.WriteString("verdict", record.IsAccepted ? "accept" : "drop");
            json.WriteString("reason", record.Reason);
            Write(json, "rule", record.Rule);
            Write(json, record.Packet);
            Write(json, "mac", record.GuestMac?.ToString());
            Write(json, "vlan", record.VlanId);
            Write(json, "lost_before", lostBefore == 0 ? null : lostBefore);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.GetBuffer().AsSpan(0, (int)text.Length));
    }

    /// <summary>"S", "SA", "RA": as tcpdump's letters, PSH and URG too.</summary>
    public static string FlagsOf(byte flags) => string.Concat("FSRPAU".Where((_, bit) => (flags >> bit & 1) != 0));

    /// <returns>A protocol's name; "arp"; empty for what cannot be read.</returns>
    public static string ProtocolOf(PacketHeaders packet) => packet.IsArp ? "arp"
        : packet.Protocol is byte protocol ? PacketText.NameOf(protocol) : "";

    private static void Write(Utf8JsonWriter json, PacketHeaders packet)
    {
        Write(json, "protocol", ProtocolOf(packet));
        Write(json, "source", packet.Source?.ToString());
        Write(json, "source_port", packet.SourcePort);
        Write(json, "destination", packet.Destination?.ToString());
        Write(json, "destination_port", packet.DestinationPort);
        Write(json, "tcp_flags", packet.TcpFlags is byte flags ? FlagsOf(flags) : null);
        Write(json, "icmp_type", packet.IcmpType);
        Write(json, "icmp_code", packet.IcmpCode);
        Write(json, "length", packet.LengthBytes == 0 ? null : packet.LengthBytes);
        Write(json, "ether_type", packet.EtherType);
        if (packet.IsLaterFragment)
        {
            json.WriteBoolean("later_fragment", true);
        }
    }

    private static void Write(Utf8JsonWriter json, string name, string? value)
    {
        if (!string.IsNullOrEmpty(value))
        {
            json.WriteString(name, value);
        }
    }

    private static void Write(Utf8JsonWriter json, string name, long? value)
    {
        if (value is long number)
        {
            json.WriteNumber(name, number);
        }
    }
}
