using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>A reported packet as a line.</summary>
internal static class DropText
{
    private const uint Arp = 0x0806;

    /// <summary>
    /// "17:55:41.123 eni-web1 in tcp 198.51.100.7:4711 -> 10.0.1.11:22 [S] 60 B: rule sg-web/no-ssh, 02:00:00:00:00:01"
    /// </summary>
    public static void Print(Screen screen, DropRecord record)
    {
        if (record.LostBefore > 0)
        {
            screen.Line((string.Create(
                CultureInfo.InvariantCulture, $"{record.LostBefore} records were lost: this reader is too slow"),
                Screen.Warning));
        }

        string vnic = record.VnicId is "" or "unknown" ? record.InterfaceName : record.VnicId;
        screen.Line(
            (record.Time.ToDateTime().ToString("HH:mm:ss.fff ", CultureInfo.InvariantCulture), Screen.Dim),
            ($"{vnic} {(record.Direction == Direction.Ingress ? "in" : "out")} ", Screen.Plain),
            (PacketOf(record), Screen.Plain),
            ($": {Because(record)}", record.Verdict == V1.Policy.Accept ? Screen.Good : Screen.Bad),
            (record.GuestMac.Length > 0 ? $", {record.GuestMac}" : "", Screen.Dim));
    }

    private static string PacketOf(DropRecord record)
    {
        Packet packet = record.Packet;
        if (packet.Source.Length == 0)
        {
            return string.Create(CultureInfo.InvariantCulture, $"ethertype 0x{record.EtherType:x4}");
        }

        if (packet.Protocol.Length == 0)
        {
            return $"{packet.Source} -> {packet.Destination}, headers that cannot be followed";
        }

        string ends = record.EtherType == Arp
            ? $"arp {packet.Source} -> {packet.Destination}" : SessionText.Ends(packet);
        string flags = record.TcpFlags.Length > 0 ? $" [{record.TcpFlags}]" : "";
        string type = record.HasIcmpType ? string.Create(
            CultureInfo.InvariantCulture, $" type {record.IcmpType} code {record.IcmpCode}") : "";
        string part = record.LaterFragment ? " later fragment" : "";
        string length = record.LengthBytes > 0
            ? string.Create(CultureInfo.InvariantCulture, $" {record.LengthBytes} B") : "";
        return $"{ends}{flags}{type}{part}{length}";
    }

    private static string Because(DropRecord record) => record.Reason switch
    {
        "rule" => $"rule {record.Rule}",
        "default" => "default",
        var reason => record.Rule.Length == 0 ? reason : $"{reason}, {record.Rule}",
    };
}
