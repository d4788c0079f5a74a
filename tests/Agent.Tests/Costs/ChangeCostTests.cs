using Agent.Benchmarks;
using Agent.Compiler;
using Agent.Contract;
using Agent.Evaluator.Proof;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Policy;
using Google.Protobuf;
using Delta = Agent.V1.Delta;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Costs;

/// <summary>
/// What a change costs, in numbers that repeat: bytes that are allocated, messages, steps of the proof. No times: those
/// are in tests/benchmarks.
/// </summary>
public class ChangeCostTests
{
    /// <param name="Allocated">By this process: from the message's bytes to those of netlink.</param>
    /// <param name="Messages">Of netlink.</param>
    /// <param name="Bytes">Of netlink.</param>
    /// <param name="Steps">Of the proof.</param>
    /// <param name="Pieces">Of cut address spaces, of the proof.</param>
    /// <param name="Proof">Bytes that the proof allocated.</param>
    private sealed record Cost(long Allocated, int Messages, int Bytes, long Steps, long Pieces, long Proof);

    /// <summary>The usual host of the benchmarks; 30 % above what was measured.</summary>
    [Fact]
    public void A_member_allocates_little()
    {
        Cost cost = LastOf(vnics: 20, groups: 5, rules: 100, members: 2000, (state, i) => state.Member(i));
        Assert.InRange(cost.Allocated, 1, 257_000);
    }

    [Fact]
    public void A_rule_allocates_what_its_group_needs()
    {
        Cost cost = LastOf(vnics: 20, groups: 5, rules: 100, members: 2000, (state, i) => state.Rule(i));
        Assert.InRange(cost.Allocated, 1, 2_440_000);
    }

    /// <summary>Not even the rows are copied, but for a part of them.</summary>
    [Fact]
    public void A_member_of_a_large_group_allocates_no_more_than_of_a_small_one()
    {
        Cost small = LastOf(vnics: 20, groups: 5, rules: 20, members: 1000, (state, i) => state.Member(i));
        Cost large = LastOf(vnics: 20, groups: 5, rules: 20, members: 60_000, (state, i) => state.Member(i));
        Assert.InRange(large.Allocated - small.Allocated, -100_000, 100_000);
    }

    [Theory]
    [InlineData(1, 10)]
    [InlineData(20, 10)]
    [InlineData(1, 20_000)]
    [InlineData(100, 1000)]
    public void A_member_is_the_same_few_messages_on_every_host(int vnics, int members)
    {
        Cost cost = FirstOf(vnics, groups: 3, rules: 10, members, (state, i) => state.Member(i));
        Assert.Equal(3, cost.Messages); // begin, one element, end
        Assert.InRange(cost.Bytes, 100, 152); // the map's name says its size
    }

    /// <summary>One group's maps and chains, whoever is in it.</summary>
    [Fact]
    public void A_rule_is_the_same_messages_whatever_the_number_of_vNICs()
    {
        Cost few = FirstOf(vnics: 3, groups: 3, rules: 50, members: 10, (state, i) => state.Rule(i));
        Cost many = FirstOf(vnics: 150, groups: 3, rules: 50, members: 10, (state, i) => state.Rule(i));
        Assert.Equal((few.Messages, few.Bytes), (many.Messages, many.Bytes));
    }

    /// <summary>
    /// A change of one member or rule leaves most of the proof standing, also where it takes something away and the
    /// policy epoch moves.
    /// </summary>
    [Fact]
    public void Steps_of_a_proof_follow_what_changed()
    {
        Cost member = LastOf(vnics: 20, groups: 5, rules: 100, members: 2000, (state, i) => state.Member(i));
        Cost rule = LastOf(vnics: 20, groups: 5, rules: 100, members: 2000, (state, i) => state.Rule(i));
        Assert.InRange(member.Steps, 1, 101);
        Assert.InRange(rule.Steps, 1, 30);
        Assert.InRange(member.Pieces, 1, 11_300);
        Assert.InRange(rule.Pieces, 0, 1_000);
    }

