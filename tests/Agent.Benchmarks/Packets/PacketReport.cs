using System.Globalization;
using System.Text;
using Agent.Charts;

namespace Agent.Benchmarks.Packets;

/// <summary>Markdown in the making, with its charts and the account of what was aimed at.</summary>
internal sealed class PacketReport
{
    private readonly StringBuilder text = new();
    private readonly StringBuilder targets = new("| what | target | measured | |\n|---|--:|--:|---|\n");
    private readonly Dictionary<string, string> charts = [];

    /// <summary>SVG texts by file name.</summary>
    public IReadOnlyDictionary<string, string> Charts => charts;

    public string Text => $"## What was aimed at\n\n{targets}\n{text}";

    public void Section(string title, string about) =>
        text.Append(CultureInfo.InvariantCulture, $"## {title}\n\n{about}\n\n");

    public void Line(string line) => text.Append(line).Append('\n');

    public void Target(string what, string target, double measured, double limit, Func<double, string> show)
    {
        string row = $"| {what} | {target} | {show(measured)} | {(measured <= limit ? "met" : "**missed**")} |";
        Console.Error.WriteLine(row);
        targets.Append(row).Append('\n');
    }

    /// <summary>A table: one row for each name, one cell for each column.</summary>
    public void Table(
        string first, IReadOnlyList<string> columns, IEnumerable<(string Name, IEnumerable<string> Cells)> rows)
    {
        Line($"| {first} | {string.Join(" | ", columns)} |");
        Line($"|---|{string.Concat(columns.Select(_ => "--:|"))}");
        foreach ((string name, IEnumerable<string> cells) in rows)
        {
            string row = $"| {name} | {string.Join(" | ", cells)} |";
            Console.Error.WriteLine(row);
            Line(row);
        }

        Line("");
    }

    public void Chart(string file, string title, Axis x, Axis y, IReadOnlyList<Series> lines)
    {
        charts.Add(file, LineChart.Draw(title, x, y, lines));
        Line($"![{title}]({file})\n");
    }

    /// <summary>Nanoseconds, with sign.</summary>
    public static string More(double nanoseconds) =>
        nanoseconds.ToString("+#,0 ns;-#,0 ns;0 ns", CultureInfo.InvariantCulture);

    public static string Part(double part) => part.ToString("+0.0 %;-0.0 %;0.0 %", CultureInfo.InvariantCulture);
}
