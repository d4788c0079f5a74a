using System.Globalization;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Live;

/// <summary>The live view as lines of a terminal. Pure.</summary>
/// <param name="width">Columns.</param>
/// <param name="height">Lines.</param>
/// <param name="color">Escape sequences for colours may be used.</param>
internal sealed class TopFrame(int width, int height, bool color)
{
    private const string Keys = "q quit  s sort  up/down choose  enter inside  esc back  p pause";

    /// <summary>Below each other, for so many lines of vNICs at least, a terminal is too low for both tables.</summary>
    private const int RowsLeast = 3;

    /// <param name="view">What was chosen.</param>
    /// <param name="report">What is shown; null: none has come yet.</param>
    /// <returns>As many lines as the terminal has, or fewer.</returns>
    public IReadOnlyList<string> Lines(TopView view, TopReport? report)
    {
        List<string> lines = Text(screen => Head(screen, view, report));
        int body = height - lines.Count - 2; // an empty line, and the keys
        if (report is not null && body > 0)
        {
            lines.Add("");
            lines.AddRange(view.IsInside && report.Vnics.FirstOrDefault(one => one.VnicId == view.Chosen) is { } vnic
                ? Inside(vnic, view, body) : Overview(view, report, body));
        }

        lines.AddRange(Enumerable.Repeat("", Math.Max(0, height - 1 - lines.Count)));
        return [.. lines.Take(Math.Max(0, height - 1)), .. Text(screen => screen.Line((Cut(Keys), Screen.Dim)))];
    }

    /// <summary>vNIC ids as they are listed.</summary>
    public static IReadOnlyList<string> Rows(TopView view, TopReport? report) =>
        report is null ? [] : [.. TopText.Sorted(report, view.Sort).Select(vnic => vnic.VnicId)];

    private void Head(Screen screen, TopView view, TopReport? report)
    {
        string state = $"{(view.IsPaused ? "paused, " : "")}by {view.Sort.ToString().ToLowerInvariant()}";
        screen.Line((Cut(report is null ? $"waiting for the first numbers, {state}"
            : $"{TopText.Headline(report)}, {state}"), Screen.Strong));
        foreach (string note in report?.Notes ?? [])
        {
            screen.Line((Cut($"note: {note}"), Screen.Warning));
        }
    }

    private List<string> Overview(TopView view, TopReport report, int body)
    {
        VnicTraffic[] vnics = [.. TopText.Sorted(report, view.Sort)];
        TopRow[] talkers = [.. TopText.Talkers(report.Vnics, view.Sort)];

        // Two heads and an empty line between. The vNICs get half, or what the sessions leave.
        int room = body - 3;
        int forTalkers = Math.Min(talkers.Length, Math.Max(room - vnics.Length, room / 2));
        if (room < 2 * RowsLeast)
        {
            (room, forTalkers) = (body - 1, 0);
        }

        int forVnics = Math.Clamp(room - forTalkers, 0, vnics.Length);
        int place = view.PlaceIn([.. vnics.Select(vnic => vnic.VnicId)]);
        int first = Math.Clamp(place - (forVnics / 2), 0, vnics.Length - forVnics);
        string? mark = vnics.Length > 0 ? vnics[place].VnicId : null;
        List<string> lines = Text(screen =>
            TopText.Print(screen, vnics.AsSpan(first, forVnics).ToArray(), width, mark));
        if (forTalkers > 0)
        {
            lines.Add("");
            lines.AddRange(Text(screen => TopText.Print(screen, talkers[..forTalkers], width)));
        }

        return lines;
    }

    private List<string> Inside(VnicTraffic vnic, TopView view, int body) => Text(screen =>
    {
        screen.Line((vnic.VnicId, Screen.Strong), (Cut($"  {vnic.InterfaceName}"), Screen.Plain));
        screen.Line(Cut(Way("in", vnic.Ingress)));
        screen.Line(Cut(Way("out", vnic.Egress)));
        screen.Line(Cut(Count.Of((long)vnic.Sessions, "session") + (vnic.HasNewSessionsPerSecond
            ? $", {Count.Rate(vnic.NewSessionsPerSecond)} new/s" : "")));
        TopRow[] rows = [.. TopText.Talkers([vnic], view.Sort).Take(Math.Max(0, body - 6))];
        if (rows.Length > 0)
        {
            screen.Line();
            TopText.Print(screen, rows, width);
        }
    });

    private static string Way(string way, TrafficRate rate) => string.Create(CultureInfo.InvariantCulture,
        $"{way,-3}  {Count.Rate(rate.BitsPerSecond)} bit/s  {Count.Rate(rate.PacketsPerSecond)} pkt/s  ")
        + $"{Count.Rate(rate.DropsPerSecond)} drops/s{(rate.TopDropReason.Length > 0 ? ", mostly " : "")}"
        + rate.TopDropReason;

    private List<string> Text(Action<Screen> print)
    {
        var text = new StringWriter { NewLine = "\n" };
        print(new Screen(text, null, color));
        return [.. text.ToString().Split('\n')[..^1]];
    }

    // Before colours: an escape sequence must not be cut in two.
    private string Cut(string text) => text.Length <= width ? text : text[..Math.Max(0, width)];
}
