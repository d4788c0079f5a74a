using System.Globalization;
using System.Net;

namespace Agent.Netlink.Conntrack;

/// <summary>One direction of a session.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address, of the same family.</param>
/// <param name="Protocol">IANA number.</param>
/// <param name="SourcePort">TCP, UDP and the like; the identifier for ICMP echo; 0 for others.</param>
/// <param name="DestinationPort">Likewise; for ICMP, type and code as the high and the low byte.</param>
public sealed record FlowTuple(
    IPAddress Source, IPAddress Destination, byte Protocol, ushort SourcePort, ushort DestinationPort)
{
    /// <summary>As the other side sends. Not for ICMP, whose answers have types of their own.</summary>
    public FlowTuple Inverse => new(Destination, Source, Protocol, DestinationPort, SourcePort);

    /// <summary>Written out: a record would print its inverse, and that its own, without end.</summary>
    public override string ToString() =>
        string.Create(
            CultureInfo.InvariantCulture, $"{Protocol} {Source} {SourcePort} > {Destination} {DestinationPort}");
}

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

    /// <summary>IPS_EXPECTED: a helper has announced it, and another session is its master.</summary>
    private const uint Expected = 1;

    /// <summary>IPS_ASSURED: it is not taken away early when the table is full.</summary>
    private const uint Assured = 4;

    /// <summary>IPS_CONFIRMED: it is in the table.</summary>
    private const uint Confirmed = 8;

    /// <summary>Null: it is no TCP session.</summary>
    public TcpFlow? Tcp { get; init; }

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

    public bool IsAssured => (Status & Assured) != 0;

    /// <summary>It can be put into a table as it is told: nothing else belongs to it.</summary>
    public bool CanBePut => !IsTranslated && (Status & Expected) == 0;

    /// <summary>The ends do not see the same addresses and ports.</summary>
    public bool IsTranslated => Reply != Original.Inverse;

    /// <summary>A session to put into the table: not judged yet, without translation.</summary>
    /// <param name="original">As its first packet had it.</param>
    /// <param name="zone">Conntrack zone.</param>
    /// <param name="timeoutSeconds">Until it ends, if nothing more is seen.</param>
    /// <param name="isAnswered">Something has come back.</param>
    /// <param name="isAssured">It stays if the table is full.</param>
    public static Flow New(
        FlowTuple original, ushort zone, uint timeoutSeconds, bool isAnswered, bool isAssured) => new(
            original, original.Inverse, zone, 0,
            Confirmed | (isAnswered ? SeenReply : 0) | (isAssured ? Assured : 0), timeoutSeconds, 0);

    /// <summary>This one, to put into the table again: the mark stays, what has passed is counted anew.</summary>
    public Flow Again() => New(Original, Zone, TimeoutSeconds, IsAnswered, IsAssured) with { Mark = Mark, Tcp = Tcp };
}

/// <summary>What conntrack knows of a TCP session and tells; sequence numbers it does not.</summary>
/// <param name="State">linux/netfilter/nf_conntrack_tcp.h, enum tcp_conntrack.</param>
/// <param name="Original">Of the side that opened it.</param>
/// <param name="Reply">Of the other one.</param>
public readonly record struct TcpFlow(byte State, TcpSide Original, TcpSide Reply);

/// <summary>One side of a TCP session.</summary>
/// <param name="WindowScale">Bits by which its windows are shifted (RFC 7323), at most 14.</param>
/// <param name="Flags">linux/netfilter/nf_conntrack_tcp.h, IP_CT_TCP_FLAG_* bits.</param>
public readonly record struct TcpSide(byte WindowScale, byte Flags);

/// <summary>What has passed in a session. Bytes are of layer 3 and above.</summary>
public readonly record struct FlowCount(ulong Packets, ulong Bytes)
{
    public static FlowCount operator +(FlowCount left, FlowCount right) =>
        new(unchecked(left.Packets + right.Packets), unchecked(left.Bytes + right.Bytes)); // as counters go round

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
