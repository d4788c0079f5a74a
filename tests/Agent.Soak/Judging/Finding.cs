using System.Globalization;
using Agent.Soak.Sampling;

namespace Agent.Soak.Judging;

/// <summary>What became of a quantity.</summary>
/// <param name="Of">Which one.</param>
/// <param name="Level">What it was when the last two thirds of the time began.</param>
/// <param name="Most">Ever.</param>
/// <param name="Growth">Over the last two thirds; null: too few samples.</param>
/// <param name="Allowance">How much is taken for noise.</param>
internal sealed record Finding(Quantity Of, double Level, double Most, double? Growth, double Allowance)
{
    public bool IsFlat => Growth <= Allowance;

    /// <summary>What a person is told if it is not.</summary>
    public string Sentence => Growth is { } growth
        ? string.Create(CultureInfo.InvariantCulture,
            $"{Of.Name} is not flat: it grew by {growth:0.#} {Of.Unit} from {Level:0.#}; {Allowance:0.#} is allowed")
        : $"{Of.Name}: too few samples to say whether it is flat";

    public static Finding Judge(Quantity quantity, IReadOnlyList<Sample> samples)
    {
        int last = samples.Count == 0 ? 0 : samples[^1].Life;
        (double X, double Y)[] points =
        [
            .. samples.Where(sample => quantity.Span == Span.Run || sample.Life == last)
                .Where(sample => sample.Values.ContainsKey(quantity))
                .Select(sample => (sample.Seconds, sample.Values[quantity])),
        ];
        double level = Trend.Level(points);
        TimeSpan over = points.Length == 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(points[^1].X - points[0].X);
        return new Finding(
            quantity, level, points.Length == 0 ? 0 : points.Max(point => point.Y), Trend.Growth(points),
            quantity.Allowance(level, over));
    }
}
