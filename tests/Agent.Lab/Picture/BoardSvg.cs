using System.Globalization;
using System.Net;
using System.Text;

namespace Agent.Lab.Picture;

/// <summary>Draws a dashboard with its numbers as one SVG: every panel in its place.</summary>
/// <param name="seconds">How long the time axis is.</param>
internal sealed class BoardSvg(double seconds)
{
    private const int Width = 960;
    private const int ColumnPixels = Width / 24;
    private const int RowPixels = 22;
    private const int Gap = 6;
    private const int HeadPixels = 34;
    private const int TitlePixels = 20;
    private const int LegendPixels = 14;
    private const int AxisPixels = 54;
    private const int Lines = 4;

    private static readonly string[] Colours =
        ["#3b7dd8", "#e0752d", "#2f9e6e", "#c4416b", "#8a63d2", "#b8860b", "#4aa3b5", "#7a7a7a"];

    private readonly StringBuilder svg = new();

    /// <param name="board">What is drawn.</param>
    /// <param name="series">The answers, panel by panel.</param>
    /// <param name="about">What the picture is of, how and when it was made.</param>
    internal string Draw(Board board, IReadOnlyList<IReadOnlyList<BoardSeries>> series, string about)
    {
        int height = HeadPixels + (board.Panels.Max(panel => panel.Row + panel.Rows) * RowPixels) + Gap;
        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {height}\" "
            + "font-family=\"system-ui,sans-serif\" font-size=\"10\">");
        Line($"<title>{Text(about)}</title>");
        Line($"<rect width=\"{Width}\" height=\"{height}\" fill=\"#f4f5f5\"/>");
        Line($"<text x=\"{Gap + 4}\" y=\"22\" font-size=\"15\" font-weight=\"600\" fill=\"#24292e\">"
            + $"{Text(board.Title)}</text>");
        Line($"<text x=\"{Width - Gap - 4}\" y=\"22\" text-anchor=\"end\" fill=\"#6e7781\">{Text(about)}</text>");
        foreach ((BoardPanel panel, IReadOnlyList<BoardSeries> answers) in board.Panels.Zip(series))
        {
            DrawPanel(panel, answers);
        }

