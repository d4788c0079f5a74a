using Agent.Nftables;

namespace Agent.KernelTests.Nftables;

/// <summary>What a commit touched is read back, alone, and as it is.</summary>
public class ReadBackTests
{
    private const string Table = "readback";

    private static readonly NftSet Shape = new(
        "hosts", [NftType.Ipv4Addr], Interval: false, NftSetKind.MarkMap, Size: 65_536, Counters: false,
        NftElements.Empty(8));

    public ReadBackTests() => Namespace.MustBeThrowaway();

    [Fact]
    public void What_is_as_it_should_be_is_the_very_same_value()
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset before = Ruleset.Empty;
        foreach (Ruleset next in (Ruleset[])
            [Of(Rows((1, 10), (2, 20))), Of(Rows((2, 21), (3, 30))), Of(Rows((2, 21), (3, 30)), mark: 7)])
        {
            NftOp[] ops = Commit(nft, before, next);
            Assert.Same(next, nft.ReadBack(next, ops));
            before = next;
        }
    }

    [Theory]
    [InlineData("add element inet readback hosts { 10.0.0.1 : 99 }", false)] // not what the commit touched
    [InlineData("delete element inet readback hosts { 10.0.0.3 }", true)]
    [InlineData("add element inet readback hosts { 10.0.0.4 : 99 }", true)] // which it deleted
    [InlineData("flush map inet readback hosts", true)]
    [InlineData("flush chain inet readback one", true)]
    [InlineData("insert rule inet readback one accept", true)]
    [InlineData("flush chain inet readback two", false)]
    public void What_is_not_is_shown_as_it_is(string tampering, bool touched)
    {
        using NftConnection nft = Namespace.Clean();
        Ruleset before = Of(Rows((2, 20), (4, 40)));
        Ruleset after = Of(Rows((2, 20), (3, 30)), mark: 7);
        Commit(nft, Ruleset.Empty, before);
        NftOp[] ops = Commit(nft, before, after);
        Namespace.Run("nft", tampering);
        Ruleset? read = nft.ReadBack(after, ops);
        Assert.Equal(!touched, ReferenceEquals(read, after));
        if (touched)
        {
            Assert.NotNull(read);
            Assert.False(Plan.Between(read, after).IsEmpty);
        }
    }

    [Fact]
    public void Many_edits_of_a_set_are_read_by_its_dump()
    {
        using NftConnection nft = Namespace.Clean();
        (byte, uint)[] all = [.. Enumerable.Range(1, 200).Select(i => ((byte)i, (uint)i))];
        Ruleset before = Of(Rows(all));
        Ruleset after = Of(Rows([.. all.Select(pair => (pair.Item1, pair.Item2 + 1))]));
        Commit(nft, Ruleset.Empty, before);
        NftOp[] ops = Commit(nft, before, after);
        Assert.Same(after, nft.ReadBack(after, ops));
        Namespace.Run("nft", "delete element inet readback hosts { 10.0.0.77 }");
        Ruleset? read = nft.ReadBack(after, ops);
        Assert.Equal(199, read!.Tables[0].Sets[0].Elements.Count);
    }

    [Fact]
    public void Hundreds_of_edits_of_a_large_set_are_read_one_by_one()
    {
        const int Large = 20_000;
        const int Edits = 300;
        using NftConnection nft = Namespace.Clean();
        Ruleset before = OfHosts(0, Large);
        Ruleset after = OfHosts(Edits / 2, Large);
        Commit(nft, Ruleset.Empty, before);
        NftOp[] ops = Commit(nft, before, after);
        Assert.Same(after, nft.ReadBack(after, ops));
        Namespace.Run("nft", "add element inet readback hosts { 172.16.0.1 : 9 }");
        Assert.Same(after, nft.ReadBack(after, ops)); // not what the commit touched: the whole was not read
        Namespace.Run("nft", "delete element inet readback hosts { 10.0.78.33 }"); // one of those that came
        Assert.Equal(Large, nft.ReadBack(after, ops)!.Tables[0].Sets[0].Elements.Count);

        static Ruleset OfHosts(int first, int count)
        {
            var rows = new NftElements.Builder(8);
            for (int host = first; host < first + count; host++)
            {
                Span<byte> row = rows.Add();
                (row[0], row[2], row[3]) = (10, (byte)(host >> 8), (byte)(host & 255));
                row[4] = 1;
            }

            return Of(rows.Build());
        }
    }

    private static NftOp[] Commit(NftConnection nft, Ruleset before, Ruleset after)
    {
        Plan plan = Plan.Between(before, after);
        NftOp[] ops = [.. plan.Prepare, .. plan.Switch];
        CommitOutcome outcome = nft.Commit(ops, nft.ReadGeneration());
        Assert.True(outcome is CommitOutcome.Committed, (outcome as CommitOutcome.Refused)?.Refusals[0].ToString());
        return ops;
    }

    private static Ruleset Of(NftElements rows, byte mark = 1) => new([new NftTable(
        NftFamily.Inet, Table,
        [
            new NftChain("one", Hook: null, [Rule(mark)]),
            new NftChain("two", Hook: null, [Rule(2)]),
        ],
        [Shape with { Elements = rows }], [])]);

    private static NftRule Rule(byte mark) => new(
        [new NftExpr.Meta(NftMetaKey.Mark, NftReg.R0), new NftExpr.Cmp(NftReg.R0, NftCmpOp.Eq, [mark, 0, 0, 0]),
            new NftExpr.VerdictIs(NftVerdict.Accept)]);

    private static NftElements Rows(params (byte Host, uint Mark)[] all)
    {
        var rows = new NftElements.Builder(8);
        foreach ((byte host, uint mark) in all)
        {
            Span<byte> row = rows.Add();
            row[0] = 10;
            row[3] = host;
            BitConverter.TryWriteBytes(row[4..], mark);
        }

        return rows.Build();
    }
}
