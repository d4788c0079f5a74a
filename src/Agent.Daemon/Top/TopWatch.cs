using Agent.Daemon.Counting;
using Agent.Daemon.Sessions;
using Agent.Evaluator.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Nftables;
using Agent.Policy;
using Prometheus;

namespace Agent.Daemon.Top;

/// <summary>
/// Looks at sessions and counters for those who watch. Looks that come close together are one, and nothing is kept
/// when nobody watches.
/// </summary>
/// <remarks>
/// A look walks the kernel's whole table: a second of one processor for 100,000 to 200,000 sessions. Between two of
/// them there is at least as much time as the first one took.
/// </remarks>
/// <param name="judge">Whose sessions they are.</param>
/// <param name="read">Shows the sessions.</param>
/// <param name="book">The counters.</param>
/// <param name="capacity">Sessions that a look keeps.</param>
/// <param name="clock">Time.</param>
internal sealed class TopWatch(
    Func<SessionJudge?> judge, SessionReading read, CounterBook book, int capacity, TimeProvider clock)
{
    /// <summary>Each keeps a look of its own at most, and ranks the sessions of each.</summary>
    internal const int WatchersMax = 8;

    /// <summary>Counters that are younger than this are not read again.</summary>
    private static readonly TimeSpan CounterAge = TimeSpan.FromMilliseconds(250);

    private readonly Lock gate = new();
    private Task<TopLook>? flight;
    private TopLook? last;
    private TopLook? earlier;
    private TimeSpan took;
    private long endedAt;
    private int watchers;

    /// <summary>Told of each look: how long it took.</summary>
    public Action<TimeSpan>? OnLook { get; set; }

    /// <summary>Adds the series.</summary>
    public void AddTo(CollectorRegistry registry)
    {
        Histogram duration = Metrics.WithCustomRegistry(registry).CreateHistogram(
            "sg_agent_top_look_duration_seconds", "Time to read all sessions and counters for those who watch.",
            new HistogramConfiguration { Buckets = AgentMetrics.DurationBuckets });
        OnLook = time => duration.Observe(time.TotalSeconds);
    }

    /// <returns>To be disposed of when no more is watched; null: there are too many who watch.</returns>
    public IDisposable? TryEnter()
    {
        lock (gate)
        {
            if (watchers == WatchersMax)
            {
                return null;
            }

            watchers++;
            return new Leave(this);
        }
    }

    /// <summary>Looks, or shows what somebody else saw just now.</summary>
    /// <param name="since">Not this one again; null: any.</param>
    /// <param name="fresh">What is younger serves.</param>
    public Task<TopLook> LookAsync(TopLook? since, TimeSpan fresh)
    {
        lock (gate)
        {
            if (flight is { IsCompleted: false })
            {
                return flight;
            }

            return last is not null && last != since && clock.GetElapsedTime(last.At) < fresh
                ? Task.FromResult(last) : flight = Task.Run(LookAgainAsync);
        }
    }

    /// <summary>The look before that one, if somebody has watched so long.</summary>
    public TopLook? Before(TopLook look)
    {
        lock (gate)
        {
            return look == last ? earlier : null;
        }
    }

    private async Task<TopLook> LookAgainAsync()
    {
        TimeSpan rest = took - clock.GetElapsedTime(endedAt);
        if (rest > TimeSpan.Zero)
        {
            await Task.Delay(rest, clock).ConfigureAwait(false);
        }

        long began = clock.GetTimestamp();
        await book.ReadAsync(CounterAge).ConfigureAwait(false);
        TopLook look = Look(began);
        lock (gate)
        {
            (took, endedAt) = (clock.GetElapsedTime(began), clock.GetTimestamp());
            OnLook?.Invoke(took);
            if (watchers > 0)
            {
                (earlier, last) = (last, look);
            }
        }

        return look;
    }

    private TopLook Look(long began)
    {
        SessionJudge? whose = judge();
        var walk = new SessionWalk(whose?.Owners, capacity);
        string gap = "";
        try
        {
            gap = whose is null || read.Whole(FlowFilter.All, () => (walk = new(whose.Owners, capacity)).Add, default)
                ? "" : "the kernel lost some answers";
        }
        catch (Exception e) when (e is NetlinkException or NetlinkFormatException)
        {
            gap = e.Message;
        }

        (IReadOnlyDictionary<CountKey, PacketCount> counters, long readAt) = book.Show((states, _) => (
            (IReadOnlyDictionary<CountKey, PacketCount>)states
                .Where(pair => pair.Key.Kind is CountKind.Accept or CountKind.Drop && pair.Value.Total != default)
                .ToDictionary(pair => pair.Key, pair => pair.Value.Total),
            book.ReadAt));
        return new TopLook
        {
            At = began,
            Time = clock.GetUtcNow(),
            Judge = whose,
            Sessions = walk.Sample,
            SessionsOf = walk.Counts,
            SessionCount = walk.Sessions,
            UncountedCount = walk.Uncounted,
            Gap = gap,
            Counters = counters,
            CountersAt = readAt,
        };
    }

    private sealed class Leave(TopWatch watch) : IDisposable
    {
        private bool left;

        public void Dispose()
        {
            lock (watch.gate)
            {
                if (!left && --watch.watchers == 0)
                {
                    (watch.last, watch.earlier) = (null, null);
                }

                left = true;
            }
        }
    }
}

/// <summary>One walk through the table.</summary>
/// <param name="owners">Who has which address; null: nobody any.</param>
/// <param name="capacity">Sessions that are kept.</param>
internal sealed class SessionWalk(SessionOwners? owners, int capacity)
{
    private readonly Dictionary<string, long> counts = new(StringComparer.Ordinal);

    public SessionSample Sample { get; } = new(capacity);

    public IReadOnlyDictionary<string, long> Counts => counts;

    public long Sessions { get; private set; }

    public long Uncounted { get; private set; }

    public void Add(Flow flow)
    {
        Vnic? opener = owners is null ? null : flow.OpenerIn(owners);
        Vnic? answerer = owners is null ? null : flow.AnswererIn(owners);
        if (opener is null && answerer is null)
        {
            return;
        }

        Sessions++;
        Uncounted += flow.Count is null ? 1 : 0;
        Count(opener);
        Count(answerer == opener ? null : answerer);
        Sample.Add(new SessionKey(flow.Tracked().Original, flow.Zone, flow.Id), new SeenSession(
            opener, answerer, flow.State(), flow.Count is not null, flow.OriginalCount ?? default,
            flow.ReplyCount ?? default, flow.Start, flow.TimeoutSeconds));
    }

    private void Count(Vnic? vnic)
    {
        if (vnic is not null)
        {
            counts[vnic.Id] = counts.GetValueOrDefault(vnic.Id) + 1;
        }
    }
}
