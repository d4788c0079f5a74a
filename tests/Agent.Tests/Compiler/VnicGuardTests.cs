using System.Net;
using Agent.Compiler;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Evaluator;

namespace Agent.Tests.Compiler;

/// <summary>The table of frames that real guests send in Agent.KernelTests, judged by the ruleset judge.</summary>
public sealed class VnicGuardTests
{
    private static readonly PolicySnapshot Policy = new PolicyBuilder()
        .Basic("a", Verdict.Accept)
        .Nic("one", "10.0.0.8 10.0.0.9 2001:db8:1::8 2001:db8:1::9", "a")
        .Nic("router", "10.0.0.5 2001:db8:1::5", "a", vnic => vnic with { SourceDestinationCheck = false })
        .Nic("many", $"10.0.0.7 2001:db8:1::7 {Prefixes()}", "a")
        .Nic("hosts", "10.0.0.20 10.0.0.21 10.0.0.22 10.0.0.23 10.0.0.24 2001:db8:1::20 2001:db8:1::21 2001:db8:1::22 "
            + "2001:db8:1::23 2001:db8:1::24", "a")
        .Build();

    private static readonly CompiledRuleset Compiled =
        RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(Policy));

    private static readonly Dictionary<string, (string OtherV4, string OtherV6)> Others = new()
    {
        ["one"] = ("10.0.0.9", "2001:db8:1::9"),
        ["router"] = ("10.0.0.5", "2001:db8:1::5"),
        ["many"] = ("10.3.77.9", "2001:db8:3:77::9"),
        ["hosts"] = ("10.0.0.24", "2001:db8:1::24"),
    };

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string nic in Others.Keys)
            {
                foreach (GuestFrame frame in Frames(nic))
                {
                    cases.Add(nic, frame.Name);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_guard_passes_a_frame_or_counts_its_kind(string nic, string frame)
    {
        Vnic vnic = Policy.Vnics[nic];
        GuestFrame sent = Frames(nic).Single(one => one.Name == frame);
        var input = new HookInput
        {
            Family = NftFamily.Netdev,
            Hook = NftHook.Ingress,
            Packet = PacketBytes.OfFrame(sent.Bytes),
            InInterface = vnic.InterfaceName,
        };
        Trace trace = RulesetEvaluator.Evaluate(Compiled.Ruleset, input);
        string? kind = vnic.SourceDestinationCheck ? sent.Kind : sent.KindOfRouter;
        Assert.True(
            trace.Verdict == (kind is null ? HookVerdict.Accept : HookVerdict.Drop),
            $"expected {kind}: {trace}");
        Assert.Equal(kind is null ? null : $"spoof_{kind}_{vnic.InterfaceName}", CounterOf(trace));
    }

    [Fact]
    public void Every_object_of_a_guard_has_an_owner_and_every_chain_ends_in_a_drop()
    {
        NftTable guards = Compiled.Ruleset.Tables.Single(table => table.Family == NftFamily.Netdev);
        foreach (Vnic vnic in Policy.Vnics.Values)
        {
            NftChain[] chains = [.. guards.Chains.Where(c => Compiled.OwnerOf(c.Name) == (null, vnic.Id))];
            Assert.Equal(vnic.SourceDestinationCheck ? 7 : 5, chains.Length);
            Assert.All(chains, chain => Assert.Contains(chain.Rules[^1].Exprs, expr =>
                expr is NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto, Chain: string report } }
                && report.StartsWith("spoofed_", StringComparison.Ordinal)));
            Assert.Equal(9, guards.Objects.Count(item => Compiled.OwnerOf(item.Name) == (null, vnic.Id)));
        }

        NftChain[] reports = [.. guards.Chains.Where(c => c.Name.StartsWith("spoofed_", StringComparison.Ordinal))];
        Assert.Equal(SpoofKind.All.Length, reports.Length);
        Assert.All(reports, chain => Assert.Equal(
            new NftRule([new NftExpr.VerdictIs(NftVerdict.Drop)]), chain.Rules[^1]));
        Assert.Equal(
            ["extension_headers", "log_10_20", "net4_tap-many", "net6_tap-many", "own4_tap-hosts", "own6_tap-hosts"],
            guards.Sets.Select(set => set.Name));
    }

    [Fact]
    public void Names_of_one_interface_are_not_taken_for_anothers()
    {
        PolicySnapshot policy = new PolicyBuilder().Basic("a", Verdict.Accept)
            .Nic("x", "10.0.0.8", "a", vnic => vnic with { InterfaceName = "x" })
            .Nic("y", "10.0.0.9", "a", vnic => vnic with { InterfaceName = "nd_x" })
            .Build();
        CompiledRuleset compiled = RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(policy));
        Assert.Equal((null, "y"), compiled.OwnerOf("guard_nd_x"));
        Assert.Equal((null, "y"), compiled.OwnerOf("spoof_ra_nd_x"));
        Assert.Equal((null, "x"), compiled.OwnerOf("guardnd_x"));
        Assert.Equal((null, "x"), compiled.OwnerOf("spoof_nd_x"));
        NftTable guards = compiled.Ruleset.Tables.Single(table => table.Family == NftFamily.Netdev);
        Assert.Equal(guards.Chains.Count, guards.Chains.Select(chain => chain.Name).Distinct().Count());
        Assert.Equal(18, guards.Objects.Select(item => item.Name).Distinct().Count());
    }

    [Fact]
    public void An_unchanged_vnic_keeps_its_guard()
    {
        CompileRequest request = CompilerAgainstOracleTests.Request(Policy);
        CompiledRuleset again = RulesetCompiler.Compile(request with { Previous = Compiled });
        Assert.Same(Compiled.Guards["many"], again.Guards["many"]);
        Vnic moved = Policy.Vnics["many"] with { Mac = new MacAddress(0x020000000099) };
        PolicySnapshot changed = Policy with { Vnics = Policy.Vnics.SetItem("many", moved) };
        CompiledRuleset other = RulesetCompiler.Compile(request with { Policy = changed, Previous = Compiled });
        Assert.NotSame(Compiled.Guards["many"], other.Guards["many"]);
        Assert.Equal(RulesetCompiler.Compile(request with { Policy = changed }).Ruleset, other.Ruleset);
    }

    [Fact]
    public void What_kernels_read_of_a_later_fragment_is_tried_both_ways()
    {
        GuestFrame fragment =
            Frames("one").Single(one => one.Name == "IPv4 UDP, later fragment that looks like a DHCP server");
        var input = new HookInput
        {
            Family = NftFamily.Netdev,
            Hook = NftHook.Ingress,
            Packet = PacketBytes.OfFrame(fragment.Bytes),
            InInterface = "tap",
        };
        NftRule byPort = ProgramBuilder.Rule(
            ProgramBuilder.DestinationPort(), ProgramBuilder.Is(ProgramBuilder.Port(68)), ProgramBuilder.Drop);
        NftRule byWideLoad = ProgramBuilder.Rule(
            new NftExpr.Payload(NftPayloadBase.Transport, 0, 8, NftReg.R0), ProgramBuilder.Drop);
        Assert.Equal(HookVerdict.Unknown, Judge(byPort));
        Assert.Equal(HookVerdict.Accept, Judge(byWideLoad));

        HookVerdict Judge(NftRule rule)
        {
            NftChain chain = new("c", new BaseHook(NftHook.Ingress, 0, "tap"), [rule]);
            return RulesetEvaluator.Evaluate(
                new Ruleset([new NftTable(NftFamily.Netdev, "t", [chain], [], [])]), input).Verdict;
        }
    }

    /// <summary>What an IPv4 packet of an established session costs at the guard.</summary>
    [Fact]
    public void A_data_packet_is_decided_by_few_rules()
    {
        Assert.Equal(["guard_tap-one", "guard4_tap-one"], Decide("IPv4 TCP"));
        Assert.Equal(["guard_tap-one", "guard6_tap-one"], Decide("IPv6 TCP"));
    }

    private static string[] Decide(string name)
    {
        Trace trace = RulesetEvaluator.Evaluate(Compiled.Ruleset, new HookInput
        {
            Family = NftFamily.Netdev,
            Hook = NftHook.Ingress,
            Packet = PacketBytes.OfFrame(Frames("one").Single(one => one.Name == name).Bytes),
            InInterface = "tap-one",
        });
        return [.. trace.Steps.Select(step => step.Chain)];
    }

    private static IReadOnlyList<GuestFrame> Frames(string nic)
    {
        Vnic vnic = Policy.Vnics[nic];
        return GuestFrames.Of(new GuestIdentity(vnic.Mac.ToBytes(), [0x0e, 0, 0, 0, 0, 2])
        {
            V4 = vnic.Addresses.First(a => a.Family == IpFamily.V4).Address,
            OtherV4 = IPAddress.Parse(Others[nic].OtherV4),
            V6 = vnic.Addresses.First(a => a.Family == IpFamily.V6).Address,
            OtherV6 = IPAddress.Parse(Others[nic].OtherV6),
        });
    }

    /// <summary>Three hundred of each family, apart from each other.</summary>
    private static string Prefixes() => string.Join(' ', Enumerable.Range(0, 300).Select(i =>
        $"10.{3 + i / 256}.{i % 256}.0/28 2001:db8:3:{i}::/80"));

    private static string? CounterOf(Trace trace)
    {
        NftTable guards = Compiled.Ruleset.Tables.Single(table => table.Family == NftFamily.Netdev);
        return trace.Steps.SelectMany(step => guards.Chains.Single(one => one.Name == step.Chain)
            .Rules[step.Rule].Exprs.OfType<NftExpr.ObjectRef>()).SingleOrDefault()?.Name;
    }
}
