using System.Globalization;

namespace Agent.Fleet.Measuring;

/// <summary>Times as people read them.</summary>
internal static class Numbers
{
    public static TimeSpan Median(IEnumerable<TimeSpan> times) => Quantile(times, 0.5);

    /// <summary>The smallest time that is not exceeded by this part of them.</summary>
    public static TimeSpan Quantile(IEnumerable<TimeSpan> times, double part)
    {
        TimeSpan[] sorted = [.. times.Order()];
        return sorted[Math.Clamp((int)Math.Ceiling(part * sorted.Length) - 1, 0, sorted.Length - 1)];
    }

    public static string Show(TimeSpan time) => time.TotalSeconds >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.00} s")
        : string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.0} ms");
}
