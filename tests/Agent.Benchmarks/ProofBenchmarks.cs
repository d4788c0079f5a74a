using System.Globalization;
using System.Text;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Policy;

namespace Agent.Benchmarks;

/// <summary>
/// How much of one core proofs take. Processor time, so that other work on the machine is not measured with it.
/// </summary>
internal static class ProofBenchmarks
{
    private static readonly (string Name, Func<PolicySnapshot> Policy, int Rounds)[] Cases =
    [
        ("1 vNIC x 10 rules", () => BenchmarkHost.One(10), 9),
        ("1 vNIC x 100 rules", () => BenchmarkHost.One(100), 9),
        ("1 vNIC x 500 rules", () => BenchmarkHost.One(500), 9),
        ("1 vNIC x 1,000 rules", () => BenchmarkHost.One(1000), 9),
        ("10 vNICs x 200 rules", () => BenchmarkHost.Of(10, 1, 200, 0), 5),
        ("100 vNICs x 200 rules", () => BenchmarkHost.Of(100, 10, 200, 0), 3),
        ("500 vNICs x 200 rules, 50 groups, one of 65,536", () =>
            BenchmarkHost.Of(500, 50, 200, BenchmarkHost.Members), 3),
    ];

    /// <param name="only">Part of the name of what is measured; null: everything.</param>
    /// <returns>The tables, Markdown.</returns>
    public static string Run(string? only)
    {
        Prove(BenchmarkHost.Compile(BenchmarkHost.One(10), null), new ProofCache()); // compiles the prover itself
        var text = new StringBuilder();
        text.AppendLine("| host | cold | nothing changed | one rule changed | one member changed | allocated (rule) |");
        text.AppendLine("|---|--:|--:|--:|--:|--:|");
        foreach ((string name, Func<PolicySnapshot> policy, int rounds) in Cases)
        {
            if (only is null || name.Contains(only, StringComparison.Ordinal))
            {
                Measure(text, name, policy(), rounds);
            }
        }

        return text.ToString();
    }

    private static void Measure(StringBuilder text, string name, PolicySnapshot policy, int rounds)
    {
        CompiledRuleset compiled = BenchmarkHost.Compile(policy, null);
        Cost cold = Median([.. Enumerable.Range(0, rounds / 3).Select(_ => Take(compiled, new ProofCache()))]);
        var cache = new ProofCache();
        Prove(compiled, cache);
        Cost warm = Median([.. Enumerable.Range(0, rounds).Select(_ => Take(compiled, cache))]);
        Cost rule = Median([.. Changes(compiled, cache, BenchmarkHost.WithOtherRule, rounds)]);
        Cost member = Median([.. Changes(compiled, cache, BenchmarkHost.WithOtherMember, rounds)]);
        string line = string.Create(CultureInfo.InvariantCulture, $"| {name} | {cold.Milliseconds:F1} ms "
            + $"| {Text(warm, cold)} | {Text(rule, cold)} | {Text(member, cold)} | {rule.Bytes / 1024:N0} KiB |");
        Console.Error.WriteLine(line);
        text.AppendLine(line);
    }

    private static string Text(Cost cost, Cost cold) => string.Create(CultureInfo.InvariantCulture,
        $"{cost.Milliseconds:F1} ms (1/{cold.Milliseconds / Math.Max(cost.Milliseconds, 0.01):F0})");

    private static IEnumerable<Cost> Changes(
        CompiledRuleset compiled, ProofCache cache, Func<PolicySnapshot, int, PolicySnapshot> change, int rounds)
    {
        for (int round = 0; round < rounds; round++)
        {
            compiled = BenchmarkHost.Compile(change(compiled.Request.Policy, round), compiled);
            yield return Take(compiled, cache);
        }
    }

    private readonly record struct Cost(double Milliseconds, long Bytes);

    private static Cost Median(Cost[] costs)
    {
        Array.Sort(costs, (one, other) => one.Milliseconds.CompareTo(other.Milliseconds));
        return costs[costs.Length / 2];
    }

    private static Cost Take(CompiledRuleset compiled, ProofCache cache)
    {
        long bytes = GC.GetAllocatedBytesForCurrentThread();
        TimeSpan before = Environment.CpuUsage.TotalTime;
        Prove(compiled, cache);
        return new Cost(
            (Environment.CpuUsage.TotalTime - before).TotalMilliseconds,
            GC.GetAllocatedBytesForCurrentThread() - bytes);
    }

    private static void Prove(CompiledRuleset compiled, ProofCache cache)
    {
        ProofReport report = Prover.Prove(
            compiled.Ruleset, compiled.Request.Policy, compiled.Request.PolicySettings, FactsOf(compiled), cache);
        if (!report.IsProved)
        {
            throw new InvalidOperationException("not proved: what was measured is something else");
        }
    }

    private static ProofFacts FactsOf(CompiledRuleset compiled) => new()
    {
        EpochMask = compiled.Request.Settings.EpochMask,
        Epoch = compiled.Request.Epoch,
        Zones = compiled.Zones,
        ManagedInterfaces = compiled.Request.Settings.ManagedInterfaces,
    };
}
