using System.Globalization;
using System.Text;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Policy;

namespace Agent.Benchmarks;

/// <summary>How long proofs take, by a stopwatch: they are too long for anything finer.</summary>
internal static class ProofBenchmarks
{
    private const uint Epoch = 0x0001_0000;

    /// <param name="only">Part of the name of what is measured; null: everything.</param>
    /// <returns>The report, Markdown.</returns>
    public static string Run(string? only)
    {
        var text = new StringBuilder();
        foreach ((string name, Func<PolicySnapshot> policy, int rounds) in Cases)
        {
            if (only is null || name.Contains(only, StringComparison.Ordinal))
            {
                Measure(text, name, policy(), rounds);
            }
        }

        return text.ToString();
    }

    private static readonly (string Name, Func<PolicySnapshot> Policy, int Rounds)[] Cases =
    [
        ("one vNIC x 1,000 rules", () => BenchmarkHost.One(1000), 15),
        ("500 vNICs x 200 rules", () => BenchmarkHost.Of(500, 50, 200, BenchmarkHost.Members), 3),
        ("50 vNICs x 200 rules", () => BenchmarkHost.Of(50, 5, 200, BenchmarkHost.Members), 3),
    ];

    private static void Measure(StringBuilder text, string name, PolicySnapshot policy, int rounds)
    {
        CompiledRuleset compiled = Compile(policy, null);
        double[] cold = [.. Enumerable.Range(0, Math.Max(3, rounds / 4)).Select(
            _ => Time(() => Prove(compiled, new ProofCache())))];
        Line(text, name, "cold", cold);
        var cache = new ProofCache();
        Prove(compiled, cache);
        Line(text, name, "warm", [.. Enumerable.Range(0, rounds).Select(_ => Time(() => Prove(compiled, cache)))]);
        Line(text, name, "rule", [.. Changes(compiled, cache, BenchmarkHost.WithOtherRule, rounds)]);
        Line(text, name, "member", [.. Changes(compiled, cache, BenchmarkHost.WithOtherMember, rounds)]);
    }

    private static IEnumerable<double> Changes(
        CompiledRuleset compiled, ProofCache cache, Func<PolicySnapshot, int, PolicySnapshot> change, int rounds)
    {
        for (int round = 0; round < rounds + 1; round++)
        {
            compiled = Compile(change(compiled.Request.Policy, round), compiled);
            double took = Time(() => Prove(compiled, cache));
            if (round > 0)
            {
                yield return took;
            }
        }
    }

    private static void Line(StringBuilder text, string name, string what, double[] times)
    {
        Array.Sort(times);
        string line = string.Create(CultureInfo.InvariantCulture,
            $"{name}: {what}: median {times[times.Length / 2]:F1} ms, {times[0]:F1} .. {times[^1]:F1}");
        Console.Error.WriteLine(line);
        text.AppendLine(line);
    }

    private static CompiledRuleset Compile(PolicySnapshot policy, CompiledRuleset? before) => RulesetCompiler.Compile(
        new CompileRequest(policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, Epoch)
        {
            Previous = before,
        });

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

    private static double Time(Action action)
    {
        TimeSpan before = Environment.CpuUsage.TotalTime;
        action();
        return (Environment.CpuUsage.TotalTime - before).TotalMilliseconds;
    }
}
