using System.Globalization;
using Prometheus;

namespace Agent.Daemon;

/// <summary>How full the connection tracking table of the daemon's network namespace is; read when somebody asks.</summary>
internal static class ConntrackMetrics
{
    /// <param name="registry">Where the series go.</param>
    /// <param name="proc">"/proc". What cannot be read leaves its series as they were.</param>
    public static void Add(CollectorRegistry registry, string proc)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        Gauge entries = make.CreateGauge("sg_agent_conntrack_entries", "Sessions in the table.");
        Gauge limit = make.CreateGauge("sg_agent_conntrack_limit", "Sessions that the table can hold.");
        Counter drops = make.CreateCounter("sg_agent_conntrack_drops_total",
            "Packets that the kernel dropped because it could not track their session: the table is full.");
        Counter evictions = make.CreateCounter("sg_agent_conntrack_evictions_total",
            "Sessions without an answer that the kernel forgot early, to make room in a full table.");
        Counter conflicts = make.CreateCounter("sg_agent_conntrack_insert_failures_total",
            "First packets that the kernel dropped because their session could not be entered in the table.");
        registry.AddBeforeCollectCallback(() =>
        {
            Set(entries, Path.Combine(proc, "sys/net/netfilter/nf_conntrack_count"));
            Set(limit, Path.Combine(proc, "sys/net/netfilter/nf_conntrack_max"));
            Dictionary<string, double> sums = SumsOf(Path.Combine(proc, "net/stat/nf_conntrack"));
            drops.IncTo(sums.GetValueOrDefault("drop"));
            evictions.IncTo(sums.GetValueOrDefault("early_drop"));
            conflicts.IncTo(sums.GetValueOrDefault("insert_failed"));
        });
    }

    private static void Set(Gauge gauge, string path)
    {
        if (TryRead(path) is string text
            && double.TryParse(text, NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out double value))
        {
            gauge.Set(value);
        }
    }

    /// <summary>A line of names, then a line of hexadecimal numbers a CPU.</summary>
    internal static Dictionary<string, double> SumsOf(string path)
    {
        var sums = new Dictionary<string, double>(StringComparer.Ordinal);
        string[] lines = (TryRead(path) ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] names = lines.Length == 0 ? [] : lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        foreach (string line in lines.Skip(1))
        {
            string[] values = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            for (int i = 0; i < Math.Min(names.Length, values.Length); i++)
            {
                if (uint.TryParse(values[i], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint value))
                {
                    sums[names[i]] = sums.GetValueOrDefault(names[i]) + value;
                }
            }
        }

        return sums;
    }

    private static string? TryRead(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
