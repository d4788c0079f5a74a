using System.Text.RegularExpressions;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Evaluator;
using Agent.Tests.Proof;

namespace Agent.Tests.Compiler;

/// <summary>A staged policy counts what it would do, and nothing that it is put beside does anything else.</summary>
public sealed partial class StagedRulesetTests
{
    private static readonly uint[] Marks =
        [0, 0, 0x77, 0x1234, Decision.HostAnswer, Decision.HostUnserved,
            Decision.PassedFrom(AddressClasses.NameOf(PolicyBuilder.Vpc)), Decision.Passed];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Each_packet_is_counted_as_the_policy_would_decide_it_and_treated_as_before(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 15; i++)
        {
            PolicySnapshot live = Random(random, out string[] before);
            PolicySnapshot staged = Random(random, out string[] after);
            var pair = new Beside(CompilerAgainstOracleTests.Request(live), staged);
            var now = new PolicyOracle(live, PolicySettings.Default);
            var then = new PolicyOracle(staged, PolicySettings.Default);
            for (int j = 0; j < 60; j++)
            {
                PacketTuple tuple = CompilerAgainstOracleTests.Tuple(random);
                Direction direction = random.Next(2) == 0 ? Direction.Ingress : Direction.Egress;
                bool passes = now.JudgeSession(live.Vnics["one"], direction, tuple).Accepted;
                PolicyVerdict wanted = then.JudgeSession(staged.Vnics["one"], direction, tuple);
                StagedCount count = Assert.Single(pair.Send(CompilerAgainstOracleTests.Input(
                    live.Vnics["one"], direction, tuple, stale: false, reply: false)));
                string what = $"{direction} {tuple}\n{string.Join('\n', before)}\n->\n{string.Join('\n', after)}";
                Assert.True(("one", direction, wanted.Verdict) == (count.VnicId, count.Direction, count.Verdict), what);
                Assert.True((1ul, passes ? 1ul : 0ul) == (count.All.Packets, count.Passed.Packets), what);
                Assert.Equal(count.Passed.Packets, count.Opened);
                Assert.True(wanted.Rule is null || count.DecidedBy == Explainer.RuleOf(wanted), what);
            }
        }
    }

    [Fact]
    public void A_packet_between_two_vnics_is_counted_where_it_is_dropped_or_at_both_ends()
    {
        PolicySnapshot live = Two("in 1 accept udp 53/53 0.0.0.0/0");
        var pair = new Beside(CompilerAgainstOracleTests.Request(live), Two(
            "in 1 drop udp 53/53 10.0.0.8", "in 2 accept udp 54/54 0.0.0.0/0", "out 1 drop udp 55/55 0.0.0.0/0"));
        Assert.Equal(["two Ingress Drop a/r1 1 1 1"], pair.Text(Between(live, 53)));
        Assert.Equal(["one Egress Accept default 1 0 0", "two Ingress Accept a/r2 1 0 0"],
            pair.Text(Between(live, 54)));
        Assert.Equal(["one Egress Drop a/r3 1 0 0"], pair.Text(Between(live, 55)));
        HookInput packet = Between(live, 53);
        Assert.Equal(["two Ingress Drop a/r1 0 1 1"], pair.Text(packet with { Mark = 0x1234 }));
        Assert.Empty(pair.Send(packet with { Ct = packet.Ct with { State = CtState.Established, Mark = 0x00010000 } }));
        Assert.Empty(pair.Send(packet with { Ct = new CtInput(CtState.Invalid) }));
    }

    [Fact]
    public void At_a_bridge_each_point_of_the_way_counts_what_it_judges()
    {
        PolicySnapshot live = Two("in 1 accept udp 53/53 0.0.0.0/0");
        CompileRequest request = CompilerAgainstOracleTests.Request(live);
        var pair = new Beside(
            request with { Host = request.Host with { Bridge = BridgeLayer.Open, Bridges = ["br0"] } },
            Two("in 1 accept udp 54/54 0.0.0.0/0"));
        HookInput packet = Between(live, 53) with { Family = NftFamily.Bridge };
        Assert.Equal(["two Ingress Drop default 1 1 1"], pair.Text(packet));
        Assert.Equal(["one Egress Accept default 1 0 0", "two Ingress Accept a/r1 1 0 0"],
            pair.Text(Between(live, 54) with { Family = NftFamily.Bridge }));

        // Routed behind the bridge: the sender there, the receiver here, which knows where the packet was judged.
        Assert.Equal(["one Egress Accept default 1 1 1"],
            pair.Text(packet with { Hook = NftHook.Input, OutInterface = "", OutIndex = 0 }));
        uint passed = Decision.PassedFrom(AddressClasses.NameOf(PolicyBuilder.Vpc));
        HookInput routed = packet with { Family = NftFamily.Inet, InInterface = "br0", Mark = passed };
        Assert.Equal(["two Ingress Drop default 1 1 1"], pair.Text(routed));
        Assert.Empty(pair.Send(routed with { Mark = Decision.PassedFrom("elsewhere") })); // dropped, and unknown here
    }

    [Fact]
    public void What_no_rule_decides_is_counted_by_its_reason()
    {
        PolicySnapshot live = Two("in 1 accept all -1/-1 0.0.0.0/0");
        PolicySnapshot gone = live with { Vnics = live.Vnics.Remove("two") };
        HookInput packet = Between(live, 53);
        Assert.Equal(["one Egress Drop closed 1 1 1"],
            new Beside(CompilerAgainstOracleTests.Request(live), gone).Text(packet));
        Assert.Equal(["two Ingress Drop closed 1 1 1"],
            new Beside(CompilerAgainstOracleTests.Request(live), gone).Text(
                packet with { InInterface = "uplink0" }));

        var same = new Beside(CompilerAgainstOracleTests.Request(live), live);
        HookInput toHost = packet with { Hook = NftHook.Input, OutInterface = "", OutIndex = 0 };
        Assert.Equal(["one Egress Drop host 1 0 0"], same.Text(toHost));
        var stranger = new PacketTuple(
            IpFamily.V4, IpPrefix.Parse("10.9.9.9").Bits, IpPrefix.Parse("10.2.0.1").Bits, IpProtocol.Udp, 9, 53);
        Assert.Equal(["one Egress Drop address 1 0 0"],
            same.Text(packet with { Packet = PacketBytes.Of(stranger) }));
        Vnic moved = live.Vnics["two"] with { VpcId = "vpc-2", GroupIds = ["b"] };
        PolicySnapshot other = live with
        {
            Vnics = live.Vnics.SetItem("two", moved),
            Groups = live.Groups.Add("b", live.Groups["a"] with { Id = "b", VpcId = "vpc-2" }),
        };
        Assert.Equal(["one Egress Drop zone 1 1 1"],
            new Beside(CompilerAgainstOracleTests.Request(live), other).Text(packet));
    }

    [Fact]
    public void No_interface_has_a_name_that_is_taken()
    {
        PolicySnapshot policy = Two();
        string[] names = ["count", "out", "in", "in_count", "again", "run", "new", "host", "mark", "forward", "ends"];
        foreach (string name in names)
        {
            Ruleset shadow = new Beside(CompilerAgainstOracleTests.Request(policy), policy with
            {
                Vnics = policy.Vnics.SetItem("two", policy.Vnics["two"] with { InterfaceName = name }),
            }).Shadow.Ruleset;
            Assert.All(shadow.Tables, table => Assert.Equal(
                table.Chains.Count, table.Chains.Select(chain => chain.Name).Distinct(StringComparer.Ordinal).Count()));
        }
    }

    [Theory]
    [InlineData(BridgeLayer.None)]
    [InlineData(BridgeLayer.Open)]
    public void No_packet_of_any_hook_is_treated_otherwise(BridgeLayer bridge)
    {
        var random = new Random(5);
        CompileRequest rich = RichPolicy.Request();
        rich = rich with { Host = rich.Host with { Bridge = bridge, Bridges = ["br0"] } };
        var pair = new Beside(rich, Two("in 1 accept all -1/-1 10.0.0.0/8", "out 1 drop udp 1/99 0.0.0.0/0"));
        foreach (NftTable table in pair.Shadow.Ruleset.Tables)
        {
            Assert.Null(Bystander.Objection(table));
        }

        for (int i = 0; i < 1000; i++)
        {
            pair.Send(Anything(
                random, bridge == BridgeLayer.Open && random.Next(2) == 0 ? NftFamily.Bridge : NftFamily.Inet));
        }
    }

    [Fact]
    public void The_ruleset_with_a_staged_policy_in_it_is_proved_to_be_the_policy_in_force()
    {
        var random = new Random(8);
        CompileRequest rich = RichPolicy.Request();
        Proved(new Beside(rich, Random(random, out _)), rich);
        for (int i = 0; i < 3; i++)
        {
            CompileRequest request = CompilerAgainstOracleTests.Request(Random(random, out _));
            Proved(new Beside(request, rich.Policy), request);
        }

        static void Proved(Beside pair, CompileRequest request)
        {
            ProofReport report = Prover.Prove(
                pair.Together, request.Policy, request.PolicySettings, Verifier.FactsOf(pair.Live));
            Assert.True(report.IsProved, ProverTests.Text(report));
        }
    }

    [Fact]
    public void Where_there_are_too_many_to_tell_apart_all_are_counted_together()
    {
        PolicySnapshot live = Two("in 1 accept udp 53/53 0.0.0.0/0");
        var pair = new Beside(
            CompilerAgainstOracleTests.Request(live), Two("in 1 accept udp 77/77 0.0.0.0/0"), maxCounters: 10);
        Assert.False(pair.Shadow.ByVnic);
        Assert.All(pair.Shadow.Ruleset.Tables, table => Assert.Null(Bystander.Objection(table)));
        Assert.Equal([" Egress Accept default 1 0 0", " Ingress Accept a/r1 1 0 0"], pair.Text(Between(live, 77)));
    }

    internal static PolicySnapshot Two(params string[] rules) => new PolicyBuilder().Basic("a", Verdict.Drop, rules)
        .Nic("one", "10.0.0.8", "a").Nic("two", "10.2.0.1", "a").Build();

    private static PolicySnapshot Random(Random random, out string[] rules)
    {
        rules = CompilerAgainstOracleTests.Rules(random);
        return CompilerAgainstOracleTests.Snapshot(random, rules);
    }

    private static HookInput Between(PolicySnapshot policy, ushort port) => new()
    {
        Family = NftFamily.Inet,
        Hook = NftHook.Forward,
        Packet = PacketBytes.Of(new PacketTuple(
            IpFamily.V4, IpPrefix.Parse("10.0.0.8").Bits, IpPrefix.Parse("10.2.0.1").Bits, IpProtocol.Udp, 9, port)),
        InInterface = policy.Vnics["one"].InterfaceName,
        OutInterface = "tap-two",
        InIndex = 3,
        OutIndex = 4,
        Ct = new CtInput(CtState.New, Mark: 7),
    };

    private static readonly string[] Devices =
        ["tap-one", "tap-two", "tap-router", "tap-none", "uplink0", "br0"];

    private static readonly CtState[] CtStates =
        [CtState.New, CtState.New, CtState.Established, CtState.Related, CtState.Untracked];

    private static HookInput Anything(Random random, NftFamily family)
    {
        NftHook hook = (NftHook)random.Next((int)NftHook.Input, (int)NftHook.Output + 1);
        return new HookInput
        {
            Family = family,
            Hook = hook,
            Packet = PacketBytes.Of(CompilerAgainstOracleTests.Tuple(random)),
            InInterface = hook == NftHook.Output ? "" : Devices[random.Next(Devices.Length)],
            OutInterface = hook == NftHook.Input ? "" : Devices[random.Next(Devices.Length)],
            InIndex = hook == NftHook.Output ? 0u : 3u,
            OutIndex = hook == NftHook.Input ? 0u : 4u,
            Mark = Marks[random.Next(Marks.Length)],
            Ct = new CtInput(
                CtStates[random.Next(CtStates.Length)], Mark: random.Next(2) == 0 ? RichPolicy.Epoch : 7),
        };
    }

    /// <summary>A policy in force, and one that is staged beside it.</summary>
    internal sealed partial class Beside
    {
        public Beside(
            CompileRequest live, PolicySnapshot staged, int maxCounters = StagedRuleset.MaxCounters)
        {
            Live = RulesetCompiler.Compile(live);
            Shadow = StagedRuleset.Of(
                RulesetCompiler.Compile(live with { Policy = staged }), live.Policy, maxCounters);
            Together = new Ruleset(Live.Ruleset.Tables.Concat(Shadow.Ruleset.Tables)
                .OrderBy(table => table.Family).ThenBy(table => table.Name, StringComparer.Ordinal).ToValueArray());
        }

        public CompiledRuleset Live { get; }

        public StagedRuleset Shadow { get; }

        public Ruleset Together { get; }

        /// <summary>Sends a packet through both, which must not differ; says what the staged policy counted.</summary>
        public IReadOnlyList<StagedCount> Send(HookInput input)
        {
            Trace alone = RulesetEvaluator.Evaluate(Live.Ruleset, input);
            Trace together = RulesetEvaluator.Evaluate(Together, input);
            Assert.True(alone.SameEffect(together) && alone.CtTimeout == together.CtTimeout,
                $"{input}\nalone {alone}\ntogether {together}");
            string[] counted = [.. together.Steps.Where(step => step.Table == Shadow.Table)
                .SelectMany(step => Counted().Matches(step.What)).Select(match => match.Value)];
            return Shadow.Counts(
            [
                .. Shadow.Ruleset.Tables.Where(table => table.Family == input.Family).Select(table =>
                    new CounterReadings(new Dictionary<string, PacketCount>(), table.Sets.Where(set => set.Counters)
                        .ToDictionary(set => set.Name, set => Readings(set, counted)))),
            ]);
        }

        /// <summary>Whether random packets go on as they came; an unknown answer is no answer.</summary>
        public static bool DoesNothing(Ruleset alone, Random random, int packets) =>
            Enumerable.Range(0, packets).Select(_ => Anything(random, NftFamily.Inet)).All(input =>
            {
                Trace trace = RulesetEvaluator.Evaluate(alone, input);
                return trace.Verdict == HookVerdict.Unknown || (trace.Verdict == HookVerdict.Accept
                    && trace.Mark == input.Mark && trace.CtMark == (input.Ct.HasEntry ? input.Ct.Mark : 0));
            });

        public string[] Text(HookInput input) => [.. Send(input)
            .Select(row => $"{row.VnicId} {row.Direction} {row.Verdict} {row.DecidedBy} "
                + $"{row.All.Packets} {row.Passed.Packets} {row.Opened}")
            .Order(StringComparer.Ordinal)];

        private static IReadOnlyList<ElementReading> Readings(NftSet set, string[] counted) =>
            [.. Enumerable.Range(0, set.Elements.Count).Select(i => new ElementReading(
                ValueArray.Create(set.Elements[i]), new PacketCount((ulong)counted.Count(
                    one => one == $"{set.Name} {Convert.ToHexStringLower(set.Elements[i])}"), 0)))];

        [GeneratedRegex("n_(all|passed|opened)_(in|out) [0-9a-f]+")]
        private static partial Regex Counted();
    }
}