        Line("</svg>");
        return svg.ToString();
    }

    private void DrawPanel(BoardPanel panel, IReadOnlyList<BoardSeries> series)
    {
        int width = (panel.Columns * ColumnPixels) - Gap;
        int height = (panel.Rows * RowPixels) - Gap;
        Line($"<g transform=\"translate({(panel.Column * ColumnPixels) + (Gap / 2)} "
            + $"{HeadPixels + (panel.Row * RowPixels)})\">");
        Line($"<rect width=\"{width}\" height=\"{height}\" rx=\"3\" fill=\"#fff\" stroke=\"#dfe2e5\"/>");
        Line($"<text x=\"8\" y=\"14\" font-weight=\"600\" fill=\"#24292e\">{Text(panel.Title)}</text>");
        if (panel.IsNumber)
        {
            string value = series.Count == 0 ? "no data" : BoardUnits.Format(series[0].Points[^1].Value, panel.Unit);
            Line($"<text x=\"{width / 2}\" y=\"{height - 18}\" font-size=\"26\" text-anchor=\"middle\" "
                + $"fill=\"{Colours[2]}\">{Text(value)}</text>");
        }
        else
        {
            DrawChart(panel, series, width, height);
        }

        Line("</g>");
    }

    private void DrawChart(BoardPanel panel, IReadOnlyList<BoardSeries> series, int width, int height)
    {
        (int left, int top) = (AxisPixels, TitlePixels + 4);
        (int across, int down) = (width - left - 10, height - top - (2 * LegendPixels) - 6);
        double most = BoardUnits.Ceiling(
            series.SelectMany(one => one.Points).Select(point => point.Value).DefaultIfEmpty(0).Max(), panel.Unit);
        for (int i = 0; i <= Lines; i++)
        {
            double y = top + down - (down * i / (double)Lines);
            Line($"<path d=\"M{left} {Short(y)}h{across}\" stroke=\"#ebedef\"/>");
            Line($"<text x=\"{left - 5}\" y=\"{Short(y + 3)}\" text-anchor=\"end\" fill=\"#6e7781\">"
                + $"{Text(BoardUnits.Format(most * i / Lines, panel.Unit))}</text>");
        }

        for (int i = 0; i <= Lines; i++)
        {
            Line($"<text x=\"{Short(left + (across * i / (double)Lines))}\" y=\"{top + down + 11}\" "
                + $"text-anchor=\"middle\" fill=\"#6e7781\">{Short(seconds * i / Lines)} s</text>");
        }

        double legend = left;
        foreach ((BoardSeries one, int i) in Shown(series).Select((one, i) => (one, i)))
        {
            string path = string.Join(' ', one.Points.Select(point => Short(left + (across * point.Seconds / seconds))
                + "," + Short(top + down - (down * point.Value / most))));
            Line($"<polyline points=\"{path}\" fill=\"none\" stroke=\"{Colours[i]}\" stroke-width=\"1.4\"/>");
            Line($"<text x=\"{Short(legend)}\" y=\"{height - 6}\" fill=\"{Colours[i]}\">"
                + $"\u25ac {Text(one.Name)}</text>");
            legend += 22 + (one.Name.Length * 5.4);
        }

        if (series.Count == 0)
        {
            Line($"<text x=\"{left + (across / 2)}\" y=\"{top + (down / 2)}\" text-anchor=\"middle\" "
                + "fill=\"#6e7781\">no data</text>");
        }
    }

    /// <summary>Those with something to show; if there are none, some of the others.</summary>
    private static IEnumerable<BoardSeries> Shown(IReadOnlyList<BoardSeries> series)
    {
        BoardSeries[] moved = [.. series.Where(one => one.Points.Any(point => point.Value != 0))];
        return moved.Length > 0 ? moved.Take(Colours.Length) : series.Take(Colours.Length / 2);
    }

    private void Line(string text) => svg.Append(text).Append('\n');

    private static string Short(double number) => number.ToString("0.#", CultureInfo.InvariantCulture);

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}

/// <summary>Numbers as a dashboard writes them.</summary>
internal static class BoardUnits
{
    /// <summary>The least of 1, 2 and 4 times a power of ten (of bytes: of MiB) that is not below.</summary>
    internal static double Ceiling(double value, string unit)
    {
        double one = unit == "bytes" ? 1 << 20 : 1;
        if (value <= 0 || !double.IsFinite(value))
        {
            return one;
        }

        double power = one * Math.Pow(10, Math.Floor(Math.Log10(value / one)));
        return ((double[])[1, 2, 4, 10]).Select(step => step * power).First(step => step >= value * (1 - 1e-9));
    }

    /// <param name="value">What.</param>
    /// <param name="unit">Grafana's name of its unit.</param>
    internal static string Format(double value, string unit) => unit switch
    {
        "s" => value >= 1 || value == 0 ? $"{Number(value)} s" : $"{Number(value * 1000)} ms",
        "bytes" => Scaled(value, 1024, ["B", "KiB", "MiB", "GiB"]),
        "Bps" => Scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s"]),
        "pps" => $"{Number(value)} p/s",
        "ops" => $"{Number(value)} /s",
        _ => Scaled(value, 1000, ["", "k", "M", "G"]).TrimEnd(),
    };

    private static string Scaled(double value, double step, string[] units)
    {
        int at = 0;
        while (Math.Abs(value) >= step && at < units.Length - 1)
        {
            value /= step;
            at++;
        }

        return $"{Number(value)} {units[at]}";
    }

    private static string Number(double value) => value.ToString(
        Math.Abs(value) >= 100 ? "0" : Math.Abs(value) >= 10 ? "0.#" : "0.##", CultureInfo.InvariantCulture);
}
