using Prometheus;

namespace Agent.Daemon.Logging;

/// <summary>How many events were written, and how many were not.</summary>
internal static class LogMetrics
{
    private static readonly (LogLevel Level, string Word)[] Levels =
    [
        (LogLevel.Debug, "debug"), (LogLevel.Information, "info"), (LogLevel.Warning, "warning"),
        (LogLevel.Error, "error"),
    ];

    public static void Add(CollectorRegistry registry, EventLog log)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        Counter written = make.CreateCounter("sg_agent_log_events_total",
            "Events and drop records that were logged, by level.", new CounterConfiguration { LabelNames = ["level"] });
        Counter unwritten = make.CreateCounter("sg_agent_log_events_unwritten_total",
            "Events that were not: too many of one kind, or nobody took them.",
            new CounterConfiguration { LabelNames = ["why"] });
        registry.AddBeforeCollectCallback(() =>
        {
            foreach ((LogLevel level, string word) in Levels)
            {
                written.WithLabels(word).IncTo(log.Written(level));
            }

            unwritten.WithLabels("suppressed").IncTo(log.Suppressed);
            unwritten.WithLabels("lost").IncTo(log.Lost);
        });
    }
}
