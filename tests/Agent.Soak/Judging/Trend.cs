namespace Agent.Soak.Judging;

/// <summary>Whether something grows, in spite of noise and of what a start takes.</summary>
internal static class Trend
{
    /// <summary>
    /// By how much it grew over the last two thirds of the time: the slope of Theil and Sen, the median of the slopes
    /// between all pairs of points, which a quarter of wild points does not move.
    /// </summary>
    /// <param name="points">Ascending by X.</param>
    /// <returns>Null: these are too few points to say.</returns>
    public static double? Growth(IReadOnlyList<(double X, double Y)> points)
    {
        (double X, double Y)[] late = Late(points);
        return late.Length < FewestPoints ? null : Slope(late) * (late[^1].X - late[0].X);
    }

    /// <summary>What it was when the last two thirds began: the median of their first tenth.</summary>
    public static double Level(IReadOnlyList<(double X, double Y)> points)
    {
        (double X, double Y)[] late = Late(points);
        return late.Length == 0 ? 0 : Median(late.Take(Math.Max(1, late.Length / 10)).Select(point => point.Y));
    }

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private const int FewestPoints = 8;

    private static (double X, double Y)[] Late(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Count == 0)
        {
            return [];
        }

        double from = points[0].X + ((points[^1].X - points[0].X) / 3);
        return [.. points.Where(point => point.X >= from)];
    }

    private static double Slope((double X, double Y)[] points)
    {
        var slopes = new List<double>(points.Length * (points.Length - 1) / 2);
        for (int i = 0; i < points.Length; i++)
        {
            for (int j = i + 1; j < points.Length; j++)
            {
                if (points[j].X > points[i].X)
                {
                    slopes.Add((points[j].Y - points[i].Y) / (points[j].X - points[i].X));
                }
            }
        }

        return Median(slopes);
    }
}
