using Agent.Compiler;
using Agent.Evaluator;
using Agent.Evaluator.Guards;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;

namespace Agent.Tests.Guards;

/// <summary>What the compiler makes of a vNIC's guard is proved to be the specification, for all frames.</summary>
public sealed class GuardProofTests
{
    [Theory]
    [InlineData(1, 60)]
    [InlineData(2, 60)]
    public void Guards_of_random_vnics_are_proved(int seed, int count)
    {
        var random = new Random(seed);
        Vnic[] vnics = [.. Enumerable.Range(0, count).Select(i => GuardPolicies.Random(random, i))];
        CompiledRuleset compiled = GuardPolicies.Compile(vnics);
        var proofs = new GuardProofs(compiled.Ruleset, new GuardCache());
        Assert.All(vnics, vnic => Assert.Null(proofs.Check(vnic)));
    }

    [Fact]
    public void A_vnic_without_a_guard_is_refuted_and_one_with_another_hook_is_unknown()
    {
        Vnic vnic = GuardPolicies.Random(new Random(5), 0);
        CompiledRuleset compiled = GuardPolicies.Compile(vnic);
        Ruleset none = new(compiled.Ruleset.Tables.Where(table => table.Family != NftFamily.Netdev).ToValueArray());
        Assert.IsType<VnicProof.Refuted>(new GuardProofs(none, new GuardCache()).Check(vnic));
        NftTable guards = compiled.Ruleset.Tables.Single(table => table.Family == NftFamily.Netdev);
        NftChain out0 = new("out", new BaseHook(NftHook.Egress, 0, vnic.InterfaceName), []);
        Ruleset more = new([guards with { Chains = guards.Chains.Append(out0).ToValueArray() }]);
        Assert.IsType<VnicProof.Unknown>(new GuardProofs(more, new GuardCache()).Check(vnic));
    }

    [Fact]
    public void What_a_chain_before_the_guard_drops_is_refuted()
    {
        Vnic vnic = GuardPolicies.Random(new Random(6), 0);
        CompiledRuleset compiled = GuardPolicies.Compile(vnic);
        NftTable guards = compiled.Ruleset.Tables.Single(table => table.Family == NftFamily.Netdev);
        NftChain first = new("first", new BaseHook(NftHook.Ingress, -600, vnic.InterfaceName),
            [new NftRule([new NftExpr.VerdictIs(NftVerdict.Drop)])]);
        Ruleset more = new([guards with { Chains = guards.Chains.Append(first).ToValueArray() }]);
        Assert.IsType<VnicProof.Refuted>(new GuardProofs(more, new GuardCache()).Check(vnic));
    }

