using System.Globalization;
using System.Net;
using Agent.Policy;

namespace Agent.Evaluator;

/// <summary>What a rule can see of a packet. IPv4 addresses occupy the low 32 bits.</summary>
/// <param name="Family">Family of both addresses.</param>
/// <param name="Source">Sender's address.</param>
/// <param name="Destination">Receiver's address.</param>
/// <param name="Protocol">IANA number of the upper layer, behind all IPv6 extension headers.</param>
/// <param name="SourcePort">Meaningful for TCP and UDP only; otherwise 0.</param>
/// <param name="DestinationPort">Meaningful for TCP and UDP only; otherwise 0.</param>
public readonly record struct PacketTuple(
    IpFamily Family,
    UInt128 Source,
    UInt128 Destination,
    byte Protocol,
    ushort SourcePort = 0,
    ushort DestinationPort = 0)
{
    /// <summary>The tuple of a packet that answers this one.</summary>
    public PacketTuple Reversed => new(Family, Destination, Source, Protocol, DestinationPort, SourcePort);

    /// <summary>Builds a tuple from two addresses in text, of one family.</summary>
    /// <exception cref="FormatException">An address is not one, or the families differ.</exception>
    public static PacketTuple Of(
        string source, string destination, byte protocol, ushort sourcePort = 0, ushort destinationPort = 0)
    {
        IpPrefix from = IpPrefix.Parse(source);
        IpPrefix to = IpPrefix.Parse(destination);
        return from.Family == to.Family && from.IsHost && to.IsHost
            ? new PacketTuple(from.Family, from.Bits, to.Bits, protocol, sourcePort, destinationPort)
            : throw new FormatException($"'{source}' and '{destination}' are not two addresses of one family");
    }

    /// <summary>The address at the other end, as the guest sees it.</summary>
    public UInt128 Remote(Direction direction) => direction == Direction.Ingress ? Source : Destination;

    /// <summary>The guest's own address.</summary>
    public UInt128 Own(Direction direction) => direction == Direction.Ingress ? Destination : Source;

    /// <summary>"tcp 10.0.0.8:4711 -> 10.1.2.3:22", "udp [2001:db8::8]:5 -> [2001:db8::1]:53", "icmp a -> b".</summary>
    public override string ToString()
    {
        IPAddress from = IpPrefix.AddressOf(Family, Source);
        IPAddress to = IpPrefix.AddressOf(Family, Destination);
        return IpProtocol.HasPorts(Protocol)
            ? $"{Name} {new IPEndPoint(from, SourcePort)} -> {new IPEndPoint(to, DestinationPort)}"
            : $"{Name} {from} -> {to}";
    }

    private string Name => Protocol switch
    {
        IpProtocol.Icmp => "icmp",
        IpProtocol.Tcp => "tcp",
        IpProtocol.Udp => "udp",
        IpProtocol.Gre => "gre",
        IpProtocol.Icmpv6 => "icmpv6",
        _ => string.Create(CultureInfo.InvariantCulture, $"protocol {Protocol}"),
    };
}

/// <summary>What the fabric says about a packet besides its bytes.</summary>
/// <param name="Mark">The packet mark on arrival, before any chain of ours ran (semantics.md 9.16).</param>
public readonly record struct PacketContext(uint Mark);
