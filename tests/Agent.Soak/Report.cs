using System.Globalization;
using System.Text;
using Agent.Charts;
using Agent.Soak.Judging;
using Agent.Soak.Sampling;

namespace Agent.Soak;

/// <summary>A run as a page with a table and plots beside it.</summary>
internal static class Report
{
    /// <summary>A line of a plot needs no more.</summary>
    private const int PointsShown = 240;

    /// <summary>Of a finding; the output has all of it.</summary>
    private const int LineShown = 110;

    private static readonly (string File, string Title, string Unit, Quantity[] Lines)[] Plots =
    [
        ("memory", "Memory of the daemon", "MiB",
            [Quantity.Resident, Quantity.Private, Quantity.Anonymous, Quantity.Heap]),
        ("descriptors", "Descriptors and threads of the daemon", "", [Quantity.Descriptors, Quantity.Threads]),
        ("objects", "What the kernel holds of ours", "",
            [Quantity.Chains, Quantity.Rules, Quantity.Sets, Quantity.Counters, Quantity.Timeouts]),
        ("elements", "Set elements, and sessions", "", [Quantity.Elements, Quantity.Sessions]),
        ("times", "A change: proof, commit, answer, and processor time of the daemon", "ms",
            [Quantity.Proof, Quantity.Commit, Quantity.Answer, Quantity.Processor]),
        ("state", "State directory", "KiB", [Quantity.State]),
        ("log", "Log", "KiB/s", [Quantity.Log]),
    ];

    /// <param name="path">The page; plots stand in the same folder.</param>
    /// <param name="result">What it tells.</param>
    /// <param name="commit">Of the sources.</param>
    public static void Write(string path, SoakResult result, string commit)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        foreach ((string file, string title, string unit, Quantity[] lines) in Plots)
        {
            File.WriteAllText(Path.Combine(folder, $"{file}.svg"), Draw(title, unit, lines, result.Samples));
        }

        File.WriteAllText(path, Page(result, commit));
    }

    /// <summary>What was sampled, and how it was judged.</summary>
    public static string Table(SoakResult result)
    {
        var text = new StringBuilder();
        text.AppendLine("| | over | was | most | growth | allowed | flat |");
        text.AppendLine("|---|---|--:|--:|--:|--:|---|");
        foreach (Finding finding in result.Findings)
        {
            string unit = finding.Of.Unit.Length > 0 ? $", {finding.Of.Unit}" : "";
            text.AppendLine(CultureInfo.InvariantCulture,
                $"| {finding.Of.Name}{unit} | {(finding.Of.Span == Span.Life ? "last life" : "run")} "
                + $"| {finding.Level:0.#} | {finding.Most:0.#} | {finding.Growth:+0.##;-0.##;0} "
                + $"| {(double.IsFinite(finding.Allowance) ? $"{finding.Allowance:0.#}" : "any")} "
                + $"| {(finding.IsFlat ? "yes" : "**no**")} |");
        }

        return text.ToString();
    }

    private static string Page(SoakResult result, string commit)
    {
        string processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith(
            "model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown";
        string[] failures = [.. result.Failures()];
        var page = new StringBuilder();
        page.AppendLine(CultureInfo.InvariantCulture, $"""
            # A long run

            Written by `make soak`. The real daemon on a host of its own: a controller changes rules, members, groups,
            vNICs with their devices and idle times, {result.Options.StepsPerSecond} times a second; another controller
            takes over now and then and sends a snapshot; guests have sessions that live as long as the run, open new
            ones, and try what is forbidden; clients ask, subscribe and leave, some without a word; /metrics is read,
            and left in the middle of a page. In the first quarter the daemon is stopped or killed, and started again.

            | | |
            |---|---|
            | time | {result.Took:hh\:mm\:ss}, on {TimeProvider.System.GetUtcNow():yyyy-MM-dd} |
            | processor | {processor}, {Environment.ProcessorCount} cores for everything |
            | kernel | {File.ReadAllText("/proc/sys/kernel/osrelease").Trim()} |
            | daemon | {Kind(result.Daemon)} |
            | commit | {commit} |
            | changes | seed {result.Options.Seed} |

            ## {(failures.Length == 0 ? "All is flat" : "Not all is well")}

            Growth is by the slope of Theil and Sen (the median of the slopes between all pairs of samples) over the
            last two thirds of the time: of the last life of the daemon for what a process has, of the run for what
            outlives one. "Was" is the median when these two thirds began.

            """);
        foreach (string failure in failures)
        {
            string first = failure.Split('\n')[0];
            page.AppendLine(first.Length > LineShown ? $"- {first[..LineShown]} ..." : $"- {first}");
        }

        page.AppendLine(Table(result));
        AddRest(page, result);
        AddCounts(page, result);
        foreach ((string file, _, _, _) in Plots)
        {
            page.AppendLine(CultureInfo.InvariantCulture, $"\n![]({file}.svg)");
        }

        return page.ToString();
    }

    private static void AddRest(StringBuilder page, SoakResult result)
    {
        page.AppendLine("""
            ## At rest

            At the end the controller puts the first policy back. What the kernel holds for it must be the same to the
            piece.

            | | at first | at the end |
            |---|--:|--:|
            """);
        foreach (Quantity quantity in Quantity.SameAtRest.Append(Quantity.Timeouts).Append(Quantity.Descriptors)
            .Append(Quantity.Threads).Append(Quantity.Private))
        {
            page.AppendLine(CultureInfo.InvariantCulture,
                $"| {quantity.Name} | {result.Before.Values[quantity]:0.#} | {result.After.Values[quantity]:0.#} |");
        }
    }

    private static void AddCounts(StringBuilder page, SoakResult result)
    {
        page.AppendLine("""

            ## What went on

            Whatever is allowed arrived, and nothing that is forbidden did.

            | | times |
            |---|--:|
            """);
        foreach ((string what, long count) in result.Counts.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            page.AppendLine(CultureInfo.InvariantCulture, $"| {what} | {count:N0} |");
        }
    }

    private static string Kind(string program) =>
        File.Exists(Path.ChangeExtension(program, "dll")) || File.Exists(program + ".dll")
            ? "release, JIT" : "native (AOT)";

    private static string Draw(string title, string unit, Quantity[] lines, IReadOnlyList<Sample> samples) =>
        LineChart.Draw(
            title, Axis.OfNumbers("minutes", isLogarithmic: false), Axis.OfNumbers(unit, isLogarithmic: false),
            [.. lines.Select(line => new Series(line.Name, Thinned(line, samples)) { IsStepped = true })
                .Where(line => line.Points.Count > 0)]);

    // The median of neighbours stands for them.
    private static (double X, double Y)[] Thinned(Quantity quantity, IReadOnlyList<Sample> samples)
    {
        Sample[] with = [.. samples.Where(sample => sample.Values.ContainsKey(quantity))];
        int together = Math.Max(1, (with.Length + PointsShown - 1) / PointsShown);
        return [.. with.Chunk(together).Select(
            some => (some[0].Seconds / 60, Trend.Median(some.Select(sample => sample.Values[quantity]))))];
    }
}
