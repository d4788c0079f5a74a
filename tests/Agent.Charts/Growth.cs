namespace Agent.Charts;

/// <summary>How fast a cost grows: y is about c times x to the power of the exponent.</summary>
public static class Growth
{
    /// <summary>
    /// The exponent, by least squares on the logarithms: 0 does not grow, 1 grows as fast as the size, 2 as its square.
    /// </summary>
    /// <param name="points">At least two different sizes; all values positive.</param>
    public static double Exponent(IReadOnlyList<(double X, double Y)> points)
    {
        ArgumentNullException.ThrowIfNull(points);
        double[] x = [.. points.Select(point => Math.Log(point.X))];
        double[] y = [.. points.Select(point => Math.Log(point.Y))];
        double meanX = x.Average();
        double meanY = y.Average();
        double spread = x.Sum(one => (one - meanX) * (one - meanX));
        return spread == 0 ? throw new ArgumentException("one size says nothing of growth", nameof(points))
            : x.Zip(y, (one, other) => (one - meanX) * (other - meanY)).Sum() / spread;
    }
}
