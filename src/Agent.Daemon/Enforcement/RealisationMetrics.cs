using Prometheus;

namespace Agent.Daemon.Enforcement;

/// <summary>From the sender's own clock to the kernel.</summary>
internal sealed class RealisationMetrics
{
    private static readonly double[] Buckets =
        [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800];

    private readonly Counter ahead;
    private readonly Gauge age;

    public RealisationMetrics(MetricFactory make)
    {
        Histogram seconds = make.CreateHistogram("sg_agent_realisation_seconds",
            "From the time at which its sender made a revision until it was enforced here, and until it was proved.",
            new HistogramConfiguration { LabelNames = ["stage"], Buckets = Buckets });
        (Enforced, Proved) = (seconds.WithLabels("enforced"), seconds.WithLabels("proved"));
        ahead = make.CreateCounter("sg_agent_issued_ahead_total",
            "Revisions that came before the time at which, by their sender's clock, they were made.");
        age = make.CreateGauge("sg_agent_intent_age_seconds",
            "Since the state in force was made by its sender, or else since it was accepted; 0: there is none.");
    }

    public IHistogram Enforced { get; }

    public IHistogram Proved { get; }

    public void IssuedAhead() => ahead.Inc();

    /// <summary>Keeps the age of the intent up to date for whoever reads it.</summary>
    public void Follow(CollectorRegistry registry, Func<HostRealisation> current, TimeProvider clock) =>
        registry.AddBeforeCollectCallback(() => age.Set(current().WantedSince is { } since
            ? Math.Max(0, (clock.GetUtcNow() - since).TotalSeconds) : 0));
}
