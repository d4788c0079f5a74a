using System.Globalization;

namespace Agent.Charts;

/// <summary>One axis of a chart.</summary>
/// <param name="Title">What is counted along it, with its unit.</param>
/// <param name="Show">A tick's text.</param>
public sealed record Axis(string Title, Func<double, string> Show)
{
    /// <summary>Equal ratios take equal room. Values must be positive.</summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>Where it begins; null: at zero, or at the power of ten below the data if logarithmic.</summary>
    public double? From { get; init; }

    /// <summary>Where it ends; null: behind the data.</summary>
    public double? To { get; init; }

    /// <summary>Plain numbers: 10, 1,000.</summary>
    public static Axis OfNumbers(string title, bool isLogarithmic = true) =>
        new(title, value => value.ToString(value < 10 ? "0.##" : "N0", CultureInfo.InvariantCulture))
        {
            IsLogarithmic = isLogarithmic,
        };

    /// <summary>Values are seconds.</summary>
    public static Axis OfTime(string title, bool isLogarithmic = true) => new(title, Seconds)
    {
        IsLogarithmic = isLogarithmic,
    };

    /// <summary>Values are parts of one: 0 to 100 %.</summary>
    public static Axis OfParts(string title) =>
        new(title, part => (100 * part).ToString("0", CultureInfo.InvariantCulture) + " %") { From = 0, To = 1 };

    private static string Seconds(double seconds) => seconds switch
    {
        >= 0.999 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.#} s"),
        >= 0.000_999 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:0.#} ms"),
        0 => "0",
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:0.#} us"),
    };

    /// <summary>The axis with its data's ends filled in.</summary>
    internal Scale Over(IEnumerable<double> values)
    {
        double[] all = [.. values];
        double least = all.Length == 0 ? 1 : all.Min();
        double most = all.Length == 0 ? 1 : all.Max();
        return IsLogarithmic ? Decades(least, most) : Steps(most);
    }

    private Scale Decades(double least, double most)
    {
        if (least <= 0)
        {
            throw new ArgumentException($"{least} has no place on a logarithmic axis: {Title}");
        }

        double from = From ?? Math.Pow(10, Math.Floor(Math.Log10(least * 1.001)));
        double to = To ?? Math.Max(from * 10, Math.Pow(10, Math.Ceiling(Math.Log10(most * 0.999))));
        var ticks = new List<double>();
        for (double tick = from; tick <= to * 1.001; tick *= 10)
        {
            ticks.Add(tick);
        }

        return new Scale(from, to, ticks, value => Math.Log(value / from) / Math.Log(to / from));
    }

    // Four or more steps of 1, 2, or 5 times a power of ten.
    private Scale Steps(double most)
    {
        double from = From ?? 0;
        double reach = Math.Max((To ?? most) - from, double.Epsilon);
        double power = Math.Pow(10, Math.Floor(Math.Log10(reach / 4)));
        double step = power * (reach / 4 / power) switch { >= 5 => 5, >= 2.5 => 2.5, >= 2 => 2, _ => 1 };
        double to = To ?? from + (step * Math.Ceiling((reach / step) - 0.001));
        var ticks = new List<double>();
        for (int i = 0; from + (i * step) <= to + (step / 1000); i++)
        {
            ticks.Add(from + (i * step));
        }

        return new Scale(from, to, ticks, value => (value - from) / (to - from));
    }
}

/// <summary>An axis with ends.</summary>
/// <param name="From">First value.</param>
/// <param name="To">Last value.</param>
/// <param name="Ticks">Values with a text, ascending.</param>
/// <param name="Place">Which part of the axis lies before a value.</param>
internal sealed record Scale(double From, double To, IReadOnlyList<double> Ticks, Func<double, double> Place);
