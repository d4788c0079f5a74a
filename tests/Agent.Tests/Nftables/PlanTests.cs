using Agent.Compiler;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Compiler;
using Agent.Tests.Contract;
using Agent.Tests.Simulation;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Nftables;

/// <summary>Plans are carried out on a model of the kernel, which refuses what the kernel would refuse.</summary>
public class PlanTests
{
    private static readonly PacketTuple[] Packets =
    [
        PacketTuple.Of("10.1.2.3", "10.0.0.1", IpProtocol.Tcp, 40000, 22),
        PacketTuple.Of("10.1.2.4", "10.0.0.1", IpProtocol.Tcp, 40000, 80),
        PacketTuple.Of("10.0.0.2", "10.0.0.1", IpProtocol.Udp, 1024, 53),
        PacketTuple.Of("8.8.8.8", "10.0.0.1", IpProtocol.Tcp, 50, 443),
        PacketTuple.Of("192.0.2.1", "10.0.0.1", IpProtocol.Udp, 40000, 1500),
        PacketTuple.Of("2001:db8:1::7", "2001:db8::1", IpProtocol.Tcp, 40000, 22),
        PacketTuple.Of("fd00::1", "2001:db8::1", IpProtocol.Tcp, 40000, 80),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_plan_leads_from_any_ruleset_to_any_other(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 25; i++)
        {
            var kernel = new KernelModel();
            Snapshot state = RandomStates.Next(random, 1);
            for (int step = 0; step < 6; step++)
            {
                Ruleset before = kernel.Ruleset;
                Ruleset desired = Compile(state);
                Plan plan = Plan.Between(before, desired);
                Follow(kernel, plan.Prepare);
                if (before.Tables.Count > 0)
                {
                    AssertSameJudgements(before, kernel.Ruleset, "preparing");
                }

                Follow(kernel, plan.Switch);
                AssertSameJudgements(desired, kernel.Ruleset, "the switch");
                Follow(kernel, plan.Cleanup);
                Assert.Equal(NftText.Print(desired), NftText.Print(kernel.Ruleset));
                Assert.Equal(desired, kernel.Ruleset);
                Assert.True(Plan.Between(kernel.Ruleset, desired).IsEmpty);
                state = random.Next(5) == 0 ? RandomStates.Next(random, 1) : state.Clone();
                RandomStates.Change(state, random);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_plan_that_was_cut_off_anywhere_is_finished_by_the_next(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 40; i++)
        {
            var kernel = new KernelModel();
            Snapshot state = RandomStates.Next(random, 1);
            Ruleset first = Compile(state);
            Plan start = Plan.Between(kernel.Ruleset, first);
            Follow(kernel, start.Prepare);
            Follow(kernel, start.Switch);
            Follow(kernel, start.Cleanup);

            for (int change = 0; change < 4; change++)
            {
                RandomStates.Change(state, random);
            }

            // The first steps of one plan, then a plan to something else.
            Plan cut = Plan.Between(kernel.Ruleset, Compile(state));
            NftOp[][] steps = [[.. cut.Prepare.Take(random.Next(cut.Prepare.Count + 1))], [.. cut.Switch]];
            Follow(kernel, steps[0]);
            if (steps[0].Length == cut.Prepare.Count && random.Next(2) == 0)
            {
                Follow(kernel, steps[1]);
            }

            RandomStates.Change(state, random);
            Ruleset desired = Compile(state);
            Plan plan = Plan.Between(kernel.Ruleset, desired);
            Follow(kernel, plan.Prepare);
            Follow(kernel, plan.Switch);
            Follow(kernel, plan.Cleanup);
            Assert.Equal(desired, kernel.Ruleset);
        }
    }

    [Fact]
    public void Preparing_adds_and_cleaning_up_removes_and_neither_meets_packets()
    {
        var random = new Random(5);
        for (int i = 0; i < 200; i++)
        {
            Snapshot state = RandomStates.Next(random, 1);
            Ruleset before = Compile(state);
            RandomStates.Change(state, random);
            Plan plan = Plan.Between(before, Compile(state));
            HashSet<(NftFamily, string)> old = [.. before.Tables.SelectMany(table => table.Chains
                .Select(chain => chain.Name).Concat(table.Sets.Select(set => set.Name))
                .Select(name => (table.Family, name)))];
            Assert.All(plan.Prepare, op => Assert.True(
                op is NftOp.AddChain or NftOp.AddRule or NftOp.AddSet or NftOp.AddElements or NftOp.AddObject
                    or NftOp.AddTable, $"{op}"));
            Assert.All(plan.Prepare, op => Assert.DoesNotContain(
                (op.Family, op.ObjectName), op is NftOp.AddTable ? [] : old));
            Assert.All(plan.Cleanup, op => Assert.True(
                op is NftOp.FlushChain or NftOp.DeleteChain or NftOp.DeleteSet or NftOp.DeleteObject
                    or NftOp.DeleteElements, $"{op}"));
            Assert.DoesNotContain(plan.Switch, op => op is NftOp.DeleteTable or NftOp.DeleteChain or NftOp.DeleteSet);
        }
    }

    [Fact]
    public void One_member_is_one_operation()
    {
        Ruleset before = Compile(RichPolicy.Snapshot);
        SecurityGroup peers = RichPolicy.Snapshot.Groups["peers"];
        PolicySnapshot after = RichPolicy.Snapshot with
        {
            Groups = RichPolicy.Snapshot.Groups.SetItem(
                "peers", peers with { Members = peers.Members.Add(IpPrefix.Parse("10.55.0.1")) }),
        };
        Plan plan = Plan.Between(before, Compile(after));
        Assert.Empty(plan.Prepare);
        Assert.Empty(plan.Cleanup);
        NftOp.AddElements op = Assert.IsType<NftOp.AddElements>(Assert.Single(plan.Switch));
        Assert.Equal(1, op.Elements.Count);
        Assert.False(plan.EditsIntervals);
    }

    [Fact]
    public void An_edit_of_an_interval_map_is_told()
    {
        SecurityGroup peers = RichPolicy.Snapshot.Groups["peers"];
        PolicySnapshot after = RichPolicy.Snapshot with
        {
            Groups = RichPolicy.Snapshot.Groups.SetItem(
                "peers", peers with { Members = peers.Members.Add(IpPrefix.Parse("10.77.0.0/24")) }),
        };
        Assert.True(Plan.Between(Compile(RichPolicy.Snapshot), Compile(after)).EditsIntervals);
    }

    [Fact]
    public void Another_type_of_a_set_builds_the_table_anew_in_one_transaction()
    {
        Ruleset desired = Compile(RichPolicy.Snapshot);
        NftTable table = desired.Tables[0];
        NftSet odd = table.Sets[0] with { Counters = !table.Sets[0].Counters };
        var observed = new Ruleset(
            [table with { Sets = table.Sets.Skip(1).Prepend(odd).ToValueArray() }, desired.Tables[1]]);
        Plan plan = Plan.Between(observed, desired);
        Assert.Empty(plan.Prepare);
        Assert.IsType<NftOp.DeleteTable>(plan.Switch[0]);
        Assert.IsType<NftOp.AddTable>(plan.Switch[1]);
        var kernel = new KernelModel();
        Follow(kernel, Samples.Build(observed));
        Follow(kernel, plan.Switch);
        Assert.Equal(desired, kernel.Ruleset);
    }

    [Fact]
    public void Tables_of_others_are_not_in_a_plan()
    {
        Ruleset desired = Compile(RichPolicy.Snapshot);
        var observed = new Ruleset([.. desired.Tables, new NftTable(NftFamily.Bridge, "theirs", [], [], [])]);
        Assert.True(Plan.Between(observed, desired).IsEmpty);
    }

    private static void Follow(KernelModel kernel, IReadOnlyList<NftOp> ops)
    {
        if (kernel.Apply(ops) is (int index, string why))
        {
            Assert.Fail($"operation {index} of {ops.Count} was refused: {why}");
        }
    }

    private static Ruleset Compile(Snapshot state) => Compile(DeltaTests.Read(state));

    private static Ruleset Compile(PolicySnapshot policy) =>
        RulesetCompiler.Compile(CompilerAgainstOracleTests.Request(policy)).Ruleset;

    private static void AssertSameJudgements(Ruleset expected, Ruleset actual, string when)
    {
        foreach (PacketTuple packet in Packets)
        {
            foreach (string device in (string[])["tap1", "tap2", "tap7", "eth0"])
            {
                foreach (bool into in (bool[])[true, false])
                {
                    HookInput input = Input(into ? packet : packet.Reversed, device, into);
                    Trace wanted = RulesetEvaluator.Evaluate(expected, input);
                    Trace found = RulesetEvaluator.Evaluate(actual, input);
                    Assert.True(
                        wanted.Verdict == found.Verdict, $"{when}: {device} {packet}\nwas {wanted}\nis {found}");
                }
            }
        }
    }

    private static HookInput Input(PacketTuple packet, string device, bool into) => new()
    {
        Family = NftFamily.Inet,
        Hook = NftHook.Forward,
        Packet = PacketBytes.Of(packet),
        InInterface = into ? "uplink0" : device,
        OutInterface = into ? device : "uplink0",
        InIndex = 3,
        OutIndex = 4,
        Ct = new CtInput(CtState.New),
    };
}
