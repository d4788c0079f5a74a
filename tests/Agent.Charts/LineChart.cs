using System.Globalization;
using System.Net;
using System.Text;

namespace Agent.Charts;

/// <summary>Lines over two axes, as an SVG that stands alone; equal input gives equal text.</summary>
public static class LineChart
{
    private const int Width = 720;
    private const int Height = 320;
    private const int Left = 64;
    private const int Right = 16;
    private const int Top = 34;
    private const int Bottom = 60;
    private const int LegendWidth = 160;

    private static readonly string[] Colours = ["#3b7dd8", "#e0752d", "#2f9e6e", "#c4416b", "#8a63d2", "#6b7a3a"];

    /// <summary>Draws it.</summary>
    /// <param name="title">Above it.</param>
    /// <param name="x">The horizontal axis.</param>
    /// <param name="y">The vertical one.</param>
    /// <param name="lines">At least one, in the legend's order.</param>
    public static string Draw(string title, Axis x, Axis y, IReadOnlyList<Series> lines)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(y);
        ArgumentNullException.ThrowIfNull(lines);
        Scale across = x.Over(lines.SelectMany(line => line.Points, (_, point) => point.X));
        Scale up = y.Over(lines.SelectMany(line => line.Points, (_, point) => point.Y));
        double X(double value) => Left + (across.Place(value) * (Width - Left - Right));
        double Y(double value) => Height - Bottom - (up.Place(value) * (Height - Top - Bottom));

        var svg = new StringBuilder();
        svg.AppendLine(Invariant($"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {Height}" font-family="sans-serif"
              font-size="11">
            <title>{Text(title)}</title>
            <rect width="{Width}" height="{Height}" fill="#fff"/>
            <text x="{Left}" y="18" font-size="14" font-weight="600">{Text(title)}</text>
            <text x="{Width - Right}" y="{Height - Bottom + 32}" text-anchor="end" fill="#57606a">{Text(x.Title)}</text>
            <text x="{Width - Right}" y="18" text-anchor="end" fill="#57606a">{Text(y.Title)}</text>
            """));
        foreach (double tick in up.Ticks)
        {
            svg.AppendLine(Invariant($"""
                <path d="M{Left} {Y(tick):0.0}H{Width - Right}" stroke="#dfe2e5"/>
                <text x="{Left - 6}" y="{Y(tick) + 4:0.0}" text-anchor="end">{Text(y.Show(tick))}</text>
                """));
        }

        foreach (double tick in across.Ticks)
        {
            svg.AppendLine(Invariant($"""
                <path d="M{X(tick):0.0} {Top}V{Height - Bottom}" stroke="#dfe2e5"/>
                <text x="{X(tick):0.0}" y="{Height - Bottom + 16}" text-anchor="middle">{Text(x.Show(tick))}</text>
                """));
        }

        for (int i = 0; i < lines.Count; i++)
        {
            string colour = Colours[i % Colours.Length];
            (double, double)[] places = [.. lines[i].Points.Select(point => (X(point.X), Y(point.Y)))];
            svg.AppendLine(lines[i].IsStepped ? Stepped(places, Y(up.From), colour) : Straight(places, colour));
            svg.AppendLine(Invariant($"""
                <text x="{Left + (i % 4 * LegendWidth)}" y="{Height - 20 + (i / 4 * 13)}"
                  fill="{colour}">{Text(lines[i].Name)}</text>
                """));
        }

        return svg.AppendLine("</svg>").ToString();
    }

    private static string Stepped((double X, double Y)[] places, double floor, string colour)
    {
        IEnumerable<string> path = places.Select(place => Invariant($"H{place.X:0.0}V{place.Y:0.0}"));
        return Invariant($"""
            <path d="M{places[0].X:0.0} {floor:0.0}{string.Concat(path)}" fill="none" stroke="{colour}"
              stroke-width="2"/>
            """);
    }

    private static string Straight((double X, double Y)[] places, string colour)
    {
        string path = string.Join('L', places.Select(place => Invariant($"{place.X:0.0} {place.Y:0.0}")));
        IEnumerable<string> dots = places.Select(place =>
            Invariant($"""<circle cx="{place.X:0.0}" cy="{place.Y:0.0}" r="3" fill="{colour}"/>"""));
        return Invariant($"""
            <path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>
            {string.Join('\n', dots)}
            """);
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
