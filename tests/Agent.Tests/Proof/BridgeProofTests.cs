using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Proof;

/// <summary>What stands in the bridge family is proved to be the policy, or to drop everything.</summary>
public sealed class BridgeProofTests
{
    [Fact]
    public void A_bridge_where_nothing_is_judged_drops_every_frame_of_a_vnic()
    {
        CompileRequest rich = RichPolicy.Request();
        Proved(rich with { Host = rich.Host with { Bridge = BridgeLayer.Closed } }, "closed");
    }

    [Fact]
    public void A_policy_that_uses_everything_is_proved_at_bridges() => Proved(Bridged(RichPolicy.Request()), "rich");

    [Fact]
    public void VPCs_with_zones_and_without_are_proved_at_bridges()
    {
        foreach (string[] listed in (string[][])[[], ["vpc-a"], ["vpc-a", "vpc-b"]])
        {
            Proved(Bridged(CompilerAgainstOracleTests.Request(
                ZoneTests.Tenants() with { Vpcs = ZoneTests.Vpcs(listed).Vpcs })), string.Join(',', listed));
        }
    }

    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 3)]
    public void Random_policies_are_proved_at_bridges(int seed, int policies)
    {
        var random = new Random(seed);
        for (int i = 0; i < policies; i++)
        {
            string[] rules = CompilerAgainstOracleTests.Rules(random);
            Proved(
                Bridged(CompilerAgainstOracleTests.Request(CompilerAgainstOracleTests.Snapshot(random, rules))),
                string.Join('\n', rules));
        }
    }

    [Fact]
    public void A_closed_vnic_and_many_in_one_VPC_are_proved_at_bridges()
    {
        CompileRequest rich = Bridged(RichPolicy.Request());
        Proved(rich with { ClosedVnics = rich.ClosedVnics.Add("two", "a test") }, "closed");
        Vnic one = rich.Policy.Vnics["one"];
        Vnic[] more = [.. Enumerable.Range(0, 8).Select(i => one with
        {
            Id = $"more{i}",
            InterfaceName = $"tap-more{i}",
            Mac = new MacAddress(one.Mac.Bits + 0x100 + (ulong)i),
            Addresses = [IpPrefix.Host(IpFamily.V4, 0x0a020000u + (uint)i)],
            DelegatedPrefixes = [],
        })];
        Proved(rich with
        {
            Policy = rich.Policy with
            {
                Vnics = rich.Policy.Vnics.AddRange(more.Select(vnic => KeyValuePair.Create(vnic.Id, vnic))),
            },
        }, "many");
    }

    [Theory]
    [InlineData(1, 24)]
    [InlineData(2, 24)]
    public void Faults_at_a_bridge_are_found(int seed, int faults)
    {
        var random = new Random(seed);
        CompileRequest request = Bridged(RichPolicy.Request());
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        ProofFacts facts = Verifier.FactsOf(compiled);
        var cache = new ProofCache();
        int refuted = 0;
        int unknown = 0;
        for (int i = 0; i < faults; i++)
        {
            (Ruleset faulty, string what) = RulesetFaults.Seed(random, compiled.Ruleset, NftFamily.Bridge);
            ProofReport report = Prover.Prove(
                faulty, request.Policy, request.PolicySettings, facts, cache,
                cancel: TestContext.Current.CancellationToken);
            VnicProof[] proofs = [.. report.Vnics.Values, report.Host];
            if (proofs.OfType<VnicProof.Refuted>().FirstOrDefault() is { } found)
            {
                Trace here = RulesetEvaluator.Evaluate(faulty, found.Example.Input);
                Assert.EndsWith(here.ToString().Split(": ", 2)[1], found.Example.Trace.ToString());
                refuted++;
            }
            else if (proofs.OfType<VnicProof.Unknown>().FirstOrDefault(unknown => !unknown.IsBeyond) is { } reason)
            {
                Assert.False(reason.Reason.Contains("disagree", StringComparison.Ordinal), $"{what}\n{reason.Reason}");
                unknown++;
            }
            else
            {
                SameOnPackets(request, compiled.Ruleset, faulty, random, what);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{refuted} refuted, {unknown} unknown of {faults}");
        Assert.True(refuted > faults / 2 && unknown < faults / 5, $"{refuted} refuted, {unknown} unknown of {faults}");
    }

    // At the hooks of the bridge, frames that are for the device that they leave by.
    private static void SameOnPackets(
        CompileRequest request, Ruleset compiled, Ruleset faulty, Random random, string what)
    {
        var oracle = new PolicyOracle(request.Policy, request.PolicySettings);
        PacketTuple[] corners = [.. request.Policy.Vnics.Values.SelectMany(vnic => Claims.Families
            .SelectMany(family => new[] { Direction.Ingress, Direction.Egress }.SelectMany(direction =>
                Evaluator.PolicyFormTests.Corners(new PolicyForms().Of(oracle, vnic, direction, family)))))];
        Dictionary<string, MacAddress> macs = request.Policy.Vnics.Values
            .ToDictionary(vnic => vnic.InterfaceName, vnic => vnic.Mac, StringComparer.Ordinal);
        for (int i = 0; i < 400; i++)
        {
            HookInput inet = ProofPackets.Input(request, corners[random.Next(corners.Length)], random);
            byte[] mac = macs.GetValueOrDefault(inet.OutInterface, new MacAddress(0x0e00_0000_0001)).ToBytes();
            byte[] type = inet.Packet.EtherType == 0x0800 ? [8, 0] : [0x86, 0xdd];
            HookInput input = inet with
            {
                Family = NftFamily.Bridge,
                Packet = inet.Packet with { Link = [.. mac, 0x0e, 0, 0, 0, 0, 1, .. type] },
            };
            Trace before = RulesetEvaluator.Evaluate(compiled, input);
            Trace after = RulesetEvaluator.Evaluate(faulty, input);
            Assert.True(
                before.Verdict == after.Verdict && before.CtMark == after.CtMark,
                $"proved, but not the same: {what}\n{input}\n{before}\n{after}");
        }
    }

    /// <summary>Without its ports a fragment cannot be judged: it follows its first one, or is dropped.</summary>
    [Theory]
    [InlineData(RichPolicy.Epoch << 3, HookVerdict.Drop)]
    [InlineData(RichPolicy.Epoch, HookVerdict.Accept)]
    public void A_later_fragment_to_a_port_does_not_revive_a_session(uint mark, HookVerdict expected)
    {
        PolicySnapshot policy = new PolicyBuilder().Basic("a", "out 1 drop udp 53/53 0.0.0.0/0")
            .Nic("one", "10.0.0.8", "a").Build();
        CompileRequest request = Bridged(RichPolicy.Request() with { Policy = policy });
        Vnic vnic = policy.Vnics["one"];
        PacketBytes whole = PacketBytes.Of(
            PacketTuple.Of("8.8.8.8", "10.0.0.8", IpProtocol.Udp, 53, 4000),
            new PacketShape { SourceMac = new MacAddress(0x0e00_0000_0001), DestinationMac = vnic.Mac });
        byte[] bytes = [.. whole.Network];
        bytes[7] = 3;
        Trace trace = RulesetEvaluator.Evaluate(RulesetCompiler.Compile(request).Ruleset, new HookInput
        {
            Family = NftFamily.Bridge,
            Hook = NftHook.Output,
            Packet = whole with { Network = [.. bytes], IsLaterFragment = true },
            OutInterface = vnic.InterfaceName,
            OutIndex = 4,
            Ct = new CtInput(CtState.Established, Reply: true, mark, Status: 8),
        });
        Assert.True(trace.Verdict == expected, $"{trace}");
    }

    internal static CompileRequest Bridged(CompileRequest request) => request with
    {
        Host = request.Host with { Bridge = BridgeLayer.Open, Bridges = ["br0", "br1"] },
    };

    // All but what the prover says itself that it does not prove.
    private static void Proved(CompileRequest request, string what)
    {
        CompiledRuleset compiled = RulesetCompiler.Compile(request);
        ProofReport report = Prover.Prove(
            compiled.Ruleset, request.Policy, request.PolicySettings, Verifier.FactsOf(compiled));
        Assert.All(report.Vnics.Values.Append(report.Host), proof => Assert.True(
            proof is VnicProof.Proved || proof is VnicProof.Unknown { IsBeyond: true },
            $"{what}: {proof}"));
        Assert.True(request.Host.Bridge == BridgeLayer.Open || report.IsProved, what);
    }
}
