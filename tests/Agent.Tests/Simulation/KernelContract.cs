using Agent.Nftables;
using Agent.Tests.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>
/// What nf_tables does with our operations. The same tests run against the simulated one (Agent.Tests) and, in a
/// namespace, against the real one (Agent.KernelTests): what a simulation shows is worth what these hold it to.
/// </summary>
public abstract class KernelContract : IDisposable
{
    private const NftFamily Inet = NftFamily.Inet;
    private const string Table = Samples.Table;
    private INftables? open;

    private static readonly NftSet Hosts = Samples.Set("hosts", [NftType.Ipv4Addr], false, NftSetKind.Set, null, false);

    private static readonly NftSet Marks = Samples.Set(
        "marks", [NftType.Ipv4Addr], false, NftSetKind.MarkMap, null, false);

    private static readonly NftSet Ranges = Samples.Set(
        "ranges", [NftType.Ipv4Addr], true, NftSetKind.Set, null, false);

    private static readonly NftSet Boxes = Samples.Set(
        "boxes", [NftType.Ipv4Addr, NftType.InetService], true, NftSetKind.Set, null, false);

    private static readonly NftSet Chains = Samples.Set(
        "chains", [NftType.IfName], false, NftSetKind.VerdictMap, 16, false);

    private static readonly NftSet Counters = Samples.Set(
        "counters", [NftType.IfName], false, NftSetKind.CounterMap, null, false);

    /// <summary>Without the table that the tests write to.</summary>
    protected abstract INftables Open();

    private INftables Kernel => open ??= Open();

    private static NftOp.AddTable AddTable => new(Inet, Table);

    private static NftOp.AddChain Chain(string name, BaseHook? hook = null) => new(Inet, Table, name, hook);

    private static NftOp.DeleteChain NoChain(string name) => new(Inet, Table, name);

    private static NftOp.AddRule Rule(string chain, params NftExpr[] exprs) =>
        new(Inet, Table, chain, new NftRule(exprs.ToValueArray()));

    private static NftOp.AddRule Jump(string chain, string to) =>
        Rule(chain, new NftExpr.VerdictIs(NftVerdict.Jump(to)));

    private static NftOp.FlushChain Flush(string chain) => new(Inet, Table, chain);

    private static NftOp.AddSet Set(NftSet set) => new(Inet, Table, set);

    private static NftOp.DeleteSet NoSet(string name) => new(Inet, Table, name);

    private static NftOp.AddElements Put(NftSet set, params byte[][] rows) => new(Inet, Table, set, Of(set, rows));

    private static NftOp.DeleteElements Take(NftSet set, params byte[][] rows) => new(Inet, Table, set, Of(set, rows));

    private static NftOp.AddObject Counter(string name) => new(Inet, Table, new NftObject.Counter(name));

    private static NftOp.DeleteObject NoCounter(string name) => new(Inet, Table, new NftObject.Counter(name));

    private static NftElements Of(NftSet set, byte[][] rows)
    {
        var builder = new NftElements.Builder(set.RowBytes);
        foreach (byte[] row in rows)
        {
            builder.Add(row);
        }

        return builder.Build();
    }

    private static byte[] Range(byte first, byte last) => [10, 0, 0, first, 10, 0, 0, last];

    private static byte[] Box(byte first, byte last, byte port, byte lastPort) =>
        [10, 0, 0, first, 0, port, 0, 0, 10, 0, 0, last, 0, lastPort, 0, 0];

    private static byte[] Marked(byte host, uint mark) =>
        Samples.Row(Samples.Bytes(10, 0, 0, host), Samples.Host(mark));

    private static byte[] To(string device, string chain) =>
        Samples.Row(Samples.Name(device), Samples.Verdict(NftVerdict.Goto(chain)));

    private static byte[] Counted(string device, string counter) =>
        Samples.Row(Samples.Name(device), Samples.Field(counter));

