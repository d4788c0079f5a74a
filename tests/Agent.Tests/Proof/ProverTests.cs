using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>What the compiler makes of a policy is proved to be the policy, for all packets.</summary>
public sealed class ProverTests
{
    [Theory]
    [InlineData(1, 60)]
    [InlineData(2, 60)]
    public void Random_policies_are_proved(int seed, int policies)
    {
        var random = new Random(seed);
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            Proved(CompilerAgainstOracleTests.Request(CompilerAgainstOracleTests.Snapshot(random, rules)),
                string.Join('\n', rules));
        }
    }

    [Fact]
    public void A_policy_that_uses_everything_is_proved() => Proved(RichPolicy.Request(), "rich");

    [Fact]
    public void Scenarios_are_proved()
    {
        foreach (Scenario scenario in Scenarios.All)
        {
            Proved(new CompileRequest(scenario.Snapshot, scenario.Settings, CompilerSettings.Default,
                HostFacts.Default, RichPolicy.Epoch), scenario.Id);
        }
    }

    internal static ProofFacts FactsOf(CompiledRuleset compiled) => new()
    {
        EpochMask = compiled.Request.Settings.EpochMask,
        Epoch = compiled.Request.Epoch,
        Zones = compiled.Zones,
        Closed = [.. compiled.Failed.Keys],
        Adopting = compiled.Request.Settings.AdoptsSessions ? compiled.Request.Adopting : [],
        ManagedInterfaces = compiled.Request.Settings.ManagedInterfaces,
    };

    internal static void Proved(CompileRequest request, string what)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        ProofReport report = Prover.Prove(
            compiled.Ruleset, request.Policy, request.PolicySettings, FactsOf(compiled));
        Assert.True(report.IsProved, $"{what}\n{Text(report)}");
    }

    internal static string Text(ProofReport report) => string.Join('\n', report.Vnics
        .Select(pair => (pair.Key, pair.Value)).Append(("host", report.Host))
        .Where(pair => pair.Item2 is not VnicProof.Proved)
        .Select(pair => $"{pair.Item1}: {pair.Item2}"));
}