    /// <summary>The ruleset, the specification and both of the prover's functions say the same of each frame.</summary>
    [Theory]
    [InlineData(11, 3000)]
    [InlineData(12, 3000)]
    public void Four_judges_agree_about_frames(int seed, int frames)
    {
        var random = new Random(seed);
        Vnic[] vnics = [.. Enumerable.Range(0, 12).Select(i => GuardPolicies.Random(random, i))];
        CompiledRuleset compiled = GuardPolicies.Compile(vnics);
        var cache = new GuardCache();
        var proofs = new GuardProofs(compiled.Ruleset, cache);
        Dictionary<(Vnic, FrameShape), GuardFunctions?> functions = [];
        var outcomes = new HashSet<string>();
        foreach (Vnic vnic in vnics)
        {
            IReadOnlyList<GuestFrame> table = RandomFrames.Table(vnic);
            IEnumerable<byte[]> changed = Enumerable.Range(0, frames / vnics.Length)
                .Select(_ => RandomFrames.Changed(random, table[random.Next(table.Count)].Bytes));
            foreach (byte[] frame in table.Select(one => one.Bytes).Concat(changed))
            {
                outcomes.Add(Judged(vnic, frame));
            }
        }

        Assert.True(outcomes.Count >= 10, string.Join(' ', outcomes)); // passed, and every kind

        string Judged(Vnic vnic, byte[] frame)
        {
            HookInput input = FrameConfirmation.InputOf(vnic, frame);
            FrameVerdict expected = GuardOracle.Judge(vnic, input.Packet);
            Trace trace = RulesetEvaluator.Evaluate(compiled.Ruleset, input);
            string what = $"{vnic}\n{Convert.ToHexStringLower(frame)}\n{expected}\n{trace}";
            PacketFate wanted = expected.Passes ? PacketFate.Passed : PacketFate.Dropped;
            Assert.True(
                wanted == FrameConfirmation.FateOf(compiled.Ruleset, vnic, input, trace, expected), what);
            FrameShape[] shapes = [.. FramePlaces.ShapesOf(input.Packet)];
            Assert.True(shapes.Length == (input.Packet.IsLaterFragment ? 2 : 1), $"{shapes.Length} shapes: {what}");
            foreach (FrameShape shape in shapes)
            {
                if (!functions.TryGetValue((vnic, shape), out GuardFunctions? both))
                {
                    functions.Add((vnic, shape), both = proofs.FunctionsOf(vnic, shape));
                }

                int Class(int field) => FramePlaces.ClassOf(input.Packet, shape, both!.Fields, field);
                GuardOutcome observed = cache.Outcomes[cache.Diagrams.At(both!.Observed, Class)];
                Assert.True(observed == cache.Outcomes[cache.Diagrams.At(both.Expected, Class)], what);
                Assert.True(observed.Accepted == expected.Passes, $"{shape}: {observed}\n{what}");
                Assert.Equal(
                    expected.Fault is { } fault ? $"{FrameFaults.PrefixOf(fault)} " : "", observed.Counters);
            }

            return expected.Fault?.ToString() ?? "passed";
        }
    }

    [Fact]
    public void The_table_of_frames_is_what_the_specification_says()
    {
        Vnic one = GuardPolicies.Random(new Random(1), 0) with
        {
            Addresses = [IpPrefix.Parse("10.0.0.8"), IpPrefix.Parse("10.0.0.9"), IpPrefix.Parse("2001:db8:1::8"),
                IpPrefix.Parse("2001:db8:1::9")],
            DelegatedPrefixes = [],
        };
        foreach (bool check in (bool[])[true, false])
        {
            Vnic vnic = one with { SourceDestinationCheck = check };
            foreach (GuestFrame frame in RandomFrames.Table(vnic))
            {
                FrameVerdict verdict = GuardOracle.Judge(vnic, PacketBytes.OfFrame(frame.Bytes));
                string? kind = verdict.Fault is { } fault ? FrameFaults.KindOf(fault) : null;
                Assert.True((check ? frame.Kind : frame.KindOfRouter) == kind, $"{frame.Name}, {check}: {verdict}");
            }
        }
    }

    /// <summary>A proof of what has not changed is a comparison; that of another guard is mostly known.</summary>
    [Fact]
    public void Proofs_are_remembered_by_content()
    {
        var random = new Random(3);
        Vnic[] vnics = [.. Enumerable.Range(0, 300).Select(i => GuardPolicies.Random(random, i) with
        {
            Addresses = [IpPrefix.Host(IpFamily.V4, 0x0a000001u + (uint)i)],
            DelegatedPrefixes = [],
            SourceDestinationCheck = true,
        })];
        var cache = new GuardCache();
        var watch = System.Diagnostics.Stopwatch.StartNew();
        TimeSpan[] times = new TimeSpan[3];
        for (int round = 0; round < 3; round++)
        {
            CompiledRuleset compiled = GuardPolicies.Compile(vnics);
            var proofs = new GuardProofs(compiled.Ruleset, cache);
            watch.Restart();
            Assert.All(vnics, vnic => Assert.Null(proofs.Check(vnic)));
            times[round] = watch.Elapsed;
        }

        int size = cache.Diagrams.Size;
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{vnics.Length} guards: {string.Join(", ", times.Select(time => $"{time.TotalMilliseconds:0.0} ms"))}, "
            + $"{size} nodes and memos");
        Assert.True(times[2] < times[0] / 4, $"{times[0]} {times[1]} {times[2]}");
        Assert.True(size < 20_000, $"{size}");
    }
}