    public void Dispose()
    {
        open?.Dispose();
        GC.SuppressFinalize(this);
    }

    private uint Done(params NftOp[] ops) => Assert.IsType<CommitOutcome.Committed>(
        Kernel.Commit(ops, Kernel.ReadGeneration())).Generation;

    /// <summary>Refused for the last of the operations, by this name, and nothing is changed.</summary>
    private void Refused(string errno, params NftOp[] ops)
    {
        (Ruleset before, uint generation) = (Kernel.Read(), Kernel.ReadGeneration());
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(Kernel.Commit(ops, generation));
        Assert.Equal([(ops.Length - 1, errno)], refused.Refusals.Select(one => (one.OpIndex, one.Error.Name)));
        Assert.Equal((before, generation), (Kernel.Read(), Kernel.ReadGeneration()));
    }

    private NftTable Now => Assert.Single(Kernel.Read().Tables);

    private NftElements ElementsOf(NftSet set) => Now.Sets.Single(one => one.Name == set.Name).Elements;

    [Fact]
    public void A_transaction_moves_the_generation_by_one_and_one_planned_on_another_is_stale()
    {
        uint before = Kernel.ReadGeneration();
        uint after = Done(AddTable, Chain("a"), Chain("b"));
        Assert.Equal((before + 1, before + 1), (after, Kernel.ReadGeneration()));
        Assert.IsType<CommitOutcome.Stale>(Kernel.Commit([Chain("c")], before));
        Assert.Equal(["a", "b"], Now.Chains.Select(chain => chain.Name));
        Assert.IsType<CommitOutcome.Committed>(Kernel.Commit([Chain("c")], null));
        Assert.Equal(3, Now.Chains.Count);
    }

    [Fact]
    public void A_transaction_without_effect_moves_nothing()
    {
        uint before = Done(AddTable);
        Assert.Equal((before, before), (Done(AddTable), Kernel.ReadGeneration()));
    }

    [Fact]
    public void What_is_refused_leaves_nothing_and_every_refusal_is_named()
    {
        Done(AddTable, Chain("a"));
        (Ruleset before, uint generation) = (Kernel.Read(), Kernel.ReadGeneration());
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(Kernel.Commit(
            [Chain("b"), NoChain("missing"), Chain("c"), NoSet("missing"), Flush("missing")], generation));
        Assert.Equal(
            [(1, "ENOENT"), (3, "ENOENT"), (4, "ENOENT")],
            refused.Refusals.Select(one => (one.OpIndex, one.Error.Name)));
        Assert.Equal((before, generation), (Kernel.Read(), Kernel.ReadGeneration()));
    }

    [Fact]
    public void Nothing_is_in_a_table_that_is_not_there()
    {
        Refused("ENOENT", new NftOp.DeleteTable(Inet, Table));
        Refused("ENOENT", Chain("a"));
        Refused("ENOENT", Set(Hosts));
        Refused("ENOENT", Counter("n"));
        Refused("ENOENT", AddTable, new NftOp.DeleteTable(Inet, Table), Chain("a"));
    }

    [Fact]
    public void A_table_goes_with_all_that_is_in_it_and_comes_back_empty_in_one_transaction()
    {
        Done(AddTable, Chain("a"), Chain("b"), Jump("a", "b"), Set(Hosts), Put(Hosts, [10, 0, 0, 1]), Counter("n"));
        Done(new NftOp.DeleteTable(Inet, Table), AddTable, Chain("b"));
        Assert.Equal(("b", 0, 0), (Assert.Single(Now.Chains).Name, Now.Sets.Count, Now.Objects.Count));
        Done(new NftOp.DeleteTable(Inet, Table));
        Assert.Empty(Kernel.Read().Tables);
    }

