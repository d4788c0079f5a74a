using System.Diagnostics;
using System.Globalization;
using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>Packets whose fields lie in intervals, and the number that a diagram gives all of them.</summary>
/// <param name="Protocol">IANA numbers, inclusive.</param>
/// <param name="Transport">See <see cref="TransportSize"/>.</param>
/// <param name="Destination">Destination ports; all of them for protocols without ports.</param>
/// <param name="Source">Source ports; likewise.</param>
/// <param name="Flags">TCP flags.</param>
/// <param name="Value">The diagram's leaf.</param>
internal readonly record struct PacketBox(
    PortRange Protocol, PortRange Transport, PortRange Destination, PortRange Source, PortRange Flags, int Value)
{
    public static readonly PacketBox All = new(
        new PortRange(0, 255), new PortRange(0, TransportSize.Max), PortRange.All, PortRange.All,
        new PortRange(0, 255), Value: 0);

    public PacketBox With(PacketField field, ushort first, ushort last)
    {
        var range = new PortRange(first, last);
        return field switch
        {
            PacketField.Protocol => this with { Protocol = range },
            PacketField.Transport => this with { Transport = range },
            PacketField.Destination => this with { Destination = range },
            PacketField.Source => this with { Source = range },
            PacketField.Flags => this with { Flags = range },
            >= PacketField.JudgedIn and <= PacketField.OwnDestination => this, // a box is of packets
            _ => throw new UnreachableException(),
        };
    }

    /// <summary>A packet of the box. Of ports the lowest, but not 0 if there is another.</summary>
    public PacketPoint Sample => new(
        (byte)Protocol.First, Some(Destination), Some(Source), Transport.Last,
        Flags.Contains((byte)TcpFlags.Syn) ? (byte)TcpFlags.Syn : (byte)Flags.First);

    private static ushort Some(PortRange range) => range is { First: 0, Last: > 0 } ? (ushort)1 : range.First;

    /// <summary>"tcp 80-443", "udp 53 from 1024-65535", "protocols 0-5".</summary>
    public override string ToString()
    {
        string name = (Protocol.First, Protocol.Last) switch
        {
            (0, 255) => "every protocol",
            (IpProtocol.Icmp, IpProtocol.Icmp) => "icmp",
            (IpProtocol.Tcp, IpProtocol.Tcp) => "tcp",
            (IpProtocol.Udp, IpProtocol.Udp) => "udp",
            (IpProtocol.Gre, IpProtocol.Gre) => "gre",
            (IpProtocol.Icmpv6, IpProtocol.Icmpv6) => "icmpv6",
            var (first, last) when first == last => Text("protocol", Protocol),
            _ => Text("protocols", Protocol),
        };
        string to = Destination == PortRange.All ? "" : Text("", Destination);
        string from = Source == PortRange.All ? "" : Text(" from", Source);
        return name + to + from;
    }

    private static string Text(string word, PortRange range) => range.First == range.Last
        ? string.Create(CultureInfo.InvariantCulture, $"{word} {range.First}")
        : string.Create(CultureInfo.InvariantCulture, $"{word} {range.First}-{range.Last}");
}
