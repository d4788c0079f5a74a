using Agent.Charts;

namespace Agent.Fleet.Measuring;

/// <summary>One line of a chart: sorted times, at each of which one more agent is done.</summary>
internal sealed record Curve(string Name, IReadOnlyList<TimeSpan> Times);

/// <summary>Which part of the agents is done after which time, as an SVG.</summary>
internal static class PropagationChart
{
    public static string Draw(string title, IReadOnlyList<Curve> curves) => LineChart.Draw(
        title, Axis.OfTime("time"), Axis.OfParts("agents"), [.. curves.Select(SeriesOf)]);

    private static Series SeriesOf(Curve curve) => new(
        curve.Name,
        [.. curve.Times.Select((time, i) =>
            (Math.Max(0.0001, time.TotalSeconds), (i + 1.0) / curve.Times.Count))])
    {
        IsStepped = true,
    };
}
