using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>What decided about a packet (datapath.md sections 3 and 5).</summary>
public enum SessionReason : byte
{
    /// <summary>Neither device is a vNIC of the policy, nor looks like one: not ours to judge.</summary>
    NotOurs = 1,

    /// <summary>It belongs to a session that was judged at the live epoch.</summary>
    Live,

    /// <summary>It is an ICMP error about such a session.</summary>
    RelatedToLive,

    /// <summary>The policy of the vNIC named decides; of the last one on the way if all accept.</summary>
    Policy,

    /// <summary>Neighbour discovery and DHCP, each as narrow as its purpose.</summary>
    Infrastructure,

    /// <summary>The fabric vouches for it (semantics.md 9.16).</summary>
    TrustedMark,

    /// <summary>The guest sends with a source that is not its own.</summary>
    Spoof,

    /// <summary>It is not for an address of the guest.</summary>
    NotOwnAddress,

    /// <summary>Conntrack can make nothing of it.</summary>
    Invalid,

    /// <summary>A TCP session does not begin in mid-stream.</summary>
    NotSyn,

    /// <summary>An ICMP error about a session that is yet to be judged again, or a message that is no error.</summary>
    NotLive,

    /// <summary>The way leads into another VPC, or the session is of another one.</summary>
    Zone,

    /// <summary>The vNIC has as many sessions as it may have.</summary>
    Limit,

    /// <summary>The device looks like a vNIC, and no policy names it.</summary>
    Closed,

    /// <summary>The host itself takes no such packet from guests.</summary>
    Host,

    /// <summary>The model does not know the protocol's states.</summary>
    NotModelled,
}

/// <summary>The answer for one packet.</summary>
/// <param name="Verdict">Accept or drop; Unknown for what is not modelled.</param>
/// <param name="Reason">What decided.</param>
public sealed record SessionAnswer(HookVerdict Verdict, SessionReason Reason)
{
    /// <summary>The vNIC (by id) at which it was decided; null where none was asked.</summary>
    public string? VnicId { get; init; }

    /// <summary>The vNIC's direction whose rules were asked: the one in which the session was opened.</summary>
    public Direction? Asked { get; init; }

    /// <summary>The deciding rule, for <see cref="SessionReason.Policy"/>.</summary>
    public PolicyVerdict? Policy { get; init; }

    /// <summary>The packet's state; None before connection tracking was asked.</summary>
    public CtState State { get; init; }

    /// <summary>The packet travels against its session's original direction.</summary>
    public bool Reply { get; init; }

    /// <summary>The packet opens its session.</summary>
    public bool Opens { get; init; }

    /// <summary>The epoch at which its session was last judged, before this packet; null: never.</summary>
    public int? EpochBefore { get; init; }

    /// <summary>Its session once the packet has passed, or was dropped; null for packets without one.</summary>
    public Session? Session { get; init; }

    /// <summary>vNICs on the way whose limits and idle times concern a session that opens.</summary>
    internal ImmutableArray<Vnic> Admitting { get; init; } = [];

    public bool Accepted => Verdict == HookVerdict.Accept;

    public override string ToString()
    {
        string at = VnicId is null ? "" : $" at {VnicId} {Asked}";
        string judged = EpochBefore is int epoch ? $"judged at epoch {epoch}" : "never judged";
        string session = Session is null ? "" : $", {Session.Tcp.State}";
        return $"{Verdict} by {Reason}{at}{(Policy is null ? "" : $": {Policy}")}"
            + $" ({State}{(Reply ? ", reply" : "")}{(Opens ? ", opens" : "")}, {judged}{session})";
    }
}
