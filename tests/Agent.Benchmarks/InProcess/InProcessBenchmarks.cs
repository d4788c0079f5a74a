using System.Globalization;
using System.Text;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;

namespace Agent.Benchmarks.InProcess;

/// <summary>What the steps of a change take and allocate, by BenchmarkDotNet.</summary>
internal static class InProcessBenchmarks
{
    /// <param name="only">Part of the description of what is measured; null: everything.</param>
    /// <returns>The table, Markdown.</returns>
    public static string Run(string? only)
    {
        string logs = Path.Combine(Path.GetTempPath(), "sg-agent-benchmarks");
        ManualConfig config = ManualConfig.CreateEmpty()
            .AddJob(Job.ShortRun.WithIterationCount(9).WithIterationTime(TimeInterval.Millisecond * 100)
                .WithToolchain(InProcessEmitToolchain.Instance))
            .AddDiagnoser(MemoryDiagnoser.Default)
            .AddLogger(ConsoleLogger.Unicode)
            .AddFilter(new SimpleFilter(one => only is null
                || one.Descriptor.WorkloadMethodDisplayInfo.Contains(only, StringComparison.Ordinal)))
            .WithArtifactsPath(logs);
        Summary summary = BenchmarkRunner.Run<PathBenchmarks>(config);
        Directory.Delete(logs, recursive: true);
        if (summary.Reports.IsEmpty || summary.Reports.Any(report => !report.Success))
        {
            throw new InvalidOperationException("nothing was measured, or not all: what is printed above says why");
        }

        var text = new StringBuilder();
        text.AppendLine("| step | usual host | allocated | large host | allocated |");
        text.AppendLine("|---|--:|--:|--:|--:|");
        foreach (IGrouping<string, BenchmarkReport> step in summary.Reports.GroupBy(
            report => report.BenchmarkCase.Descriptor.WorkloadMethodDisplayInfo.Trim('\'')))
        {
            IEnumerable<string> cells = step
                .OrderBy(report => HostOf(report) == PathBenchmarks.Large)
                .SelectMany(report => (string[])[Time(report.ResultStatistics!), Size(Allocated(report))]);
            text.AppendLine(CultureInfo.InvariantCulture, $"| {step.Key} | {string.Join(" | ", cells)} |");
        }

        return text.ToString();
    }

    private static string HostOf(BenchmarkReport report) =>
        (string)report.BenchmarkCase.Parameters[nameof(PathBenchmarks.Host)];

    private static long Allocated(BenchmarkReport report) =>
        report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase) ?? 0;

    /// <summary>The median, and half of what lies between the quartiles.</summary>
    private static string Time(BenchmarkDotNet.Mathematics.Statistics found)
    {
        (double unit, string name) = found.Median switch
        {
            >= 1e6 => (1e6, "ms"),
            >= 1e3 => (1e3, "us"),
            _ => (1, "ns"),
        };
        return string.Create(
            CultureInfo.InvariantCulture, $"{found.Median / unit:F1} ± {(found.Q3 - found.Q1) / 2 / unit:F1} {name}");
    }

    private static string Size(long bytes) => bytes switch
    {
        >= 10 << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes >> 20:N0} MiB"),
        >= 1 << 10 => string.Create(CultureInfo.InvariantCulture, $"{bytes >> 10:N0} KiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes} B"),
    };
}