    [Fact]
    public void What_is_there_may_be_added_again_if_it_is_the_same()
    {
        var hook = new BaseHook(NftHook.Forward, 0);
        Done(AddTable, Chain("a"), Chain("f", hook), Set(Hosts), Put(Hosts, [10, 0, 0, 1]), Counter("n"));
        Ruleset before = Kernel.Read();
        Done(Chain("a"), Chain("f", hook), Chain("f"), Set(Hosts), Put(Hosts, [10, 0, 0, 1]), Counter("n"));
        Assert.Equal(before, Kernel.Read());
        Refused("EOPNOTSUPP", Chain("f", hook with { Priority = 5 }));
        Refused("EEXIST", Set(Marks with { Name = "hosts" }));
    }

    [Fact]
    public void A_rule_needs_what_it_names()
    {
        Done(AddTable, Chain("a"), Chain("f", new BaseHook(NftHook.Forward, 0)));
        Refused("ENOENT", Rule("missing", new NftExpr.VerdictIs(NftVerdict.Accept)));
        Refused("ENOENT", Jump("a", "missing"));
        Refused("EOPNOTSUPP", Jump("a", "f"));
        Refused("ENOENT", Rule("a", new NftExpr.ObjectRef(1, "missing")));
        NftExpr saddr = new NftExpr.Payload(NftPayloadBase.Network, 12, 4, NftReg.R0);
        Refused("ENOENT", Rule("a", [.. Samples.IsV4, saddr, new NftExpr.Lookup("missing", NftReg.R0)]));
        Done(Chain("b"), Set(Hosts), Counter("n"), Jump("a", "b"), Rule("a", new NftExpr.ObjectRef(1, "n")),
            Rule("a", [.. Samples.IsV4, saddr, new NftExpr.Lookup("hosts", NftReg.R0)]));
        Refused("EBUSY", NoChain("b"));
        Refused("EBUSY", NoSet("hosts"));
        Refused("EBUSY", NoCounter("n"));
        Refused("EBUSY", NoChain("f"), NoChain("b")); // it is still jumped to
        Done(Flush("a"), NoChain("b"), NoSet("hosts"), NoCounter("n"));
        Assert.Equal(["a", "f"], Now.Chains.Select(chain => chain.Name));
    }

    [Fact]
    public void A_chain_takes_its_rules_with_it_and_what_is_gone_is_missing()
    {
        Done(AddTable, Chain("a"), Chain("b"), Jump("a", "b"));
        Done(NoChain("a"));
        Refused("ENOENT", NoChain("a"));
        Refused("ENOENT", Flush("a"));
        Done(NoChain("b"), Chain("b"));
        Done(NoChain("b"));
        Assert.Empty(Now.Chains);
    }

    [Fact]
    public void Rules_stand_in_the_order_in_which_they_came_and_a_chain_is_refilled_in_one_transaction()
    {
        Done(AddTable, Chain("a"), Chain("b"), Chain("c"), Jump("a", "b"), Jump("a", "c"));
        Done(Flush("a"), Jump("a", "c"), Jump("a", "b"), Jump("a", "c"));
        Assert.Equal(
            ["c", "b", "c"],
            Now.Chains[0].Rules.Select(rule => ((NftExpr.VerdictIs)rule.Exprs[0]).Verdict.Chain));
    }

    [Fact]
    public void Elements_come_and_go_and_those_that_are_missing_are_refused()
    {
        Done(AddTable, Set(Hosts));
        Refused("ENOENT", Put(Marks, Marked(1, 7)));
        Done(Put(Hosts, [10, 0, 0, 1], [10, 0, 0, 2]));
        Done(Take(Hosts, [10, 0, 0, 1]), Put(Hosts, [10, 0, 0, 3], [10, 0, 0, 2]));
        Assert.Equal(Of(Hosts, [[10, 0, 0, 2], [10, 0, 0, 3]]), ElementsOf(Hosts));
        Refused("ENOENT", Take(Hosts, [10, 0, 0, 1]));
        Refused("ENOENT", Take(Hosts, [10, 0, 0, 2]), Take(Hosts, [10, 0, 0, 2]));
        Done(NoSet("hosts")); // with what is in it
        Refused("ENOENT", NoSet("hosts"));
    }

