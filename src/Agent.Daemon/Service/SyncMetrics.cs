using Prometheus;

namespace Agent.Daemon.Service;

/// <summary>Series about Sync streams: how far answers are behind, and who is held up.</summary>
internal sealed class SyncMetrics
{
    private readonly Gauge unanswered;
    private readonly Counter pauses;
    private readonly Histogram answers;

    public SyncMetrics(CollectorRegistry registry)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        unanswered = make.CreateGauge("sg_agent_sync_unanswered_messages",
            "Messages of Sync streams that were read and have no answer yet.");
        pauses = make.CreateCounter("sg_agent_sync_pauses_total",
            "Times that a stream was read no further, because too many of its messages had no answer.");
        answers = make.CreateHistogram("sg_agent_sync_answer_duration_seconds",
            "Time from when a message was read to its answer.",
            new HistogramConfiguration { Buckets = AgentMetrics.DurationBuckets });
    }

    public void Unanswered(int change) => unanswered.Inc(change);

    public void Paused(int times) => pauses.Inc(times);

    public void Answered(TimeSpan took) => answers.Observe(took.TotalSeconds);
}
