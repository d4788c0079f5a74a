using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;

namespace Agent.Tests.Proof;

/// <summary>That the live epoch has a name of its own in proofs changes no answer, and shows nowhere.</summary>
public sealed class EpochNamesTests
{
    private const uint Mask = 0xffff0000;

    /// <summary>The name that stands for the live epoch.</summary>
    private const uint Standing = 0x0001_0000;

    /// <summary>Faults of all kinds; beside a chain that makes epochs keep their names, and leads nowhere.</summary>
    [Theory]
    [InlineData(51, 80)]
    [InlineData(52, 80)]
    public void Answers_are_those_under_the_epochs_own_name(int seed, int steps)
    {
        var random = new Random(seed);
        CompiledRuleset compiled = RulesetCompiler.Compile(QuickProofTests.Host(vnics: 3, profiles: 2, rules: 4));
        var cache = new ProofCache();
        int different = 0;
        for (int step = 0; step < steps; step++)
        {
            compiled = compiled.WithEpoch((uint)random.Next(1, 4) << 16);
            (Ruleset held, string what) = random.Next(4) == 0 ? (compiled.Ruleset, "nothing")
                : RulesetFaults.Seed(random, compiled.Ruleset);
            string[] renamed = QuickProofTests.Faulty(QuickProofTests.Prove(compiled.Request, held, cache));
            string[] own = QuickProofTests.Faulty(
                QuickProofTests.Prove(compiled.Request, WithMarkUser(held), new ProofCache()));
            Assert.True(renamed.SequenceEqual(own), $"step {step}, after a change of {what}: "
                + $"[{string.Join(' ', renamed)}] are not proved, but by own names [{string.Join(' ', own)}]");
            different += own.Length > 0 ? 1 : 0;
        }

        Assert.InRange(different, steps / 4, steps - 1);
    }

    /// <summary>A session of an epoch that has passed is taken for live: which one is said by its own name.</summary>
    [Theory]
    [InlineData(0x0005_0000, Standing)]
    [InlineData(Standing, 0x0005_0000)]
    [InlineData(0x0005_0000, 0x0007_0000)]
    public void A_counterexample_has_the_epochs_that_are_on_the_wire(uint live, uint passed)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(QuickProofTests.Host(vnics: 2, profiles: 1))
            .WithEpoch(live);
        Ruleset held = QuickProofTests.InChain(compiled.Ruleset, "live", rules =>
        [
            .. rules, .. rules.Select(rule => QuickProofTests.Exprs(rule, expr =>
                expr is NftExpr.Cmp compare && compare.Data == Bytes(live)
                    ? compare with { Data = Bytes(passed) } : expr)),
        ]);
        ProofReport report = QuickProofTests.Prove(compiled.Request, held);
        foreach (VnicProof proof in report.Vnics.Values)
        {
            Counterexample example = Assert.IsType<VnicProof.Refuted>(proof).Example;
            Assert.Equal(passed, example.Input.Ct.Mark & Mask);
        }
    }

    /// <summary>A stamp that writes any other epoch than the live one is no stamp.</summary>
    [Theory]
    [InlineData(0x0005_0000, Standing)]
    [InlineData(Standing, 0x0005_0000)]
    public void A_stamp_of_another_epoch_is_seen(uint live, uint stamped)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(QuickProofTests.Host(vnics: 2, profiles: 1))
            .WithEpoch(live);
        Ruleset held = QuickProofTests.InChain(compiled.Ruleset, "stamp", rules =>
            [.. rules.Select(rule => QuickProofTests.Exprs(rule, expr =>
                expr is NftExpr.Bitwise mark && mark.Xor == Bytes(live) ? mark with { Xor = Bytes(stamped) } : expr))]);
        Assert.NotEqual(compiled.Ruleset, held);
        Assert.All(QuickProofTests.Prove(compiled.Request, held).Vnics.Values,
            proof => Assert.IsType<VnicProof.Refuted>(proof));
    }

    /// <summary>With a chain that looks at a mark as no rule of ours does.</summary>
    internal static Ruleset WithMarkUser(Ruleset ruleset) => QuickProofTests.InTable(ruleset, table => table with
    {
        Chains = table.Chains.Append(new NftChain("z_marks", Hook: null,
        [
            new NftRule([new NftExpr.Ct(NftCtKey.Mark, NftReg.R0), new NftExpr.Cmp(NftReg.R0, NftCmpOp.Gt, Bytes(7))]),
        ])).ToValueArray(),
    });

    private static ValueArray<byte> Bytes(uint value) => BitConverter.GetBytes(value).ToValueArray();
}
