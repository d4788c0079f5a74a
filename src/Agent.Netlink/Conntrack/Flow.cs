using System.Net;

namespace Agent.Netlink.Conntrack;

/// <summary>One direction of a session.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address, of the same family.</param>
/// <param name="Protocol">IANA number.</param>
/// <param name="SourcePort">TCP, UDP and the like; the identifier for ICMP echo; 0 for others.</param>
/// <param name="DestinationPort">Likewise; for ICMP, type and code as the high and the low byte.</param>
public sealed record FlowTuple(
    IPAddress Source, IPAddress Destination, byte Protocol, ushort SourcePort, ushort DestinationPort);

/// <summary>A session of the connection tracking table.</summary>
/// <param name="Original">As its first packet had it.</param>
/// <param name="Reply">As replies have it.</param>
/// <param name="Zone">Conntrack zone.</param>
/// <param name="Mark">Conntrack mark.</param>
/// <param name="Status">linux/netfilter/nf_conntrack_common.h, IPS_* bits.</param>
/// <param name="TimeoutSeconds">Until it ends, if nothing more is seen.</param>
/// <param name="Id">Tells it from a later session with the same tuples.</param>
public sealed record Flow(
    FlowTuple Original, FlowTuple Reply, ushort Zone, uint Mark, uint Status, uint TimeoutSeconds, uint Id)
{
    /// <summary>linux/netfilter/nf_conntrack_common.h IPS_SEEN_REPLY: something has come back.</summary>
    private const uint SeenReply = 2;

    /// <summary>linux/netfilter/nf_conntrack_tcp.h, enum tcp_conntrack; null: it is no TCP session.</summary>
    public byte? TcpState { get; init; }

    /// <summary>
    /// In the direction of the first packet; null: the kernel does not count it (net.netfilter.nf_conntrack_acct, when
    /// the session began).
    /// </summary>
    public FlowCount? OriginalCount { get; init; }

    /// <summary>In the direction of replies; null: likewise.</summary>
    public FlowCount? ReplyCount { get; init; }

    /// <summary>Of both directions; null: likewise.</summary>
    public FlowCount? Count => OriginalCount + ReplyCount;

    /// <summary>
    /// When it began, by this host's clock; null: the kernel did not note it (net.netfilter.nf_conntrack_timestamp).
    /// </summary>
    public DateTimeOffset? Start { get; init; }

    public bool IsAnswered => (Status & SeenReply) != 0;
}

/// <summary>What has passed in a session. Bytes are of layer 3 and above.</summary>
public readonly record struct FlowCount(ulong Packets, ulong Bytes)
{
    public static FlowCount operator +(FlowCount left, FlowCount right) =>
        new(left.Packets + right.Packets, left.Bytes + right.Bytes);

    public static FlowCount Add(FlowCount left, FlowCount right) => left + right;
}

/// <summary>Which sessions are asked for: all that agree with everything that is set.</summary>
public sealed record FlowFilter
{
    public static readonly FlowFilter All = new();

    /// <summary>Bits of the mark that count; 0: any mark.</summary>
    public uint MarkMask { get; init; }

    /// <summary>What those bits are.</summary>
    public uint MarkValue { get; init; }

    /// <summary>Null: every zone.</summary>
    public ushort? Zone { get; init; }

    /// <summary>Kernels may know a part of the filter only: what comes back is compared again.</summary>
    internal bool Fits(Flow flow) =>
        (flow.Mark & MarkMask) == MarkValue && (Zone is null || flow.Zone == Zone);
}
