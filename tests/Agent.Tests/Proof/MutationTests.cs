using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Compiler;

namespace Agent.Tests.Proof;

/// <summary>A fault in a ruleset is refuted by a packet that shows it; what is proved makes no difference.</summary>
public sealed class MutationTests
{
    internal readonly record struct Tally(int Refuted, int Harmless, int Unknown);

    [Theory]
    [InlineData(1, 24, 5)]
    [InlineData(2, 24, 5)]
    public void Faults_in_rulesets_of_random_policies_are_found(int seed, int policies, int faults)
    {
        var random = new Random(seed);
        var tally = new Tally();
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            PolicySnapshot policy = CompilerAgainstOracleTests.Snapshot(random, rules);
            tally = Add(tally, Seed(CompilerAgainstOracleTests.Request(policy), random, faults));
        }

        Check(tally, policies * faults);
    }

    [Theory]
    [InlineData(11, 120)]
    [InlineData(12, 120)]
    public void Faults_in_a_ruleset_that_has_everything_are_found(int seed, int faults) =>
        Check(Seed(RichPolicy.Request(), new Random(seed), faults), faults);

    [Theory]
    [InlineData("acl", 21, 40)]
    [InlineData("fw", 22, 40)]
    [InlineData("ipc", 23, 40)]
    public void Faults_in_rulesets_of_filter_sets_are_found(string family, int seed, int faults)
    {
        var random = new Random(seed);
        Check(Seed(FilterSets.All[family].Request(random, rules: 60), random, faults), faults);
    }

    private static Tally Add(Tally one, Tally other) =>
        new(one.Refuted + other.Refuted, one.Harmless + other.Harmless, one.Unknown + other.Unknown);

    // Of faults that are seeded blindly some change nothing, or nothing that anybody models.
    internal static void Check(Tally tally, int faults)
    {
        Assert.Equal(faults, tally.Refuted + tally.Harmless + tally.Unknown);
        Assert.True(tally.Refuted > faults / 2 && tally.Unknown < faults / 6, $"{tally}");
    }

    internal static Tally Seed(CompileRequest request, Random random, int faults)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        ProofFacts facts = Verifier.FactsOf(compiled);
        var cache = new ProofCache();
        var tally = new Tally();
        for (int i = 0; i < faults; i++)
        {
            (Ruleset faulty, string what) = RulesetFaults.Seed(random, compiled.Ruleset);
            ProofReport report = Prover.Prove(faulty, request.Policy, request.PolicySettings, facts, cache);
            VnicProof[] proofs = [.. report.Vnics.Values, report.Host];
            if (proofs.OfType<VnicProof.Refuted>().FirstOrDefault() is { } refuted)
            {
                Confirm(faulty, compiled.Ruleset, refuted.Example, what);
                tally = tally with { Refuted = tally.Refuted + 1 };
            }
            else if (proofs.OfType<VnicProof.Unknown>().FirstOrDefault() is { } unknown)
            {
                Assert.False(
                    unknown.Reason.Contains("disagree", StringComparison.Ordinal), $"{what}\n{unknown.Reason}");
                tally = tally with { Unknown = tally.Unknown + 1 };
            }
            else
            {
                SameOnPackets(request, compiled.Ruleset, faulty, random, what);
                tally = tally with { Harmless = tally.Harmless + 1 };
            }
        }

        return tally;
    }

    // The faulty ruleset treats the packet otherwise than the one that was compiled.
    private static void Confirm(Ruleset faulty, Ruleset compiled, Counterexample example, string what)
    {
        Trace here = RulesetEvaluator.Evaluate(faulty, example.Input);
        Trace there = RulesetEvaluator.Evaluate(compiled, example.Input);
        Assert.Equal(example.Trace.ToString(), here.ToString());
        Assert.True(
            (here.Verdict, here.CtMark, here.Mark, here.Zone ?? 0)
                != (there.Verdict, there.CtMark, there.Mark, there.Zone ?? 0),
            $"{what}\n{example}\nwithout the fault: {there}");
    }

    private static void SameOnPackets(
        CompileRequest request, Ruleset compiled, Ruleset faulty, Random random, string what)
    {
        var oracle = new PolicyOracle(request.Policy, request.PolicySettings);
        Func<Random, PacketTuple>[] corners = [.. request.Policy.Vnics.Values
            .SelectMany(vnic => new[] { IpFamily.V4, IpFamily.V6 }
                .SelectMany(family => new[] { Direction.Ingress, Direction.Egress }.Select(direction =>
                    Evaluator.PolicyFormTests.AnyCorner(new PolicyForms().Of(oracle, vnic, direction, family)))))];
        for (int i = 0; i < 600; i++)
        {
            HookInput input =
                ProofPackets.Input(request, corners[random.Next(corners.Length)](random), random);
            Trace before = RulesetEvaluator.Evaluate(compiled, input);
            Trace after = RulesetEvaluator.Evaluate(faulty, input);
            Assert.True(
                before.Verdict == after.Verdict && before.CtMark == after.CtMark,
                $"proved, but not the same: {what}\n{input}\n{before}\n{after}");
        }
    }
}

/// <summary>Packets in all situations.</summary>
internal static class ProofPackets
{
    public static HookInput Input(CompileRequest request, PacketTuple tuple, Random random)
    {
        string[] names = [.. request.Policy.Vnics.Values.Select(vnic => vnic.InterfaceName), "up0"];
        NftHook hook = (NftHook)random.Next(1, 4);
        Situation situation = Situation.All[random.Next(Situation.All.Length)];
        uint epoch = situation.IsLive ? request.Epoch : request.Epoch << random.Next(2, 8);
        bool otherIcmp = tuple.Protocol == SituationPackets.OtherIcmpOf(tuple.Family);
        situation = otherIcmp && situation.State is CtState.Related or CtState.Untracked
            ? Situation.All[0] : situation;
        return new HookInput
        {
            Family = NftFamily.Inet,
            Hook = hook,
            Packet = PacketBytes.Of(tuple, new PacketShape
            {
                Tcp = random.Next(3) > 0 ? TcpFlags.Syn : (TcpFlags)random.Next(64),
                IcmpType = (byte)random.Next(256),
            }),
            InInterface = hook == NftHook.Output ? "" : names[random.Next(names.Length)],
            OutInterface = hook == NftHook.Input ? "" : names[random.Next(names.Length)],
            InIndex = hook == NftHook.Output ? 0u : 3u,
            OutIndex = hook == NftHook.Input ? 0u : 4u,
            Ct = new CtInput(
                situation.State, situation.Reply, epoch | 0x5a5a, 0, situation.Confirmed ? 8u : 0u),
        };
    }
}
