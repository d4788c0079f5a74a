using System.Globalization;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Cli.Output;

/// <summary>Numbers with their units.</summary>
internal static class Count
{
    private static readonly string[] BinaryUnits = ["B", "KiB", "MiB", "GiB", "TiB"];
    private static readonly string[] DecimalUnits = ["", "k", "M", "G", "T"];

    /// <summary>"1 fault", "2 faults".</summary>
    public static string Of(long number, string one) =>
        string.Create(CultureInfo.InvariantCulture, $"{number} {one}{(number == 1 ? "" : "s")}");

    public static string Bytes(ulong number)
    {
        int unit = 0;
        double scaled = number;
        for (; scaled >= 10_240 && unit < BinaryUnits.Length - 1; unit++)
        {
            scaled /= 1024;
        }

        return string.Create(
            CultureInfo.InvariantCulture, $"{(unit == 0 ? $"{number}" : $"{scaled:0.0}")} {BinaryUnits[unit]}");
    }

    /// <summary>Three digits and what they are thousands of: "0.4", "12.3", "845", "1.20k", "98.7M".</summary>
    public static string Rate(double number)
    {
        int unit = 0;
        for (; number >= 999.5 && unit < DecimalUnits.Length - 1; unit++)
        {
            number /= 1000;
        }

        string digits = number.ToString(
            number == 0 ? "0" : number >= 99.95 ? "0" : number >= 9.995 || unit == 0 ? "0.0" : "0.00",
            CultureInfo.InvariantCulture);
        return digits + DecimalUnits[unit];
    }

    /// <summary>The two largest units: "5 s", "3 min 20 s", "2 h 5 min", "41 d 3 h".</summary>
    public static string Age(TimeSpan time) => time.TotalMinutes < 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(long)time.TotalSeconds} s")
        : time.TotalHours < 1 ? string.Create(CultureInfo.InvariantCulture, $"{time.Minutes} min {time.Seconds} s")
        : time.TotalDays < 1 ? string.Create(CultureInfo.InvariantCulture, $"{time.Hours} h {time.Minutes} min")
        : string.Create(CultureInfo.InvariantCulture, $"{time.Days} d {time.Hours} h");

    public static string Time(TimeSpan time) => time.TotalMilliseconds < 1000
        ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.0} ms")
        : string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.00} s");

    /// <summary>"2026-11-24 16:10:00 UTC".</summary>
    public static string Moment(Timestamp time) =>
        time.ToDateTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + " UTC";

    /// <summary>"2 added, 1 removed"; empty if nothing.</summary>
    public static string Changes(uint added, uint changed, uint removed) => string.Join(", ",
        new[] { (added, "added"), (changed, "changed"), (removed, "removed") }
            .Where(part => part.Item1 > 0)
            .Select(part => string.Create(CultureInfo.InvariantCulture, $"{part.Item1} {part.Item2}")));
}
