using Agent.Policy;
using Prometheus;

namespace Agent.Daemon.Counting;

/// <summary>Series per vNIC, and per rule where that was asked for. Read when somebody asks.</summary>
/// <remarks>
/// All series of a vNIC begin with it, at 0, and end with it: 54 a vNIC. Those of rules are three a rule, and only of
/// the vNICs and groups that the configuration names, up to a limit; what is beyond is counted, not exported.
/// </remarks>
internal sealed class VnicMetrics
{
    private static readonly string[] VnicLabels = ["vnic", "direction", "verdict", "reason"];
    private static readonly string[] RuleLabels = ["vnic", "direction", "rule"];

    private readonly Lock gate = new();
    private readonly Family packets;
    private readonly Family bytes;
    private readonly Family rulePackets;
    private readonly Family ruleBytes;
    private readonly Gauge lastHit;
    private readonly Gauge ruleSeries;
    private readonly Gauge ruleSeriesCut;
    private readonly Dictionary<CountKey, string[]> lastHits = [];

    private VnicMetrics(MetricFactory make)
    {
        packets = new Family(make.CreateCounter("sg_agent_vnic_packets_total",
            "Packets of a vNIC, by what became of them and why.", VnicLabels));
        bytes = new Family(make.CreateCounter("sg_agent_vnic_bytes_total",
            "Their bytes, of layer 3 and above.", VnicLabels));
        rulePackets = new Family(make.CreateCounter("sg_agent_rule_packets_total",
            "Packets that a rule decided: those that open a session, and those that it drops.", RuleLabels));
        ruleBytes = new Family(make.CreateCounter("sg_agent_rule_bytes_total",
            "Their bytes, of layer 3 and above.", RuleLabels));
        lastHit = make.CreateGauge("sg_agent_rule_last_hit_timestamp_seconds",
            "The reading that saw a rule decide something last, in seconds since 1970; 0: it never did.",
            RuleLabels);
        ruleSeries = make.CreateGauge("sg_agent_rule_counters", "Rules, over all vNICs, that are counted one by one.");
        ruleSeriesCut = make.CreateGauge("sg_agent_rule_counters_cut",
            "Rules that should be counted one by one and are not, because of metrics.max_rule_hits.");
    }

    /// <summary>Adds the series. Scrapes that come together, or within a second, share one reading.</summary>
    /// <param name="registry">Where to.</param>
    /// <param name="book">The numbers.</param>
    public static void Add(CollectorRegistry registry, CounterBook book)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        var metrics = new VnicMetrics(make);
        Histogram took = make.CreateHistogram("sg_agent_counter_reading_duration_seconds",
            "Time to read all counters of vNICs from the kernel, and to save their totals.",
            new HistogramConfiguration { Buckets = AgentMetrics.DurationBuckets });
        Counter readings = make.CreateCounter("sg_agent_counter_readings_total",
            "Readings of all counters of vNICs; scrapes that come together share one.",
            new CounterConfiguration { LabelNames = ["result"] });
        book.OnRead = (time, done) =>
        {
            took.Observe(time.TotalSeconds);
            readings.WithLabels(done ? "read" : "failed").Inc();
        };
        registry.AddBeforeCollectCallback(async _ =>
        {
            await book.ReadAsync().ConfigureAwait(false);
            book.Show((states, names) => metrics.Set(states, names));
        });
    }

    private bool Set(IReadOnlyDictionary<CountKey, CountState> states, CountNames names)
    {
        lock (gate)
        {
            var seen = new HashSet<CountKey>();
            foreach ((CountKey key, CountState state) in states)
            {
                switch (key.Kind)
                {
                    case CountKind.Drop or CountKind.Accept:
                        seen.Add(key);
                        packets.Set(key, Labels, state.Total.Packets);
                        bytes.Set(key, Labels, state.Total.Bytes);
                        break;
                    case CountKind.Rule when names.Rules.ContainsKey(key):
                        seen.Add(key);
                        rulePackets.Set(key, RuleLabelsOf, state.Total.Packets);
                        ruleBytes.Set(key, RuleLabelsOf, state.Total.Bytes);
                        SetLastHit(key, state.LastHit);
                        break;
                }
            }

            End(seen);
            ruleSeries.Set(names.Rules.Count);
            ruleSeriesCut.Set(names.UncountedRules);
            return true;
        }
    }

    private void SetLastHit(CountKey key, DateTimeOffset? time)
    {
        if (!lastHits.TryGetValue(key, out string[]? labels))
        {
            lastHits.Add(key, labels = RuleLabelsOf(key));
        }

        lastHit.WithLabels(labels).Set((time?.ToUnixTimeMilliseconds() ?? 0) / 1000.0);
    }

    private void End(HashSet<CountKey> seen)
    {
        foreach (Family family in (Family[])[packets, bytes, rulePackets, ruleBytes])
        {
            family.End(seen);
        }

        foreach (CountKey gone in lastHits.Keys.Where(key => !seen.Contains(key)).ToArray())
        {
            lastHits.Remove(gone, out string[]? labels);
            lastHit.RemoveLabelled(labels!);
        }
    }

    private static string[] Labels(CountKey key) => key.Kind == CountKind.Accept
        ? [key.VnicId, Way(key.Direction), "accept", "passed"]
        : [key.VnicId, Way(key.Direction), "drop", key.Name];

    private static string Way(Direction direction) => direction == Direction.Egress ? "egress" : "ingress";

    private static string[] RuleLabelsOf(CountKey key) => [key.VnicId, Way(key.Direction), key.Name];

    /// <summary>The series of one counter, by what they are of.</summary>
    private sealed class Family(Counter counter)
    {
        private readonly Dictionary<CountKey, (Counter.Child Series, string[] Labels)> series = [];

        public void Set(CountKey key, Func<CountKey, string[]> labelled, ulong value)
        {
            if (!series.TryGetValue(key, out (Counter.Child Series, string[] Labels) one))
            {
                string[] labels = labelled(key);
                series.Add(key, one = (counter.WithLabels(labels), labels));
            }

            one.Series.IncTo(value);
        }

        public void End(HashSet<CountKey> seen)
        {
            foreach (CountKey gone in series.Keys.Where(key => !seen.Contains(key)).ToArray())
            {
                series.Remove(gone, out (Counter.Child Series, string[] Labels) one);
                counter.RemoveLabelled(one.Labels);
            }
        }
    }
}
