using Agent.Compiler;
using Agent.Evaluator;
using Agent.Evaluator.Guards;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;

namespace Agent.Tests.Guards;

/// <summary>A fault in a guard is refuted by a frame that shows it; what is proved makes no difference.</summary>
public sealed class GuardMutationTests
{
    private readonly record struct Tally(int Refuted, int Harmless, int Unknown);

    [Theory]
    [InlineData(1, 12, 40)]
    [InlineData(2, 12, 40)]
    [InlineData(3, 12, 40)]
    public void Faults_in_guards_are_found(int seed, int vnics, int faults)
    {
        var random = new Random(seed);
        var tally = new Tally();
        for (int i = 0; i < vnics; i++)
        {
            Vnic vnic = GuardPolicies.Random(random, i);
            CompiledRuleset compiled = GuardPolicies.Compile(vnic);
            var cache = new GuardCache();
            for (int j = 0; j < faults; j++)
            {
                (Ruleset faulty, string what) = GuardFaults.Seed(random, compiled.Ruleset);
                tally = Judged(tally, vnic, compiled.Ruleset, faulty, new GuardProofs(faulty, cache).Check(vnic), what);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{tally}");
        Assert.True(tally.Refuted > vnics * faults / 2 && tally.Unknown < vnics * faults / 10, $"{tally}");
        Assert.True(tally.Harmless > 0, $"{tally}");
    }

    private static Tally Judged(
        Tally tally, Vnic vnic, Ruleset compiled, Ruleset faulty, VnicProof? fault, string what)
    {
        switch (fault)
        {
            case VnicProof.Refuted refuted:
                HookInput input = refuted.Example.Input;
                Assert.NotNull(refuted.Example.Frame);
                Assert.Equal(refuted.Example.Trace.ToString(), RulesetEvaluator.Evaluate(faulty, input).ToString());
                Assert.True(
                    Fate(faulty, vnic, input) != Fate(compiled, vnic, input), $"{what}\n{refuted.Example}");
                return tally with { Refuted = tally.Refuted + 1 };
            case VnicProof.Unknown unknown:
                Assert.False(unknown.Reason.Contains("agree about", StringComparison.Ordinal)
                    && !unknown.Reason.Contains("kernel's age", StringComparison.Ordinal), $"{what}\n{unknown.Reason}");
                return tally with { Unknown = tally.Unknown + 1 };
            default:
                SameOnFrames(vnic, compiled, faulty, what);
                return tally with { Harmless = tally.Harmless + 1 };
        }
    }

    private static PacketFate? Fate(Ruleset ruleset, Vnic vnic, HookInput input) => FrameConfirmation.FateOf(
        ruleset, vnic, input, RulesetEvaluator.Evaluate(ruleset, input), GuardOracle.Judge(vnic, input.Packet));

    private static void SameOnFrames(Vnic vnic, Ruleset compiled, Ruleset faulty, string what)
    {
        var random = new Random(7);
        IReadOnlyList<GuestFrame> table = RandomFrames.Table(vnic);
        foreach (byte[] frame in table.Select(one => one.Bytes).Concat(Enumerable.Range(0, 500)
            .Select(_ => RandomFrames.Changed(random, table[random.Next(table.Count)].Bytes))))
        {
            HookInput input = FrameConfirmation.InputOf(vnic, frame);
            Assert.True(Fate(compiled, vnic, input) == Fate(faulty, vnic, input),
                $"proved, but not the same: {what}\n{Convert.ToHexStringLower(frame)}\n"
                + RulesetEvaluator.Evaluate(faulty, input));
        }
    }
}
