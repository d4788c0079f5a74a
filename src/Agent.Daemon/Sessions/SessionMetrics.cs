using Agent.Daemon.Enforcement;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Prometheus;

namespace Agent.Daemon.Sessions;

/// <summary>
/// How many sessions each vNIC has. The kernel keeps no such number, so its table is walked: at most once a minute,
/// only if somebody scrapes, beside the scrape, which shows what the last walk found. A walk takes a second of one
/// processor for 100,000 to 200,000 sessions.
/// </summary>
internal sealed class SessionMetrics
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly Gauge sessions;
    private readonly Gauge counted;
    private readonly Func<AgentState> current;
    private readonly SessionReading read;
    private readonly TimeProvider clock;
    private readonly Lock gate = new();
    private Task walk = Task.CompletedTask;
    private long? walkedAt;

    private SessionMetrics(MetricFactory make, Func<AgentState> current, SessionReading read, TimeProvider clock)
    {
        (this.current, this.read, this.clock) = (current, read, clock);
        sessions = make.CreateGauge("sg_agent_vnic_sessions",
            "Sessions with an end at a vNIC, as the last walk through the table found them.",
            new GaugeConfiguration { LabelNames = ["vnic"] });
        counted = make.CreateGauge("sg_agent_vnic_sessions_timestamp_seconds",
            "When the last walk through the session table ended, in seconds since 1970; 0: there was none.");
    }

    public static void Add(
        CollectorRegistry registry, Func<AgentState> current, SessionReading read, TimeProvider clock)
    {
        var metrics = new SessionMetrics(Metrics.WithCustomRegistry(registry), current, read, clock);
        registry.AddBeforeCollectCallback(metrics.Begin);
    }

    private void Begin()
    {
        lock (gate)
        {
            if (walk.IsCompleted && (walkedAt is not long last || clock.GetElapsedTime(last) >= Interval)
                && current().Desired.Vnics.Count > 0)
            {
                walkedAt = clock.GetTimestamp();
                walk = Task.Run(Walk);
            }
        }
    }

    private void Walk()
    {
        AgentState state = current();
        var ends = new SessionEnds(new SessionOwners(state.Desired, state.Zones));
        try
        {
            if (!read.Whole(FlowFilter.All, ends.Begin, CancellationToken.None))
            {
                return; // some were missed, every time: the last walk's numbers are better
            }
        }
        catch (Netlink.NetlinkException)
        {
            return; // without conntrack there are no sessions
        }

        foreach (string[] labels in sessions.GetAllLabelValues().ToArray())
        {
            if (!state.Desired.Vnics.ContainsKey(labels[0]))
            {
                sessions.RemoveLabelled(labels);
            }
        }

        foreach (Vnic vnic in state.Desired.Vnics.Values)
        {
            sessions.WithLabels(vnic.Id).Set(ends.Counts.GetValueOrDefault(vnic.Id));
        }

        counted.Set(clock.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0);
    }
}

/// <summary>Counts sessions by the vNICs at their ends.</summary>
internal sealed class SessionEnds(SessionOwners owners)
{
    public Dictionary<string, long> Counts { get; } = new(StringComparer.Ordinal);

    /// <summary>Begins to count, again if need be.</summary>
    public Action<Flow> Begin()
    {
        Counts.Clear();
        return Add;
    }

    private void Add(Flow flow)
    {
        (string? opener, string? answerer) = (flow.OpenerIn(owners)?.Id, flow.AnswererIn(owners)?.Id);
        if (opener is not null)
        {
            Counts[opener] = Counts.GetValueOrDefault(opener) + 1;
        }

        if (answerer is not null && answerer != opener)
        {
            Counts[answerer] = Counts.GetValueOrDefault(answerer) + 1;
        }
    }
}
