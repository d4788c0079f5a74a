using System.Globalization;
using Prometheus;

namespace Agent.Daemon;

/// <summary>
/// How full the connection tracking table of the daemon's network namespace is; read when somebody asks.
/// </summary>
internal static class ConntrackMetrics
{
    private const string CountFile = "/proc/sys/net/netfilter/nf_conntrack_count";
    private const string MaxFile = "/proc/sys/net/netfilter/nf_conntrack_max";

    /// <summary>Adds the series. What cannot be read leaves its series as it was.</summary>
    public static void Add(CollectorRegistry registry)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        Gauge entries = make.CreateGauge("sg_agent_conntrack_entries", "Sessions in the table.");
        Gauge limit = make.CreateGauge("sg_agent_conntrack_limit", "Sessions that the table can hold.");
        Counter drops = make.CreateCounter("sg_agent_conntrack_drops_total",
            "Packets that the kernel dropped because it could make no entry for their session: the table is full.");
        Counter evictions = make.CreateCounter("sg_agent_conntrack_evictions_total",
            "Sessions without an answer that the kernel forgot early, to make room in a full table.");
        Counter conflicts = make.CreateCounter("sg_agent_conntrack_insert_failures_total",
            "First packets that the kernel dropped because another session had taken their place.");
        registry.AddBeforeCollectCallback(() =>
        {
            Set(entries, CountFile);
            Set(limit, MaxFile);
            if (ConntrackStats.Read() is { } stats)
            {
                drops.IncTo(stats.Drop);
                evictions.IncTo(stats.EarlyDrop);
                conflicts.IncTo(stats.InsertFailed);
            }
        });
    }

    private static void Set(Gauge gauge, string path)
    {
        try
        {
            gauge.Set(
                double.Parse(File.ReadAllText(path), NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            // No connection tracking in this namespace yet: the kernel makes the file with the first rule that asks for
            // it.
        }
    }
}
