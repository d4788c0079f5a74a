using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>vNICs that look alike are proved once; what makes one of them another is never overlooked.</summary>
public sealed class QuickProofTests
{
    [Fact]
    public void vNICs_that_look_alike_are_proved_once()
    {
        CompileRequest request = Host(vnics: 12, profiles: 3);
        var cache = new ProofCache();
        Assert.True(Prove(request, RulesetCompiler.Compile(request).Ruleset, cache).IsProved);
        Assert.Equal(1, cache.Quick.Runs);
        Assert.True(Prove(request, RulesetCompiler.Compile(request).Ruleset, cache).IsProved);
        Assert.Equal(1, cache.Quick.Runs);
    }

    internal static CompileRequest Host(int vnics, int profiles, int rules = 12) =>
        CompilerAgainstOracleTests.Request(LargePolicy.Of(vnics, profiles, rules));

    internal static ProofReport Prove(CompileRequest request, Ruleset ruleset, ProofCache? cache = null) =>
        Prover.Prove(ruleset, request.Policy, request.PolicySettings,
            ProverTests.FactsOf(RulesetCompiler.Compile(request)), cache);
}
