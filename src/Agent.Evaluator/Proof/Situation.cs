using System.Collections.Immutable;
using Agent.Evaluator.Forms;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What conntrack says of a packet. Every packet is in one of them.</summary>
/// <param name="Name">For people.</param>
/// <param name="State">Its state.</param>
internal sealed record Situation(string Name, CtState State)
{
    public bool Reply { get; init; }

    /// <summary>Not the packet that opens the session.</summary>
    public bool Confirmed { get; init; }

    /// <summary>The session was accepted under the epoch in force.</summary>
    public bool IsLive { get; init; }

    public bool HasEntry => State is CtState.New or CtState.Established or CtState.Related;

    public static ImmutableArray<Situation> All { get; } =
    [
        new("opens a session", CtState.New),
        new("of a session without a reply", CtState.New) { Confirmed = true },
        new("of a session of an older epoch", CtState.Established) { Confirmed = true },
        new("reply in a session of an older epoch", CtState.Established) { Confirmed = true, Reply = true },
        new("of a live session", CtState.Established) { Confirmed = true, IsLive = true },
        new("reply in a live session", CtState.Established) { Confirmed = true, Reply = true, IsLive = true },
        new("announced by a helper", CtState.Related),
        new("related to a session of an older epoch", CtState.Related) { Confirmed = true },
        new("related to a session of an older epoch, backwards", CtState.Related) { Confirmed = true, Reply = true },
        new("announced by a helper, in a live session", CtState.Related) { IsLive = true },
        new("related to a live session", CtState.Related) { Confirmed = true, IsLive = true },
        new("related to a live session, backwards", CtState.Related)
        { Confirmed = true, Reply = true, IsLive = true },
        new("of no session", CtState.Invalid),
        new("not tracked", CtState.Untracked),
    ];

    public static Situation NotTracked => All[^1];

    public override string ToString() => Name;
}

/// <summary>Which packets there are in a situation, and parts of what the specification says of all of them.</summary>
/// <remarks>
/// Left out, as conntrack never says so: a session with a transport header that is cut off, for protocols that it
/// follows; ICMP of the other family that is related or untracked (it is only an unknown protocol there).
/// </remarks>
internal static class SituationPackets
{
    private const int TcpHeaderBytes = 20;
    private const int ShortHeaderBytes = 8;

    /// <summary>ICMP errors (RFC 792): unreachable, time exceeded, parameter problem.</summary>
    public static readonly ImmutableArray<byte> Icmpv4Errors = [3, 11, 12];

    /// <summary>RFC 4443: unreachable, too big, time exceeded, parameter problem.</summary>
    public static readonly ImmutableArray<byte> Icmpv6Errors = [1, 2, 3, 4];

    /// <summary>What a guest may send untracked: solicitations, advertisements, listener reports.</summary>
    public static readonly ImmutableArray<byte> NeighbourFrom = [133, 135, 136, 131, 132, 143];

    /// <summary>What may reach a guest untracked: all but router solicitations, which are for routers.</summary>
    public static readonly ImmutableArray<byte> NeighbourTo = [130, 131, 132, 143, 134, 135, 136];

    /// <summary>Protocols that conntrack follows only if this many bytes of the header are there.</summary>
    public static ImmutableArray<(byte Protocol, int Bytes)> WholeHeaders(IpFamily family) =>
    [
        (IpProtocol.Tcp, TcpHeaderBytes), (IpProtocol.Udp, ShortHeaderBytes),
        (IcmpOf(family), ShortHeaderBytes),
    ];

    public static byte IcmpOf(IpFamily family) => family == IpFamily.V4 ? IpProtocol.Icmp : IpProtocol.Icmpv6;

    /// <summary>The ICMP that is an unknown protocol in the family.</summary>
    public static byte OtherIcmpOf(IpFamily family) => family == IpFamily.V4 ? IpProtocol.Icmpv6 : IpProtocol.Icmp;

    public static bool Exists(Situation situation, IpFamily family, PacketPoint packet)
    {
        if (situation.State is CtState.Related or CtState.Untracked && packet.Protocol == OtherIcmpOf(family))
        {
            return false;
        }

        return situation.State == CtState.Invalid
            || (packet.Transport != TransportSize.None
                && (!situation.HasEntry || WholeHeaders(family).All(whole =>
                    whole.Protocol != packet.Protocol || packet.Transport >= TransportSize.Of(whole.Bytes))));
    }
}
