using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>An entry of the connection tracking table.</summary>
/// <param name="Original">As the packet that opened it had it.</param>
public sealed record Session(FlowKey Original)
{
    /// <summary>Something has come back.</summary>
    public bool Answered { get; init; }

    /// <summary>Of TCP sessions.</summary>
    public TcpTrack Tcp { get; init; } = TcpTrack.Start;

    /// <summary>The policy epoch at which it was last judged; null: never by us.</summary>
    public int? Epoch { get; init; }

    /// <summary>Idle times: those of the last vNIC that let its first packet pass.</summary>
    public SessionTimeouts Times { get; init; } = SessionTimeouts.Default;

    /// <summary>When it ends, if nothing more is seen.</summary>
    public TimeSpan Ends { get; init; }

    /// <summary>vNICs (by id) for whose limits it counts.</summary>
    public ImmutableArray<string> CountsFor { get; init; } = [];

    /// <summary>A TCP session that is over counts for no limit, although its entry stays for a while.</summary>
    public bool IsOver => Tcp.State is TcpState.TimeWait or TcpState.Close;

    /// <summary>semantics.md 5.1 and 9.3: how long it lives from its last packet on.</summary>
    public TimeSpan Idle => TimeSpan.FromSeconds(Original.Tuple.Protocol switch
    {
        IpProtocol.Tcp => TcpIdle(Tcp.State, Times),
        IpProtocol.Udp => Times.UdpSeconds,
        _ => OtherSeconds,
    });

    /// <summary>Handshakes, ICMP, GRE and every other protocol (semantics.md 9.3).</summary>
    private const int OtherSeconds = 30;

    // Half-closed sessions still carry data one way: the kernel's own times, but none longer than the established one.
    private static int TcpIdle(TcpState state, SessionTimeouts times) => state switch
    {
        TcpState.Established => times.TcpEstablishedSeconds,
        TcpState.FinWait => Math.Min(120, times.TcpEstablishedSeconds),
        TcpState.CloseWait => Math.Min(60, times.TcpEstablishedSeconds),
        TcpState.TimeWait or TcpState.Close => times.TcpClosedAndTimeWaitSeconds,
        _ => OtherSeconds,
    };
}

/// <summary>The connection tracking table of a host at an instant. A value: every step makes a new one.</summary>
public sealed record SessionTable
{
    public static readonly SessionTable Empty = new();

    /// <summary>By the original direction; entries that have ended may still be in it.</summary>
    public ImmutableDictionary<FlowKey, Session> Sessions { get; init; } =
        ImmutableDictionary<FlowKey, Session>.Empty;

    /// <summary>The live policy epoch. A session that was last judged at another one is judged again.</summary>
    public int Epoch { get; init; }

    /// <summary>A change takes something away: nothing passes any more merely because it did before.</summary>
    public SessionTable Restricted() => this with { Epoch = Epoch + 1 };

    /// <summary>The live session that a packet with this key belongs to, in either direction.</summary>
    /// <returns>Null if there is none.</returns>
    public (Session Session, bool Reply)? Find(FlowKey key, TimeSpan now)
    {
        if (Sessions.TryGetValue(key, out Session? own) && own.Ends > now)
        {
            return (own, false);
        }

        return key.Inverse is { } inverse && Sessions.TryGetValue(inverse, out Session? other) && other.Ends > now
            ? (other, true) : null;
    }

    /// <summary>Sessions that count for a vNIC's limit.</summary>
    public int CountOf(string vnicId, TimeSpan now) => Sessions.Values.Count(
        session => session.Ends > now && !session.IsOver && session.CountsFor.Contains(vnicId));

    internal SessionTable With(Session session) =>
        this with { Sessions = Sessions.SetItem(session.Original, session) };

    internal SessionTable Without(Session session) => this with { Sessions = Sessions.Remove(session.Original) };
}
