using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Agent.Nftables;
using Prometheus;

namespace Agent.Daemon;

/// <summary>
/// What is read of this process when somebody asks: the size of the ruleset, what netlink refused, the runtime.
/// </summary>
internal sealed class HostMetrics
{
    private static readonly string[] Uses = ["addresses", "counters", "dispatch", "own", "policies"];

    private readonly Gauge elements;
    private readonly Gauge objects;
    private readonly Counter errors;
    private readonly Counter overruns;
    private readonly Counter received;
    private readonly Lock gate = new();
    private CompiledRuleset? measured;

    private HostMetrics(MetricFactory make)
    {
        elements = make.CreateGauge("sg_agent_set_elements",
            "Elements of our sets and maps, by the table's family and by what they are for.",
            new GaugeConfiguration { LabelNames = ["family", "use"] });
        objects = make.CreateGauge("sg_agent_ruleset_objects",
            "Chains, rules, sets and named objects of our tables.",
            new GaugeConfiguration { LabelNames = ["family", "kind"] });
        errors = make.CreateCounter("sg_agent_netlink_errors_total",
            "Requests that the kernel refused, by the name of the error; some are answers, such as ENOENT.",
            new CounterConfiguration { LabelNames = ["error"] });
        overruns = make.CreateCounter("sg_agent_netlink_overruns_total",
            "Times that the kernel dropped messages for one of our netlink sockets.");
        received = make.CreateCounter("sg_agent_netlink_received_bytes_total",
            "Bytes that the kernel sent to our netlink sockets.");
    }

    /// <summary>Adds the series, and those of prometheus-net about the process and its garbage collector.</summary>
    public static void Add(CollectorRegistry registry, Func<AgentState> current)
    {
        var metrics = new HostMetrics(Metrics.WithCustomRegistry(registry));
        DotNetStats.Register(registry);
        registry.AddBeforeCollectCallback(() => metrics.Set(current()));
    }

    private void Set(AgentState state)
    {
        foreach ((string name, long count) in NetlinkTally.Errors)
        {
            errors.WithLabels(name).IncTo(count);
        }

        overruns.IncTo(NetlinkTally.Overruns);
        received.IncTo(NetlinkTally.ReceivedBytes);
        lock (gate)
        {
            if (state.Enforced is { } enforced && !ReferenceEquals(enforced, measured))
            {
                measured = enforced;
                End(elements, enforced.Ruleset);
                End(objects, enforced.Ruleset);
                foreach (NftTable table in enforced.Ruleset.Tables)
                {
                    Measure(table);
                }
            }
        }
    }

    // Series of a family go with its table.
    private static void End(Gauge gauge, Ruleset held)
    {
        HashSet<string> families = [.. held.Tables.Select(NameOf)];
        foreach (string[] labels in gauge.GetAllLabelValues().Where(labels => !families.Contains(labels[0])).ToArray())
        {
            gauge.RemoveLabelled(labels);
        }
    }

    private static string NameOf(NftTable table) => table.Family.ToString().ToLowerInvariant();

    private void Measure(NftTable table)
    {
        string family = NameOf(table);
        Dictionary<string, long> sizes = Uses.ToDictionary(use => use, _ => 0L, StringComparer.Ordinal);
        foreach (NftSet set in table.Sets)
        {
            sizes[UseOf(set)] += set.Elements.Count;
        }

        foreach ((string use, long count) in sizes)
        {
            elements.WithLabels(family, use).Set(count);
        }

        objects.WithLabels(family, "chains").Set(table.Chains.Count);
        objects.WithLabels(family, "rules").Set(table.Chains.Sum(chain => (long)chain.Rules.Count));
        objects.WithLabels(family, "sets").Set(table.Sets.Count);
        objects.WithLabels(family, "objects").Set(table.Objects.Count);
    }

    private static string UseOf(NftSet set) =>
        set.Name.StartsWith("adr_", StringComparison.Ordinal) ? "addresses"
        : set.Name.StartsWith("p_", StringComparison.Ordinal) ? "policies"
        : set.Kind == NftSetKind.CounterMap || (set.Kind == NftSetKind.Set && set.Counters) ? "counters"
        : set.Key[0] == NftType.IfName ? "dispatch"
        : "own";
}
