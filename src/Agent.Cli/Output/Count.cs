using System.Globalization;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Cli.Output;

/// <summary>Numbers with their units.</summary>
internal static class Count
{
    /// <summary>"1 fault", "2 faults".</summary>
    public static string Of(long number, string one) =>
        string.Create(CultureInfo.InvariantCulture, $"{number} {one}{(number == 1 ? "" : "s")}");

    public static string Bytes(ulong number) => number < 10_240
        ? string.Create(CultureInfo.InvariantCulture, $"{number} B")
        : string.Create(CultureInfo.InvariantCulture, $"{number / 1024.0:0.0} KiB");

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
