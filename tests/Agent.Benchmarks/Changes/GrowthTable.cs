using System.Globalization;
using System.Text;
using Agent.Charts;
using Agent.Contract;
using Agent.Policy;
using Agent.V1;

namespace Agent.Benchmarks.Changes;

/// <summary>How costs grow with a host, along one axis at a time.</summary>
internal static class GrowthTable
{
    private const int Rounds = 15;

    private sealed record GrowthAxis(string Name, int[] Sizes, Func<int, PolicySnapshot> Host, string Rest);

    /// <summary>One kind of cost along an axis.</summary>
    private sealed record Quantity(string Name, Func<Point, double> Of, string Unit);

    private sealed record Point(int Size, ChangeCost Load, ChangeCost Anew, ChangeCost Member, ChangeCost Rule);

    private static readonly GrowthAxis[] Axes =
    [
        new("rules", [10, 30, 100, 300, 1000], rules => BenchmarkHost.Of(10, 2, rules, 1000),
            "10 vNICs of 2 groups, one of which has 1,000 members; rules of each group"),
        new("vNICs", [2, 10, 100, 1000], vnics => BenchmarkHost.Of(vnics, 2, 50, 1000),
            "2 groups with 50 rules, one of which has 1,000 members"),
        new("members", [10, 100, 1000, 10_000, 65_536], members => BenchmarkHost.Of(200, 20, 50, members - 8),
            "200 vNICs of 20 groups with 50 rules; members of one group that all others name"),
    ];

    private static readonly Quantity[] Quantities =
    [
        new("load: compile", point => point.Anew.Milliseconds[Stage.Compile], "ms"),
        new("load: allocated", point => point.Anew.Allocated[Stage.Compile] / 1024.0, "KiB"),
        new("load: commit", point => point.Load.Milliseconds.GetValueOrDefault(Stage.Commit), "ms"),
        new("load: messages", point => point.Load.Messages, ""),
        new("load: netlink", point => point.Load.Bytes / 1024.0, "KiB"),
        .. OfChange("member", point => point.Member),
        .. OfChange("rule", point => point.Rule),
    ];

    /// <param name="folder">Where the charts go; null: nowhere.</param>
    public static string Run(string? folder)
    {
        var text = new StringBuilder("""
            ## Growth

            In one process, on one thread, with the real kernel: processor time, so that other work is not in it; of
            changes medians. Own: from the bytes of the delta to the plan (read, hash, compile, compare, plan), without
            the proof, the disk and the kernel. The exponent is that of the best power law (least squares of
            logarithms): 0 does not grow, 1 grows as the size does.

            """);
        foreach (GrowthAxis axis in Axes)
        {
            Point[] points = [.. axis.Sizes.Select(size => Measure(axis, size))];
            Add(text, axis, points);
            if (folder is not null)
            {
                string chart = $"changes-{axis.Name.ToLowerInvariant()}.svg";
                File.WriteAllText(Path.Combine(folder, chart), Chart(axis, points));
                text.AppendLine().AppendLine($"![]({chart})");
            }
        }

        return text.ToString();
    }

    private static IEnumerable<Quantity> OfChange(string name, Func<Point, ChangeCost> cost) =>
    [
        new($"{name}: own", point => cost(point).OwnMilliseconds, "ms"),
        new($"{name}: allocated", point => cost(point).OwnAllocated / 1024.0, "KiB"),
        new($"{name}: commit", point => cost(point).Milliseconds.GetValueOrDefault(Stage.Commit), "ms"),
        new($"{name}: messages", point => cost(point).Messages, ""),
        new($"{name}: netlink", point => cost(point).Bytes / 1024.0, "KiB"),
    ];

    private static Point Measure(GrowthAxis axis, int size)
    {
        Console.Error.WriteLine($"{axis.Name} {size}");
        using var host = new ChangeHost(proves: false);
        Snapshot snapshot = SnapshotWriter.Write(axis.Host(size));
        ChangeCost load = host.Load(snapshot);
        ChangeCost anew = Median([.. Enumerable.Range(0, 3).Select(_ => host.CompileAnew())]);
        var state = new FlowState(snapshot);
        ChangeCost member = Median([.. Enumerable.Range(0, Rounds).Select(i => host.Change(state.Member(i)))]);
        ChangeCost rule = Median([.. Enumerable.Range(0, Rounds).Select(i => host.Change(state.Rule(i)))]);
        return new Point(size, load, anew, member, rule);
    }

    private static void Add(StringBuilder text, GrowthAxis axis, Point[] points)
    {
        text.AppendLine().AppendLine(CultureInfo.InvariantCulture, $"### {axis.Name}").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"{axis.Rest}.").AppendLine();
        IEnumerable<string> sizes = points.Select(point => point.Size.ToString("N0", CultureInfo.InvariantCulture));
        text.AppendLine($"| | {string.Join(" | ", sizes)} | exponent |");
        text.AppendLine($"|---|{string.Concat(points.Select(_ => "--:|"))}--:|");
        foreach (Quantity quantity in Quantities)
        {
            IEnumerable<string> cells = points.Select(point => Show(quantity.Of(point), quantity.Unit));
            text.AppendLine(CultureInfo.InvariantCulture,
                $"| {quantity.Name} | {string.Join(" | ", cells)} | {ExponentOf(points, quantity.Of):F2} |");
        }
    }

    private static string Chart(GrowthAxis axis, Point[] points) => LineChart.Draw(
        $"Processor time over {axis.Name}", Axis.OfNumbers(axis.Name), Axis.OfTime("processor time"),
        [.. Quantities.Where(quantity => quantity.Unit == "ms").Select(quantity => new Series(
            string.Create(CultureInfo.InvariantCulture, $"{quantity.Name} ({ExponentOf(points, quantity.Of):F2})"),
            [.. points.Select(point => ((double)point.Size, Math.Max(0.001, quantity.Of(point)) / 1000))]))]);

    private static double ExponentOf(Point[] points, Func<Point, double> value) =>
        Growth.Exponent([.. points.Select(point => ((double)point.Size, Math.Max(0.001, value(point))))]);

    private static string Show(double value, string unit)
    {
        string format = unit == "ms" ? "F2" : value < 10 && unit.Length > 0 ? "F1" : "N0";
        return $"{value.ToString(format, CultureInfo.InvariantCulture)} {unit}".TrimEnd();
    }

    private static ChangeCost Median(ChangeCost[] costs) =>
        costs.OrderBy(cost => cost.Milliseconds.Values.Sum()).ElementAt(costs.Length / 2);
}
