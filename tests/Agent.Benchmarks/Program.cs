using System.Globalization;
using System.Runtime.InteropServices;
using Agent.Benchmarks;

// Prints the report, and writes it to what follows --out; "--only TEXT" leaves out hosts that are called otherwise.
string? After(string option) => args.SkipWhile(arg => arg != option).Skip(1).FirstOrDefault();

string processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith(
    "model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown";
string load = File.ReadAllText("/proc/loadavg").Split(' ')[0];
string tables = ProofBenchmarks.Run(After("--only"));
string report = string.Create(CultureInfo.InvariantCulture, $"""
    # How long a proof takes

    Written by `make bench`. Medians of processor time on one core; in brackets the part of the cold proof. Cold:
    nothing is remembered. The last three columns: a cache that has proved this host before, and the change. All rules
    are in play: the group of 65,536 is named by a rule of every other group.

    | | |
    |---|---|
    | processor | {processor}, {Environment.ProcessorCount} cores |
    | kernel | {File.ReadAllText("/proc/sys/kernel/osrelease").Trim()} |
    | runtime | {RuntimeInformation.FrameworkDescription}, JIT, Release, no tiers |
    | commit | {After("--commit") ?? "unknown"} |
    | load when it began | {load} |
    | memory at the end | {Environment.WorkingSet >> 20} MiB |

    {tables}
    """);
if (After("--out") is string output)
{
    Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(output))!);
    File.WriteAllText(output, report);
}

Console.WriteLine(report);
