using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Tests.Compiler;

namespace Agent.Tests.Proof;

/// <summary>What only looks on is told from what does something, by small tables and by seeded faults.</summary>
public sealed class BystanderTests
{
    private static readonly NftChain Harmless = Chain("run",
        [new NftExpr.Meta(NftMetaKey.L4Proto, NftReg.R0), new NftExpr.Cmp(NftReg.R0, NftCmpOp.Eq, [6]),
            .. Set(7), .. Verdict(NftVerdict.Return)],
        [.. Set(8)]);

    [Fact]
    public void A_table_that_puts_back_what_it_wrote_looks_on() =>
        Assert.Null(Bystander.Objection(Table(Base([.. Mark(5), .. Verdict(NftVerdict.Goto("at"))]), At(5), Harmless)));

    [Fact]
    public void An_empty_table_and_one_without_hooks_look_on()
    {
        Assert.Null(Bystander.Objection(Table()));
        Assert.Null(Bystander.Objection(Table(Chain("nobody", [.. Verdict(NftVerdict.Drop)]))));
    }

    [Fact]
    public void Whatever_may_do_something_is_an_objection()
    {
        NftExpr[] go = [.. Mark(5), .. Verdict(NftVerdict.Goto("at"))];
        NftTable[] doers =
        [
            Table(Base([.. Verdict(NftVerdict.Drop)])),
            Table(Base(go), At(6), Harmless), // another mark
            Table(Base([.. Verdict(NftVerdict.Goto("at"))]), At(5), Harmless), // a mark that nobody asked for
            Table(Base(go), Chain("at", [.. Verdict(NftVerdict.Jump("run"))]), Harmless), // not put back
            Table(Base([.. Mark(5, NftCmpOp.Neq), .. Verdict(NftVerdict.Goto("at"))]), At(5), Harmless),
            Table(Base([.. Mark(5), .. Set(4), .. Verdict(NftVerdict.Goto("at"))])), // no such chain
            Table(Base(go), At(5), Chain("run", [.. Set(7), .. Verdict(NftVerdict.Accept)])), // ends too early
            Table(Base(go), At(5), Chain("run", [.. Verdict(NftVerdict.Goto("run"))])), // in a circle
            Table(Base([new NftExpr.Immediate(NftReg.R0, [1, 0, 0, 0]), new NftExpr.CtSet(NftCtKey.Mark, NftReg.R0)])),
            Table(Base([new NftExpr.ObjectRef(7, "times")])),
            Table(Base([new NftExpr.Limit(1, 1, 1, NftLimitType.Packets, false)])),
            Table(Base([new NftExpr.NoTrack()])),
            Table(Base([new NftExpr.Opaque("queue", [])])),
            Table(Base([new NftExpr.Meta(NftMetaKey.IifName, NftReg.R0), new NftExpr.LookupVerdict("map", NftReg.R0)])),
            // A register that was written since it held the mark.
            Table(Base([new NftExpr.Meta(NftMetaKey.Mark, NftReg.R0), new NftExpr.Meta(NftMetaKey.Len, NftReg.R0),
                new NftExpr.Cmp(NftReg.R0, NftCmpOp.Eq, [5, 0, 0, 0]), .. Verdict(NftVerdict.Goto("at"))]), At(5),
                Harmless),
        ];
        for (int i = 0; i < doers.Length; i++)
        {
            Assert.True(Bystander.Objection(doers[i]) is not null, $"table {i}");
        }
    }

    [Fact]
    public void A_base_chain_that_may_drop_by_its_policy_is_an_objection()
    {
        NftChain dropping = Base([]) with
        {
            Hook = new BaseHook(NftHook.Forward, 0) { Unexpected = "policy drop" },
        };
        Assert.Contains("policy drop", Bystander.Objection(Table(dropping)), StringComparison.Ordinal);
    }

    /// <summary>
    /// A fault that leaves every path harmless is no objection; one that does not is always found. The judge of single
    /// packets says which is which, for the packets that are tried.
    /// </summary>
    [Fact]
    public void No_seeded_fault_that_a_packet_can_show_is_overlooked()
    {
        var random = new Random(11);
        CompileRequest rich = RichPolicy.Request();
        var pair = new StagedRulesetTests.Beside(
            rich, StagedRulesetTests.Two("in 1 accept all -1/-1 10.0.0.0/8", "out 1 drop udp 1/99 0.0.0.0/0"));
        int objections = 0;
        for (int i = 0; i < 500; i++)
        {
            (Ruleset faulty, string what) = RulesetFaults.Seed(random, pair.Shadow.Ruleset);
            bool objects = Bystander.Objection(faulty.Tables[0]) is not null;
            objections += objects ? 1 : 0;
            if (!objects)
            {
                Assert.True(StagedRulesetTests.Beside.DoesNothing(faulty, random, packets: 40), what);
            }
        }

        Assert.True(objections > 5, $"{objections}");
    }

    private static NftTable Table(params NftChain[] chains) =>
        new(NftFamily.Inet, "t", chains.ToValueArray(), [], []);

    private static NftChain Base(params NftExpr[][] rules) =>
        Chain("base", rules) with { Hook = new BaseHook(NftHook.Forward, -1) };

    private static NftChain At(uint mark) => Chain("at", [.. Verdict(NftVerdict.Jump("run"))], [.. Set(mark)]);

    private static NftChain Chain(string name, params NftExpr[][] rules) =>
        new(name, Hook: null, rules.Select(exprs => new NftRule(exprs.ToValueArray())).ToValueArray());

    private static IEnumerable<NftExpr> Verdict(NftVerdict verdict) => [new NftExpr.VerdictIs(verdict)];

    private static NftExpr[] Mark(uint value, NftCmpOp op = NftCmpOp.Eq) =>
    [
        new NftExpr.Meta(NftMetaKey.Mark, NftReg.R0),
        new NftExpr.Cmp(NftReg.R0, op, BitConverter.GetBytes(value).ToValueArray()),
    ];

    private static NftExpr[] Set(uint value) =>
    [
        new NftExpr.Immediate(NftReg.R0, BitConverter.GetBytes(value).ToValueArray()),
        new NftExpr.MetaSet(NftMetaKey.Mark, NftReg.R0),
    ];
}
