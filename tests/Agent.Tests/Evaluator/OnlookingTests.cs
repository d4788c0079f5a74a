using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Evaluator;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Compiler;

namespace Agent.Tests.Evaluator;

/// <summary>Rules that report packets change nothing; what only looks like one is not passed over.</summary>
public sealed class OnlookingTests
{
    private static readonly NftExpr.Limit Rate = new(10, 1, 20, NftLimitType.Packets, Over: false);
    private static readonly NftExpr.Log Log = new(1789, "sg to rule", 0, 0);
    private static readonly NftReg R0 = NftReg.R0;

    public static TheoryData<string, NftExpr[], bool> Rules => new()
    {
        { "log", [Log], true },
        { "limit log", [Rate, Log], true },
        { "set", [new NftExpr.Meta(NftMetaKey.IifName, R0), new NftExpr.Lookup("rates", R0), Log], true },
        { "count only", [new NftExpr.Counter()], false },
        { "drop", [Log, new NftExpr.VerdictIs(NftVerdict.Drop)], false },
        { "mark", [new NftExpr.Immediate(R0, [1, 0, 0, 0]), new NftExpr.MetaSet(NftMetaKey.Mark, R0), Log], false },
        { "session", [new NftExpr.Immediate(R0, [1, 0, 0, 0]), new NftExpr.CtSet(NftCtKey.Mark, R0), Log], false },
        { "count of sessions", [new NftExpr.ConnLimit(1, Over: true), Log], false },
        { "verdict map", [new NftExpr.Meta(NftMetaKey.IifName, R0), new NftExpr.LookupVerdict("m", R0), Log], false },
        { "untracked", [new NftExpr.NoTrack(), Log], false },
        { "object", [new NftExpr.ObjectRef(7, "slow"), Log], false },
        { "not known", [new NftExpr.Opaque("dup", []), Log], false },
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void Only_what_reports_and_does_nothing_else_is_passed_over(string what, NftExpr[] exprs, bool expected) =>
        Assert.True(expected == Onlooking.Is(new NftRule(exprs.ToValueArray())), what);

    [Fact]
    public void A_set_with_rates_that_decides_is_unknown()
    {
        NftSet rates = Datapath.InterfaceSet("rates", ["tap-n"]) with { Limit = Rate };
        NftExpr[] asks = [new NftExpr.Meta(NftMetaKey.IifName, R0), new NftExpr.Lookup("rates", R0)];
        Assert.Equal(HookVerdict.Accept, VerdictOf([.. asks, Log]));
        Assert.Equal(HookVerdict.Unknown, VerdictOf([.. asks, new NftExpr.VerdictIs(NftVerdict.Drop)]));

        HookVerdict VerdictOf(NftExpr[] exprs) => RulesetEvaluator.Evaluate(
            new Ruleset([new NftTable(NftFamily.Inet, "t",
                [new NftChain("c", new BaseHook(NftHook.Forward, 0), [new NftRule(exprs.ToValueArray())])],
                [rates], [])]),
            new HookInput
            {
                Family = NftFamily.Inet,
                Hook = NftHook.Forward,
                Packet = PacketBytes.Of(PacketTuple.Of("10.0.0.8", "10.0.0.9", IpProtocol.Udp, 1, 2)),
                InInterface = "tap-n",
                OutInterface = "tap-m",
            }).Verdict;
    }

    [Fact]
    public void A_ruleset_that_reports_keeps_the_verdicts_of_one_that_does_not()
    {
        CompileRequest request = RichPolicy.Request();
        Ruleset on = Compiled(request.Settings);
        Ruleset off = Compiled(request.Settings with { DropRate = 0 });
        Assert.NotEqual(on, off);
        Assert.True(Restart.KeepsVerdicts(off, on));
        Assert.True(Restart.KeepsVerdicts(on, off));
        Assert.True(Restart.KeepsVerdicts(on, Compiled(request.Settings with { DropRate = 99, LogGroup = 3 })));
        Assert.True(Restart.KeepsVerdicts(on, Compiled(request.Settings with { FlowVnics = ["*"] })));
        Assert.False(Restart.KeepsVerdicts(on, Compiled(request.Settings with { MaxSessionsPerVnic = 5 })));
        SecurityGroup web = request.Policy.Groups["web"];
        PolicySnapshot other = request.Policy with
        {
            Groups = request.Policy.Groups.SetItem("web", web with { Rules = web.Rules.RemoveAt(0) }),
        };
        Assert.False(Restart.KeepsVerdicts(
            on, RulesetCompiler.Compile(request with { Policy = other }).Ruleset));

        Ruleset Compiled(CompilerSettings settings) =>
            RulesetCompiler.Compile(request with { Settings = settings }).Ruleset;
    }

    [Fact]
    public void A_vnic_costs_one_element_a_table()
    {
        Ruleset ruleset = RulesetCompiler.Compile(RichPolicy.Request()).Ruleset;
        foreach (NftTable table in ruleset.Tables.Where(table => table.Family != NftFamily.Bridge))
        {
            NftSet rates = Assert.Single(table.Sets, set => set.Limit is not null);
            Assert.Equal(RichPolicy.Snapshot.Vnics.Count, rates.Elements.Count);
        }
    }
}
