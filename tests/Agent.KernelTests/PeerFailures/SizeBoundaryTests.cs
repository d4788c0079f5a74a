using Agent.KernelTests.Nftables;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;
using Agent.Tests.Nftables;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 5. An attribute ends at 64 KiB, a set at its size, and what is beyond is cut off or stops matching without a word.
/// </summary>
public sealed class SizeBoundaryTests
{
    private const NftFamily Inet = NftFamily.Inet;
    private const int Million = 1_000_000;
    private static readonly (NftFamily, string)[] Tables = [(Inet, Samples.Table)];

    public static TheoryData<string, NftType[], bool, NftSetKind> Shapes => new()
    {
        { "hosts4", [NftType.Ipv4Addr], false, NftSetKind.Set },
        { "hosts6", [NftType.Ipv6Addr], false, NftSetKind.Set },
        { "marks4", [NftType.Ipv4Addr], false, NftSetKind.MarkMap },
        { "ranges4", [NftType.Ipv4Addr], true, NftSetKind.Set },
        { "ranges6", [NftType.Ipv6Addr], true, NftSetKind.MarkMap },
        { "boxes", [NftType.Ipv4Addr, NftType.InetService], true, NftSetKind.Set },
        { "pairs", [NftType.Ipv6Addr, NftType.Ipv6Addr, NftType.InetService], false, NftSetKind.MarkMap },
    };

    /// <summary>As many elements as fill one, two and three lists, and one more or less of each.</summary>
    [Theory]
    [MemberData(nameof(Shapes))]
    public void Limits_of_sizes_lists_of_elements_are_whole_at_every_boundary_of_an_attribute(
        string name, NftType[] key, bool interval, NftSetKind kind)
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set(name, key, interval, kind, null, false);
        foreach (int count in Enumerable.Range(1, 3).Select(lists => Most(set, lists))
            .SelectMany(most => (int[])[most - 1, most, most + 1]))
        {
            NftElements rows = Rows(set, count);
            Commit(
                nft, new NftOp.AddTable(Inet, Samples.Table), new NftOp.AddSet(Inet, Samples.Table, set),
                new NftOp.AddElements(Inet, Samples.Table, set, rows));
            Assert.Equal(set with { Elements = rows }, Read(nft));
            // The other way: what is taken away goes over the same boundary, and one is left.
            NftElements all = Rows(set, count + 1);
            Commit(nft, new NftOp.AddElements(Inet, Samples.Table, set, all));
            Commit(nft, new NftOp.DeleteElements(Inet, Samples.Table, set, rows));
            Assert.Equal(1, Read(nft).Elements.Count);
            Commit(nft, new NftOp.DeleteTable(Inet, Samples.Table));
        }

        int Most(NftSet of, int lists)
        {
            int low = 1;
            int high = 65_536;
            while (high - low > 1)
            {
                int middle = (low + high) / 2;
                (low, high) = Lists(of, middle) <= lists ? (middle, high) : (low, middle);
            }

            Assert.Equal((lists, lists + 1), (Lists(of, low), Lists(of, high)));
            return low;
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(255)]
    [InlineData(65_535)]
    [InlineData(65_536)]
    public void Limits_of_sizes_a_set_is_filled_to_its_last_element_and_the_next_one_is_refused_aloud(int size)
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set("full", [NftType.Ipv4Addr], false, NftSetKind.MarkMap, (uint)size, false);
        NftElements rows = Rows(set, size);
        Commit(
            nft, new NftOp.AddTable(Inet, Samples.Table), new NftOp.AddSet(Inet, Samples.Table, set),
            new NftOp.AddElements(Inet, Samples.Table, set, rows));
        NftOp[] more = [new NftOp.AddElements(Inet, Samples.Table, set, Rows(set, size + 1))];
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(nft.Commit(more, nft.ReadGeneration()));
        Assert.Equal((0, "ENFILE"), (refused.Refusals[0].OpIndex, refused.Refusals[0].Error.Name));
        Assert.Equal(set with { Elements = rows }, Read(nft));
    }

    /// <summary>
    /// A dump of them would take minutes: the kernel begins each part of it from the front. A full set has as many as
    /// it may have, and what is taken away must be there.
    /// </summary>
    [Fact]
    public void Limits_of_sizes_a_million_elements_load_to_the_last_one_and_go()
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set("million", [NftType.Ipv4Addr], false, NftSetKind.MarkMap, Million, false);
        NftElements rows = Rows(set, Million);
        Commit(
            nft, new NftOp.AddTable(Inet, Samples.Table), new NftOp.AddSet(Inet, Samples.Table, set),
            new NftOp.AddElements(Inet, Samples.Table, set, rows));
        NftSet one = Samples.Set(
            "million", [NftType.Ipv4Addr], false, set.Kind, Million, false, [9, 9, 9, 9, 1, 0, 0, 0]);
        NftOp[] more = [new NftOp.AddElements(Inet, Samples.Table, one, one.Elements)];
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(nft.Commit(more, nft.ReadGeneration()));
        Assert.Equal("ENFILE", refused.Refusals[0].Error.Name);
        Commit(nft, new NftOp.DeleteElements(Inet, Samples.Table, set, rows));
        Assert.Equal(0, Read(nft).Elements.Count);
        Commit(nft, more);
        Assert.Equal(1, Read(nft).Elements.Count);
    }

    private static int Lists(NftSet set, int rows) => ElementWriter.Write(
        new NlWriter(), NftMsg.NewSetElem, NlmF.Create, 1, Inet, Samples.Table, set, Rows(set, rows));

    /// <summary>Every second number, so that ranges do not touch.</summary>
    private static NftElements Rows(NftSet set, int count) => Samples.Addresses(set, count, step: 2);

    private static NftSet Read(NftConnection nft) =>
        Assert.Single(Assert.Single(nft.ReadRuleset(Tables).Ruleset.Tables).Sets);

    private static void Commit(NftConnection nft, params NftOp[] ops) =>
        Assert.IsType<CommitOutcome.Committed>(nft.Commit(ops, nft.ReadGeneration()));
}