    [Fact]
    public void A_key_of_a_map_has_one_value_and_is_deleted_whatever_it_has()
    {
        Done(AddTable, Set(Marks), Put(Marks, Marked(1, 7)));
        Refused("EEXIST", Put(Marks, Marked(1, 8)));
        Done(Take(Marks, Marked(1, 7)), Put(Marks, Marked(1, 8)));
        Assert.Equal(Of(Marks, [Marked(1, 8)]), ElementsOf(Marks));
        Done(Take(Marks, Marked(1, 99)));
        Assert.Equal(0, ElementsOf(Marks).Count);
    }

    [Fact]
    public void A_full_set_takes_no_more()
    {
        NftSet two = Hosts with { Size = 2 };
        Done(AddTable, Set(two), Put(two, [10, 0, 0, 1], [10, 0, 0, 2]));
        Refused("ENFILE", Put(two, [10, 0, 0, 3]));
        Assert.Equal(2, ElementsOf(two).Count);
    }

    [Fact]
    public void Ranges_of_one_field_never_overlap()
    {
        Done(AddTable, Set(Ranges), Put(Ranges, Range(10, 20)));
        Refused("EEXIST", Put(Ranges, Range(15, 25)));
        Refused("EEXIST", Put(Ranges, Range(5, 10)));
        Refused("EEXIST", Put(Ranges, Range(12, 13)));
        Refused("EEXIST", Put(Ranges, Range(5, 25)));
        Done(Put(Ranges, Range(10, 20), Range(21, 30), Range(1, 9)));
        Assert.Equal(Of(Ranges, [Range(1, 9), Range(10, 20), Range(21, 30)]), ElementsOf(Ranges));
        Done(Take(Ranges, Range(10, 20)), Put(Ranges, Range(12, 13)));
        Assert.Equal(Of(Ranges, [Range(1, 9), Range(12, 13), Range(21, 30)]), ElementsOf(Ranges));
    }

    [Fact]
    public void Boxes_of_several_fields_are_compared_at_their_corners()
    {
        Done(AddTable, Set(Boxes), Put(Boxes, Box(10, 20, 10, 20)));
        Refused("EEXIST", Put(Boxes, Box(15, 25, 15, 25)));
        Refused("EEXIST", Put(Boxes, Box(12, 13, 12, 13)));
        Done(Put(Boxes, Box(10, 20, 10, 20)));
        Done(Put(Boxes, Box(5, 25, 5, 25)), Put(Boxes, Box(10, 20, 30, 40)));
        Assert.Equal(3, ElementsOf(Boxes).Count);
    }

    [Fact]
    public void A_box_is_deleted_by_any_that_begins_in_it()
    {
        Done(AddTable, Set(Boxes), Put(Boxes, Box(10, 20, 10, 20), Box(10, 20, 30, 40)));
        Refused("ENOENT", Take(Boxes, Box(5, 20, 10, 20)));
        Done(Take(Boxes, Box(11, 99, 35, 36)));
        Assert.Equal(Of(Boxes, [Box(10, 20, 10, 20)]), ElementsOf(Boxes));
    }

    [Fact]
    public void An_element_needs_what_it_names_and_holds_it()
    {
        Done(AddTable, Set(Chains), Set(Counters), Chain("a"), Counter("n"));
        Refused("ENOENT", Put(Chains, To("eth0", "missing")));
        Refused("ENOENT", Put(Counters, Counted("eth0", "missing")));
        Done(Put(Chains, To("eth0", "a")), Put(Counters, Counted("eth0", "n")));
        Refused("EBUSY", NoChain("a"));
        Refused("EBUSY", NoCounter("n"));
        Done(Take(Chains, To("eth0", "a")), NoChain("a"), Take(Counters, Counted("eth0", "n")), NoCounter("n"));
        Assert.Empty(Now.Chains);
    }
}