    /// <summary>
    /// Each policy is run for the classes of addresses that it names, not for those of all; 30 % above what was
    /// measured.
    /// </summary>
    [Fact]
    public void A_proof_allocates_for_the_classes_that_a_policy_names()
    {
        Cost member = LastOf(vnics: 20, groups: 20, rules: 100, members: 2000, (state, i) => state.Member(i));
        Cost rule = LastOf(vnics: 20, groups: 20, rules: 100, members: 2000, (state, i) => state.Rule(i));
        Assert.InRange(member.Proof, 1, 35_300_000);
        Assert.InRange(rule.Proof, 1, 3_300_000);
    }

    private static Cost FirstOf(
        int vnics, int groups, int rules, int members, Func<FlowState, int, Delta> step) =>
        Costs(vnics, groups, rules, members, step, rounds: 1, proves: false)[0];

    /// <summary>When all that is made once is there.</summary>
    private static Cost LastOf(
        int vnics, int groups, int rules, int members, Func<FlowState, int, Delta> step)
    {
        Cost cost = Costs(vnics, groups, rules, members, step, rounds: 6, proves: true)[^1];
        TestContext.Current.TestOutputHelper?.WriteLine(cost.ToString());
        return cost;
    }

    private static List<Cost> Costs(
        int vnics, int groups, int rules, int members, Func<FlowState, int, Delta> step, int rounds, bool proves)
    {
        Snapshot snapshot = SnapshotWriter.Write(BenchmarkHost.Of(vnics, groups, rules, members));
        var state = new FlowState(snapshot);
        PolicySnapshot policy = SnapshotReader.Read(snapshot, PolicyLimits.Unlimited).Policy!;
        CompiledRuleset compiled = Compile(policy, null);
        var proofs = new ProofCache();
        Prove(compiled, proofs, proves);
        var writer = new NlWriter(64 * 1024);
        var costs = new List<Cost>();
        for (int i = 0; i < rounds; i++)
        {
            byte[] message = step(state, i).ToByteArray();
            long began = GC.GetAllocatedBytesForCurrentThread();
            policy = DeltaReader.Apply(policy, Delta.Parser.ParseFrom(message), PolicyLimits.Unlimited).Policy!;
            StateHash.Of(policy);
            CompiledRuleset next = Compile(policy, compiled);
            if (Restriction.Between(compiled, next))
            {
                next = next.WithEpoch(next.Request.Epoch + 0x0001_0000);
            }

            Plan plan = Plan.Between(compiled.Ruleset, next.Ruleset);
            writer.Clear();
            BatchWriter.Write(writer, [.. plan.Prepare, .. plan.Switch], 1, 1, 0, dryRun: false);
            long allocated = GC.GetAllocatedBytesForCurrentThread() - began;
            (long steps, long pieces) = (proofs.Functions.Steps, proofs.Functions.PiecesMade);
            began = GC.GetAllocatedBytesForCurrentThread();
            Prove(next, proofs, proves);
            costs.Add(new Cost(allocated, writer.MessageCount, (int)writer.Length, proofs.Functions.Steps - steps,
                proofs.Functions.PiecesMade - pieces, GC.GetAllocatedBytesForCurrentThread() - began));
            compiled = next;
        }

        return costs;
    }

    private static CompiledRuleset Compile(PolicySnapshot policy, CompiledRuleset? previous) =>
        RulesetCompiler.Compile(new CompileRequest(
            policy, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default,
            previous?.Request.Epoch ?? 0x0001_0000)
        {
            Previous = previous,
        });

    private static void Prove(CompiledRuleset compiled, ProofCache proofs, bool proves) => Assert.True(
        !proves || Prover.Prove(
            compiled.Ruleset, compiled.Request.Policy, compiled.Request.PolicySettings, new ProofFacts
            {
                EpochMask = compiled.Request.Settings.EpochMask,
                Epoch = compiled.Request.Epoch,
                Zones = compiled.Zones,
                ManagedInterfaces = compiled.Request.Settings.ManagedInterfaces,
            },
            proofs).IsProved);
}
