using System.Globalization;
using Agent.Soak.Judging;

namespace Agent.Soak.Sampling;

/// <summary>What a process has, from /proc.</summary>
internal static class ProcessFigures
{
    private const double KiBPerMiB = 1024;

    public static void Read(int process, Dictionary<Quantity, double> into)
    {
        string folder = string.Create(CultureInfo.InvariantCulture, $"/proc/{process}");
        string[] status = File.ReadAllLines($"{folder}/status");
        into[Quantity.Resident] = Field(status, "VmRSS:") / KiBPerMiB;
        into[Quantity.Anonymous] = Field(status, "RssAnon:") / KiBPerMiB;
        into[Quantity.Threads] = Field(status, "Threads:");
        string[] maps = File.ReadAllLines($"{folder}/smaps_rollup");
        into[Quantity.Private] = (Field(maps, "Private_Clean:") + Field(maps, "Private_Dirty:")) / KiBPerMiB;
        into[Quantity.Descriptors] = Directory.EnumerateFileSystemEntries($"{folder}/fd").Count();
    }

    /// <summary>Its own, and the kernel's for it. USER_HZ is 100 wherever Linux runs today.</summary>
    public static double ProcessorSeconds(int process)
    {
        string[] fields = File.ReadAllText(
            string.Create(CultureInfo.InvariantCulture, $"/proc/{process}/stat")).Split(") ")[1].Split(' ');
        return (double.Parse(fields[11], CultureInfo.InvariantCulture)
            + double.Parse(fields[12], CultureInfo.InvariantCulture)) / 100;
    }

    private static double Field(string[] lines, string name) => double.Parse(
        lines.First(line => line.StartsWith(name, StringComparison.Ordinal))[name.Length..]
            .Replace("kB", "", StringComparison.Ordinal),
        NumberStyles.Float, CultureInfo.InvariantCulture);
}
