using Prometheus;

namespace Agent.Daemon.Drops;

/// <summary>
/// How many packets were reported and how many reports were lost. What the kernel's rates held back is the difference
/// to the drop counters, which count every packet.
/// </summary>
internal sealed class DropMetrics
{
    /// <summary>Between the kernel and this program.</summary>
    public const string Socket = "socket";

    /// <summary>What came could not be read, or is not ours.</summary>
    public const string Unreadable = "unreadable";

    public const string Stream = "stream";
    public const string File = "file";
    public const string Journal = "journal";

    private readonly Counter records;
    private readonly Counter lost;
    private readonly Counter overruns;
    private readonly Gauge bound;

    public DropMetrics(CollectorRegistry registry)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        records = make.CreateCounter("sg_agent_drop_records_total",
            "Packets that the kernel has reported, by what became of them.",
            new CounterConfiguration { LabelNames = ["verdict"] });
        lost = make.CreateCounter("sg_agent_drop_records_lost_total",
            "Reports that somebody did not get, by where they were lost.",
            new CounterConfiguration { LabelNames = ["where"] });
        overruns = make.CreateCounter("sg_agent_drop_overruns_total",
            "Times that reports came faster than they were read.");
        bound = make.CreateGauge("sg_agent_drop_reader_bound", "1 while the agent receives reports.");
        foreach (string where in (string[])[Socket, Unreadable, Stream, File, Journal])
        {
            lost.WithLabels(where).Inc(0);
        }

        records.WithLabels("drop").Inc(0);
        records.WithLabels("accept").Inc(0);
    }

    public void Recorded(bool accepted) => records.WithLabels(accepted ? "accept" : "drop").Inc();

    public void Lost(string where, long count) => lost.WithLabels(where).Inc(count);

    public void Overrun() => overruns.Inc();

    public void Bound(bool isBound) => bound.Set(isBound ? 1 : 0);
}
