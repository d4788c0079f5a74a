using System.Globalization;
using Agent.Charts;

namespace Agent.Benchmarks.Packets;

/// <summary>What grows: ports of a host, and sessions of a vNIC that has a limit.</summary>
internal static class GrowthParts
{
    private static readonly int[] PortCounts = [2, 10, 100, 500, 1000];
    private static readonly int[] Alive = [0, 1000, 4000, 15_000];

    public static void Ports(PacketReport report, int rounds)
    {
        IFirewall legacy = new IptablesRules("iptables-legacy");
        IFirewall linear = new LinearRules();
        using var all = new Population(
            [PlainFirewall.Conntrack, AgentRules.Unlimited, linear, legacy],
            [.. PortCounts.Select(ports => new TrafficPolicy(10, ports))]);
        Dictionary<IFirewall, Samples[]> live = all.Measure(4 * rounds, bed => Cases.Datagrams(bed, 1000));
        Dictionary<IFirewall, Samples[]> opened = all.Measure(rounds, bed => Cases.Sessions(bed, 500));
        report.Section("Ports of a host", """
            Ten rules in each list; ten ports have the same lists, and the last port receives. Over conntrack and one
            accept rule: a packet of a session that lives, and one that opens a session.
            """);
        foreach ((string name, Dictionary<IFirewall, Samples[]> one) in
            ((string, Dictionary<IFirewall, Samples[]>)[])[("lives", live), ("opens", opened)])
        {
            Samples least = one[PlainFirewall.Conntrack][0];
            report.Table(name, [.. PortCounts.Select(ports =>
                string.Create(CultureInfo.InvariantCulture, $"{ports:N0} ports"))],
                all.Kinds.Where(kind => kind.HasPolicy).Select(kind =>
                    (kind.Name, one[kind].Select(at => PacketReport.More(at.Over(least))))));
            double exponent = Growth.Exponent(
                [.. PortCounts.Zip(one[AgentRules.Unlimited], (ports, at) => ((double)ports, at.Median))]);
            report.Line(string.Create(CultureInfo.InvariantCulture,
                $"The whole packet through sg-agent grows with the ports to the power of {exponent:0.000}.\n"));
        }

        report.Chart("packets-ports.svg", "A packet of a session that lives, by ports of the host",
            Axis.OfNumbers("ports"), Axis.OfNumbers("ns of processor time"),
            [.. all.Kinds.Where(kind => kind.HasPolicy).Select(kind => new Series(
                kind.Name, [.. PortCounts.Zip(live[kind], (ports, at) => ((double)ports, at.Median))]))]);
    }

    public static void Limit(PacketReport report, int rounds)
    {
        IFirewall[] kinds = [PlainFirewall.Conntrack, AgentRules.Unlimited, AgentRules.Usual];
        Samples[][] costs = [.. Alive.Select(alive =>
        {
            Samples[] at = [.. kinds.Select(_ => new Samples())];
            for (int round = 0; round < Math.Max(3, rounds / 3); round++)
            {
                for (int kind = 0; kind < kinds.Length; kind++)
                {
                    // A host of its own each time: the kernel's list remembers for a while what was forgotten.
                    using var bed = PacketBed.Build(kinds[kind], new TrafficPolicy(10, 2));
                    Func<double> burst = Cases.Sessions(bed, 300, alive);
                    Turns.Pinned(() => at[kind].Add(burst()));
                }
            }

            return at;
        })];
        report.Section("Sessions of a vNIC with a limit", """
            The kernel keeps a list of a vNIC's sessions for its limit (16,384 by default), and walks it at most once a
            tick and once in 64 new ones: in a burst, a new session costs the more the more are open. 0 turns it off.
            The table is what 300 new sessions in a burst cost each, over conntrack alone; both ends have a list.
            """);
        report.Table("open before", ["no limit", "limit of 16,384"], Alive.Zip(costs, (alive, at) => (
            alive.ToString("N0", CultureInfo.InvariantCulture),
            (IEnumerable<string>)[PacketReport.More(at[1].Over(at[0])), PacketReport.More(at[2].Over(at[0]))])));
    }

    public static void Pieces(PacketReport report, int rounds)
    {
        using var all = new Population([PlainFirewall.Conntrack, .. Piece.All()], [new TrafficPolicy(10, 2)]);
        Dictionary<IFirewall, Samples[]> costs = all.Measure(6 * rounds, bed => Cases.Datagrams(bed, 1000));
        Samples least = costs[PlainFirewall.Conntrack][0];
        report.Section("Pieces of a guard", """
            What decided how the guard at a guest's device is written: rules at its ingress, over conntrack and one
            accept rule.
            """);
        report.Table("", ["more"], all.Kinds.OfType<Piece>().Select(piece => (
            piece.Name, (IEnumerable<string>)[PacketReport.More(costs[piece][0].Over(least))])));
    }
}
