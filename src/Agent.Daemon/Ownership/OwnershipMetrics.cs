using Prometheus;

namespace Agent.Daemon.Ownership;

/// <summary>How a controller's stream ended.</summary>
internal enum StreamEnd
{
    /// <summary>By its controller, in order.</summary>
    Closed,

    /// <summary>The connection broke, or did not answer any more.</summary>
    Lost,

    /// <summary>Its heartbeats stayed away.</summary>
    Silent,

    /// <summary>By the agent: something that it sent, or too slowly.</summary>
    Refused,
}

/// <summary>Series about who may change what is enforced, and whether anybody is there to do it.</summary>
internal sealed class OwnershipMetrics
{
    private readonly CollectorRegistry registry;
    private readonly Gauge connected;
    private readonly Gauge silence;
    private readonly Gauge failStatic;
    private readonly Gauge term;
    private readonly Gauge remaining;
    private readonly Counter refusals;
    private readonly Counter ends;

    public OwnershipMetrics(CollectorRegistry registry)
    {
        this.registry = registry;
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        connected = make.CreateGauge(
            "sg_agent_controller_connected", "1 while a Sync stream is open whose changes would be taken.");
        silence = make.CreateGauge("sg_agent_controller_silence_seconds",
            "Since the last message of a controller; since the start of the agent if none came.");
        failStatic = make.CreateGauge("sg_agent_fail_static_seconds",
            "For how long the agent has been enforcing without a controller; 0 while one is connected.");
        term = make.CreateGauge("sg_agent_lease_term", "The highest term that a controller came with; 0: none.");
        remaining = make.CreateGauge("sg_agent_lease_remaining_seconds",
            "How long the lease is held if its controller goes away now; 0: it is free.");
        refusals = make.CreateCounter("sg_agent_lease_refusals_total",
            "Changes and hellos refused because of the lease.",
            new CounterConfiguration { LabelNames = ["reason"] });
        ends = make.CreateCounter("sg_agent_controller_streams_ended_total", "Sync streams that ended, by how.",
            new CounterConfiguration { LabelNames = ["how"] });
        Takeovers = make.CreateCounter("sg_agent_lease_takeovers_total", "Times that a newer term took the lease.");
        Overrides = make.CreateCounter(
            "sg_agent_lease_overrides_total", "Changes that were made although somebody else held the lease.");
        foreach (LeaseRefusal reason in Enum.GetValues<LeaseRefusal>())
        {
            refusals.WithLabels(Word(reason)).Inc(0);
        }

        foreach (StreamEnd end in Enum.GetValues<StreamEnd>())
        {
            ends.WithLabels(Word(end)).Inc(0);
        }
    }

    public Counter Takeovers { get; }

    public Counter Overrides { get; }

    public void Refused(LeaseRefusal reason) => refusals.WithLabels(Word(reason)).Inc();

    public void Ended(StreamEnd end) => ends.WithLabels(Word(end)).Inc();

    /// <summary>Has the gauges say what is so when they are read.</summary>
    public void Follow(Func<Presence> look) => registry.AddBeforeCollectCallback(() => Set(look()));

    private void Set(Presence seen)
    {
        connected.Set(seen.ConnectedFor is null ? 0 : 1);
        silence.Set((seen.HeardBefore ?? seen.AbsentFor).TotalSeconds);
        failStatic.Set(seen.AbsentFor.TotalSeconds);
        term.Set(seen.Lease.Term);
        remaining.Set(seen.LeaseFor.TotalSeconds);
    }

    private static string Word(Enum value) => value.ToString().ToLowerInvariant();
}
