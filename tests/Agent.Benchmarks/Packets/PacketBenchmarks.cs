using System.Globalization;
using System.Text;

namespace Agent.Benchmarks.Packets;

/// <summary>What a packet costs, of processor time: sg-agent and what an operator would use instead.</summary>
internal sealed class PacketBenchmarks(string? only, int rounds)
{
    private static readonly int[] RuleCounts = [10, 100, 1000];

    private readonly StringBuilder text = new();

    /// <param name="only">Part of the name of what is measured; null: everything.</param>
    /// <param name="rounds">How often each case has its turn.</param>
    /// <returns>The tables, Markdown.</returns>
    public static string Run(string? only, int rounds)
    {
        var all = new PacketBenchmarks(only, rounds);
        all.Part("established", all.Established);
        all.Part("sessions", all.Sessions);
        all.Part("drops", all.Drops);
        all.Part("pieces", all.Pieces);
        return all.text.ToString();
    }

    private void Part(string name, Action measure)
    {
        if (only is null || name.Contains(only, StringComparison.Ordinal))
        {
            var clock = System.Diagnostics.Stopwatch.StartNew();
            measure();
            Console.Error.WriteLine($"{name}: {clock.Elapsed.TotalSeconds:F0} s");
        }
    }

    private static IEnumerable<IFirewall> Others() =>
        [new LinearRules(), new IptablesRules("iptables-legacy"), new IptablesRules("iptables-nft")];

    private static List<PacketBed> Beds(params IEnumerable<IFirewall> kinds)
    {
        var beds = new List<PacketBed>();
        foreach (IFirewall kind in kinds.Where(kind => Environment.GetEnvironmentVariable("FW") is not string fw || kind.Name==fw || kind == PlainFirewall.Conntrack))
        {
            foreach (int rules in kind.HasPolicy ? RuleCounts : [RuleCounts[0]])
            {
                beds.Add(PacketBed.Build(kind, new TrafficPolicy(rules, 2)));
            }
        }

        return beds;
    }

    private void Established()
    {
        List<PacketBed> beds = Beds(
            [PlainFirewall.None, PlainFirewall.Conntrack, AgentRules.Usual, AgentRules.Unguarded, .. Others()]);
        foreach ((string title, Func<PacketBed, int, Func<double>> make) in
            ((string, Func<PacketBed, int, Func<double>>)[])[("UDP", Cases.Datagrams), ("TCP", Cases.Segments)])
        {
            Dictionary<PacketBed, Series> all = Measure(beds, bed => make(bed, 1500));
            Table($"established {title}", all, Reference(all, PlainFirewall.Conntrack));
        }

        beds.ForEach(bed => bed.Dispose());
    }

    private void Pieces()
    {
        List<PacketBed> beds = Beds([PlainFirewall.Conntrack, .. Piece.All()]);
        Dictionary<PacketBed, Series> all = Measure(beds, bed => Cases.Datagrams(bed, 1500));
        Table("pieces", all, Reference(all, PlainFirewall.Conntrack));
        beds.ForEach(bed => bed.Dispose());
    }

    private void Sessions()
    {
        List<PacketBed> beds = Beds([PlainFirewall.None, PlainFirewall.Conntrack, AgentRules.Usual,
            AgentRules.Unlimited, AgentRules.Unguarded, .. Others()]);
        Dictionary<PacketBed, Series> all = Measure(beds, bed => Cases.Sessions(bed, 1000));
        Table("new", all, Reference(all, PlainFirewall.Conntrack));
        beds.ForEach(bed => bed.Dispose());
    }

    private void Drops()
    {
        PlainFirewall drop = PlainFirewall.OneDrop(new TrafficPolicy(10, 2));
        List<PacketBed> beds = Beds([drop, AgentRules.Usual, .. Others()]);
        Dictionary<PacketBed, Series> all = Measure(beds, bed => Cases.Flood(bed, 2000));
        Table("dropped", all, Reference(all, drop));
        beds.ForEach(bed => bed.Dispose());
    }

    private Dictionary<PacketBed, Series> Measure(List<PacketBed> beds, Func<PacketBed, Func<double>> make)
    {
        Dictionary<PacketBed, Series> all = beds.ToDictionary(
            bed => bed, bed => new Series($"{bed.Kind.Name} {bed.Policy.Rules}"));
        Turns.Take(rounds, [.. all.Select(pair => (pair.Value, make(pair.Key)))]);
        return all;
    }

    private static Series Reference(Dictionary<PacketBed, Series> all, IFirewall kind) =>
        all.Single(pair => pair.Key.Kind == kind).Value;

    private void Table(string title, Dictionary<PacketBed, Series> all, Series reference)
    {
        text.AppendLine(CultureInfo.InvariantCulture, $"## {title}\n");
        foreach (Series one in all.Values)
        {
            text.AppendLine(CultureInfo.InvariantCulture,
                $"{one.Name,-40} {one} {one.Over(reference):+0;-0} ns {100 * one.PartOver(reference):+0.0;-0.0} %");
        }

        text.AppendLine();
    }
}
