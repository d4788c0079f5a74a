using System.Globalization;
using Agent.Charts;

namespace Agent.Benchmarks.Packets;

/// <summary>What rules cost: 10, 100 and 1,000 of them in each direction, two ports on the host.</summary>
internal static class RuleParts
{
    private static readonly int[] Counts = [10, 100, 1000];

    private static readonly TrafficPolicy[] Sizes = [.. Counts.Select(rules => new TrafficPolicy(rules, 2))];

    private static IEnumerable<IFirewall> Others() =>
    [
        new LinearRules(), new IptablesRules("iptables-legacy"), new IptablesRules("iptables-nft"),
        .. new[] { FirewalldRules.Find() }.OfType<IFirewall>(),
    ];

    private static string[] Columns(string unit) =>
        [.. Counts.Select(rules => string.Create(CultureInfo.InvariantCulture, $"{rules:N0} {unit}"))];

    private static readonly PlainFirewall OneDrop = PlainFirewall.OneDrop(Sizes[0]);

    /// <summary>All three kinds of packets through the same hosts.</summary>
    public static void Measure(PacketReport report, int rounds)
    {
        using var all = new Population(
        [
            PlainFirewall.None, PlainFirewall.Conntrack, OneDrop, AgentRules.Usual, AgentRules.Unlimited,
            AgentRules.Unguarded, AgentRules.Silent, .. Others(),
        ], Sizes);
        Established(report, all.Without(OneDrop, AgentRules.Unlimited, AgentRules.Silent), rounds);
        Sessions(report, all.Without(OneDrop, AgentRules.Silent), rounds);
        Drops(report, all.Without(
            PlainFirewall.None, PlainFirewall.Conntrack, AgentRules.Unlimited, AgentRules.Unguarded), rounds);
    }

    private static void Established(PacketReport report, Population all, int rounds)
    {
        Dictionary<IFirewall, Samples[]> udp = all.Measure(6 * rounds, bed => Cases.Datagrams(bed, 1500));
        Dictionary<IFirewall, Samples[]> tcp = all.Measure(6 * rounds, bed => Cases.Segments(bed, 1500));
        report.Section("Packets of sessions that live", """
            256 sessions in turn. In brackets: over conntrack and one accept rule.
            """);
        report.Table("", [.. Columns("rules, UDP"), .. Columns("rules, TCP")], all.Kinds.Select(kind => (kind.Name,
            udp[kind].Select(one => Whole(one, udp[PlainFirewall.Conntrack][0]))
                .Concat(Padding(udp[kind]))
                .Concat(tcp[kind].Select(one => Whole(one, tcp[PlainFirewall.Conntrack][0])))
                .Concat(Padding(tcp[kind])))));
        foreach ((string name, Dictionary<IFirewall, Samples[]> one) in
            ((string, Dictionary<IFirewall, Samples[]>)[])[("UDP", udp), ("TCP", tcp)])
        {
            report.Target(
                $"packet of a session that lives ({name}), 1,000 rules, over conntrack and one accept rule", "5 %",
                one[AgentRules.Usual][^1].PartOver(one[PlainFirewall.Conntrack][0]), 0.05, PacketReport.Part);
            report.Target($"the same without the guard at the guest's device ({name})", "",
                one[AgentRules.Unguarded][^1].PartOver(one[PlainFirewall.Conntrack][0]), 0.05, PacketReport.Part);
        }
    }

    private static void Sessions(PacketReport report, Population all, int rounds)
    {
        Dictionary<IFirewall, Samples[]> costs = all.Measure(rounds, bed => Cases.Sessions(bed, 1000));
        Samples least = costs[PlainFirewall.Conntrack][0];
        report.Section("Packets that open a session", string.Create(CultureInfo.InvariantCulture, $"""
            Each packet opens a UDP session between two guests of the host, which the egress list of the one and the
            ingress list of the other admit by their last rule; 1,000 at a time, then all are forgotten. Conntrack alone
            takes {least}; the table is what is added to that.
            """));
        report.Table("", Columns("rules"), all.Kinds.Where(kind => kind.HasPolicy).Select(kind => (kind.Name,
            costs[kind].Select(one => More(one, least)))));
        report.Chart("packets-sessions.svg", "A new session, over conntrack alone",
            Axis.OfNumbers("rules in each list"), Axis.OfNumbers("ns of processor time"),
            [.. all.Kinds.Where(kind => kind.HasPolicy).Select(kind => new Series(kind.Name, [.. Counts.Zip(costs[kind],
                    (rules, one) => ((double)rules, Math.Max(1, one.Over(least))))]))]);
        Samples[] ours = costs[AgentRules.Unlimited];
        Samples[] linear = costs[all.Kinds.OfType<LinearRules>().Single()];
        report.Target("new session through both lists, 1,000 rules each, over conntrack alone (no session limit)",
            "+1.3 us", ours[^1].Over(least), 1300, PacketReport.More);
        report.Target("how many times less than a rule each: at least 20", "1/20",
            ours[^1].Over(least) / linear[^1].Over(least), 1 / 20.0, Fraction);
        report.Target("new session, 1,000 rules against 10", "1.3",
            ours[^1].Over(least) / ours[0].Over(least), 1.3, Ratio);
        report.Target("a rule each: at least 10 times worse at 1,000 than at 10", "1/10",
            linear[0].Over(least) / linear[^1].Over(least), 0.1, Fraction);
    }

    private static void Drops(PacketReport report, Population all, int rounds)
    {
        Dictionary<IFirewall, Samples[]> costs = all.Measure(2 * rounds, bed => Cases.Flood(bed, 1000));
        Samples least = costs[OneDrop][0];
        report.Section("Packets that are dropped", """
            A flood of UDP from outside, from 256 ports, for which the receiver's list has no rule. sg-agent counts each
            drop by vNIC and reason, and reports ten of them a second; the others count nothing of the kind.
            """);
        report.Table("", Columns("rules"), all.Kinds.Select(kind => (kind.Name,
            costs[kind].Select(one => Whole(one, least)).Concat(Padding(costs[kind])))));
        report.Target("dropped packet under a flood, 1,000 rules, against one drop rule behind a dispatch", "1.3",
            1 + costs[AgentRules.Usual][^1].PartOver(least), 1.3, Ratio);
        report.Target("the same, drops not reported", "", 1 + costs[AgentRules.Silent][^1].PartOver(least), 1.3, Ratio);
    }

    private static IEnumerable<string> Padding(Samples[] samples) =>
        Enumerable.Repeat("", samples.Length == 1 ? Counts.Length - 1 : 0);

    private static string Whole(Samples one, Samples least) => ReferenceEquals(one, least) ? one.ToString()
        : $"{one} ({PacketReport.Part(one.PartOver(least))})";

    private static string More(Samples one, Samples least) => string.Create(CultureInfo.InvariantCulture,
        $"{PacketReport.More(one.Over(least))} (±{one.Spread * one.Median:N0})");

    private static string Ratio(double ratio) => ratio.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Fraction(double part) =>
        string.Create(CultureInfo.InvariantCulture, $"1/{1 / part:0.0}");
}
