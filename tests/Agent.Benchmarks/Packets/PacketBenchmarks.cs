using System.Diagnostics;

namespace Agent.Benchmarks.Packets;

/// <summary>What a packet costs, of processor time: sg-agent and what an operator would use instead.</summary>
internal static class PacketBenchmarks
{
    private static readonly (string Name, Action<PacketReport, int> Measure)[] Parts =
    [
        ("rules", RuleParts.Measure),
        ("ports", GrowthParts.Ports),
        ("limit", GrowthParts.Limit),
        ("churn", ChurnParts.Throughput),
        ("loss", ChurnParts.Loss),
        ("pieces", GrowthParts.Pieces),
    ];

    /// <param name="only">Part of the name of what is measured; null: everything.</param>
    /// <param name="rounds">How often a case has its turn; short ones have it several times as often.</param>
    public static PacketReport Run(string? only, int rounds)
    {
        var report = new PacketReport();
        foreach ((string name, Action<PacketReport, int> measure) in Parts)
        {
            if (only is null || name.Contains(only, StringComparison.Ordinal))
            {
                var clock = Stopwatch.StartNew();
                measure(report, rounds);
                Console.Error.WriteLine($"{name}: {clock.Elapsed.TotalSeconds:F0} s");
            }
        }

        return report;
    }
}
