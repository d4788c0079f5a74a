using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>A packet as connection tracking and policy see it.</summary>
/// <param name="Tuple">Its addresses and ports.</param>
public sealed record SessionPacket(PacketTuple Tuple)
{
    /// <summary>TCP flags; ICMP type, code and identifier.</summary>
    public PacketShape Shape { get; init; } = PacketShape.Default;

    /// <summary>The packet that an ICMP error quotes; null if it quotes none that can be read.</summary>
    public SessionPacket? Quoted { get; init; }

    /// <summary>The packet mark on arrival.</summary>
    public uint Mark { get; init; }

    public byte IcmpType => Shape.IcmpTypeOf(Tuple.Family);

    public bool IsIcmp => Tuple.Protocol is IpProtocol.Icmp or IpProtocol.Icmpv6;

    /// <summary>By which conntrack looks for the packet's session.</summary>
    public FlowKey KeyIn(string zone) => IsIcmp
        ? new FlowKey(zone, Tuple, Shape.IcmpId, IcmpType, Shape.IcmpCode) : new FlowKey(zone, Tuple);

    public override string ToString() => Tuple.Protocol == IpProtocol.Tcp ? $"{Tuple} {Shape.Tcp}"
        : IsIcmp ? $"{Tuple} type {IcmpType} id {Shape.IcmpId}{(Quoted is null ? "" : $" about [{Quoted}]")}"
        : Tuple.ToString();
}

/// <summary>Which devices of the host a packet passes.</summary>
/// <param name="In">Where it came from; empty: the host itself sends it.</param>
/// <param name="Out">Where it is routed to; empty: the host itself takes it.</param>
public readonly record struct Way(string In, string Out);

/// <summary>One direction of a session in its zone: what conntrack knows it by.</summary>
/// <param name="Zone">Id of the listed VPC; empty: the zone that all others share.</param>
/// <param name="Tuple">Addresses, protocol and ports of this direction.</param>
/// <param name="IcmpId">Identifier of an ICMP query.</param>
/// <param name="IcmpType">Type of the query, or of its answer.</param>
/// <param name="IcmpCode">Code.</param>
public readonly record struct FlowKey(
    string Zone, PacketTuple Tuple, ushort IcmpId = 0, byte IcmpType = 0, byte IcmpCode = 0)
{
    /// <summary>The other direction; null where there is none: an ICMP message that nothing answers.</summary>
    public FlowKey? Inverse => Tuple.Protocol switch
    {
        IpProtocol.Icmp or IpProtocol.Icmpv6 => AnswerTo(Tuple.Protocol, IcmpType) is byte type
            ? this with { Tuple = Tuple.Reversed, IcmpType = type } : null,
        _ => this with { Tuple = Tuple.Reversed },
    };

    /// <summary>A message that asks, and so may open a session (RFC 792, 950, 4443, 4620).</summary>
    public bool IsQuery => (Tuple.Protocol, IcmpType) is
        (IpProtocol.Icmp, 8 or 13 or 15 or 17) or (IpProtocol.Icmpv6, 128 or 139);

    private static byte? AnswerTo(byte protocol, byte type) => (protocol, type) switch
    {
        (IpProtocol.Icmp, 8) => 0,
        (IpProtocol.Icmp, 0) => 8,
        (IpProtocol.Icmp, 13 or 15 or 17) => (byte)(type + 1),
        (IpProtocol.Icmp, 14 or 16 or 18) => (byte)(type - 1),
        (IpProtocol.Icmpv6, 128 or 139) => (byte)(type + 1),
        (IpProtocol.Icmpv6, 129 or 140) => (byte)(type - 1),
        _ => null,
    };
}
