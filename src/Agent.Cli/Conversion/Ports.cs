using System.Globalization;

namespace Agent.Cli.Conversion;

/// <summary>Port ranges of TCP and UDP.</summary>
internal static class Ports
{
    private const int Max = 65_535;

    /// <summary>"first/last"; null if it cannot be said, which has been found.</summary>
    /// <param name="findings">Where to say so.</param>
    /// <param name="at">The rule.</param>
    /// <param name="first">Null and -1, together with <paramref name="last"/>: every port.</param>
    /// <param name="last">Inclusive.</param>
    public static string? Of(Findings findings, Origin at, int? first, int? last)
    {
        (int from, int to) = first is null or -1 && last is null or -1 ? (0, Max) : (first ?? -1, last ?? -1);
        if (from < 0 || to > Max || from > to)
        {
            findings.Fault(
                at, ConversionCodes.Value, string.Create(CultureInfo.InvariantCulture, $"ports {first} to {last}"),
                "Both ends, 0 to 65535, the smaller one first.");
            return null;
        }

        if (to == 0)
        {
            findings.Inexpressible(
                at, isDrop: false, "port 0 alone: rules know ports from 1 on", "Leave the rule out.");
            return null;
        }

        if (from == 0)
        {
            findings.Warn(
                at, ConversionCodes.Narrowed, "without port 0: rules know ports from 1 on",
                "Nothing: no service can listen there.");
        }

        return string.Create(CultureInfo.InvariantCulture, $"{Math.Max(from, 1)}/{to}");
    }
}
