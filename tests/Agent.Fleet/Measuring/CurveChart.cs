using System.Globalization;
using System.Text;

namespace Agent.Fleet.Measuring;

/// <summary>One line of a chart: sorted times, at each of which one more agent is done.</summary>
internal sealed record Curve(string Name, IReadOnlyList<TimeSpan> Times);

/// <summary>Which part of the agents is done after which time, as an SVG. Time is logarithmic.</summary>
internal static class CurveChart
{
    private const int Width = 720;
    private const int Height = 300;
    private const int Left = 50;
    private const int Right = 16;
    private const int Top = 34;
    private const int Bottom = 40;

    private static readonly string[] Colours = ["#3b7dd8", "#e0752d", "#2f9e6e", "#c4416b", "#8a63d2"];

    public static string Draw(string title, IReadOnlyList<Curve> curves)
    {
        double first = Math.Pow(10, Math.Floor(Math.Log10(Seconds(curves.Min(curve => curve.Times[0])))));
        double last = Math.Pow(10, Math.Ceiling(Math.Log10(Seconds(curves.Max(curve => curve.Times[^1])) * 1.001)));
        double X(double seconds) =>
            Left + (Math.Log(seconds / first) / Math.Log(last / first) * (Width - Left - Right));
        double Y(double part) => Height - Bottom - (part * (Height - Top - Bottom));

        var svg = new StringBuilder();
        svg.AppendLine(Invariant($"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {Height}" font-family="sans-serif"
              font-size="11">
            <title>{title}</title>
            <rect width="{Width}" height="{Height}" fill="#fff"/>
            <text x="{Left}" y="18" font-size="14" font-weight="600">{title}</text>
            """));
        for (int percent = 0; percent <= 100; percent += 25)
        {
            double y = Y(percent / 100.0);
            svg.AppendLine(Invariant($"""
                <path d="M{Left} {y:0.0}H{Width - Right}" stroke="#dfe2e5"/>
                <text x="{Left - 6}" y="{y + 4:0.0}" text-anchor="end">{percent} %</text>
                """));
        }

        for (double decade = first; decade <= last * 1.001; decade *= 10)
        {
            svg.AppendLine(Invariant($"""
                <path d="M{X(decade):0.0} {Top}V{Height - Bottom}" stroke="#dfe2e5"/>
                <text x="{X(decade):0.0}" y="{Height - Bottom + 16}" text-anchor="middle">{Tick(decade)}</text>
                """));
        }

        for (int i = 0; i < curves.Count; i++)
        {
            string colour = Colours[i % Colours.Length];
            IReadOnlyList<TimeSpan> times = curves[i].Times;
            IEnumerable<string> path = times.Select((time, n) =>
                Invariant($"H{X(Seconds(time)):0.0}V{Y((n + 1.0) / times.Count):0.0}"));
            svg.AppendLine(Invariant($"""
                <path d="M{X(Seconds(times[0])):0.0} {Y(0):0.0}{string.Concat(path)}" fill="none" stroke="{colour}"
                  stroke-width="2"/>
                <text x="{Left + 8 + (i * 160)}" y="{Height - 8}" fill="{colour}">{curves[i].Name}</text>
                """));
        }

        return svg.AppendLine("</svg>").ToString();
    }

    private static double Seconds(TimeSpan time) => Math.Max(0.0001, time.TotalSeconds);

    private static string Tick(double seconds) =>
        seconds >= 0.999 ? Invariant($"{seconds:0} s") : Invariant($"{seconds * 1000:0.#} ms");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
