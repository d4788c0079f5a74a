using System.Net.Sockets;
using System.Reflection;
using Agent.KernelTests.Nftables;
using Agent.Netlink;
using Agent.Nftables;
using Agent.Tests.Nftables;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 1. Acknowledgements overflow the receive buffer; the library reports a failure, although the kernel committed.
/// </summary>
public sealed class LostAnswerTests
{
    private const NftFamily Inet = NftFamily.Inet;
    private const int Chains = 50;
    private const int RulesEach = 1000;

    /// <summary>linux/netfilter/nfnetlink.h NFNLGRP_NFTABLES: every object of every commit is told there.</summary>
    private const uint Commits = 7;

    /// <summary>SOL_SOCKET and SO_RCVBUFFORCE of asm-generic/socket.h; 0 is the least that the kernel has.</summary>
    private const int SocketLevel = 1;
    private const int ForcedReceiveBuffer = 33;

    private static readonly (NftFamily, string)[] Tables = [(Inet, Samples.Table)];

    public LostAnswerTests() => Namespace.MustBeThrowaway();

    /// <param name="lost">
    /// The socket also hears of commits: 50,000 rules of its own overflow it before the acknowledgement comes, so that
    /// this is lost as it was for the peers, who asked for one of each rule.
    /// </param>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ENOBUFS_on_a_large_commit_is_neither_reported_as_failed_nor_taken_twice(bool lost)
    {
        using NftConnection reader = Namespace.Clean();
        using NftConnection nft = WithLeastBuffer(hearsOfCommits: lost);
        List<NftOp> ops = [new NftOp.AddTable(Inet, Samples.Table)];
        NftRule accept = Samples.Rule(new NftExpr.VerdictIs(NftVerdict.Accept));
        for (int chain = 0; chain < Chains; chain++)
        {
            ops.Add(new NftOp.AddChain(Inet, Samples.Table, $"c{chain}", null));
            ops.AddRange(Enumerable.Repeat(new NftOp.AddRule(Inet, Samples.Table, $"c{chain}", accept), RulesEach));
        }

        uint before = nft.ReadGeneration();
        long overruns = NetlinkTally.Overruns;
        CommitOutcome.Committed done = Assert.IsType<CommitOutcome.Committed>(nft.Commit(ops, before));
        Assert.Equal(lost, NetlinkTally.Overruns > overruns);
        Assert.Equal((before + 1, before + 1), (done.Generation, reader.ReadGeneration()));
        Assert.Equal(
            Enumerable.Repeat(RulesEach, Chains),
            reader.ReadRuleset(Tables).Ruleset.Tables[0].Chains.Select(chain => chain.Rules.Count));

        // Who asks again, on what it was planned on, is told that it is out of date; and the socket goes on.
        Assert.IsType<CommitOutcome.Stale>(nft.Commit(ops[^1..], before));
        Assert.Equal(
            before + 2, Assert.IsType<CommitOutcome.Committed>(nft.Commit(ops[^1..], done.Generation)).Generation);
    }

    [Fact]
    public void ENOBUFS_on_ten_thousand_refusals_is_a_refusal_that_changes_nothing()
    {
        using NftConnection reader = Namespace.Clean();
        using NftConnection nft = WithLeastBuffer(hearsOfCommits: false);
        NftOp[] ops =
        [
            new NftOp.AddTable(Inet, Samples.Table),
            .. Enumerable.Repeat(new NftOp.DeleteChain(Inet, Samples.Table, "missing"), 10_000),
        ];
        uint before = nft.ReadGeneration();
        long overruns = NetlinkTally.Overruns;
        CommitOutcome.Refused refused = Assert.IsType<CommitOutcome.Refused>(nft.Commit(ops, before));
        Assert.True(NetlinkTally.Overruns > overruns, "the buffer took all answers");
        Assert.All(refused.Refusals, one => Assert.Equal("ENOENT", one.Error.Name));
        Assert.Equal(before, reader.ReadGeneration());
        Assert.Empty(reader.ReadRuleset(Tables).Ruleset.Tables);
        Assert.IsType<CommitOutcome.Committed>(nft.Commit(ops[..1], before));
    }

    private static NftConnection WithLeastBuffer(bool hearsOfCommits)
    {
        const BindingFlags Hidden = BindingFlags.NonPublic | BindingFlags.Instance;
        NftConnection nft = new();
        NetlinkSocket netlink = (NetlinkSocket)typeof(NftConnection).GetField("socket", Hidden)!.GetValue(nft)!;
        int descriptor = (int)typeof(NetlinkSocket).GetField("fd", Hidden)!.GetValue(netlink)!;
        using (Socket view = new(new SafeSocketHandle(descriptor, ownsHandle: false)))
        {
            view.SetRawSocketOption(SocketLevel, ForcedReceiveBuffer, BitConverter.GetBytes(0));
        }

        if (hearsOfCommits)
        {
            netlink.Join(Commits);
        }

        return nft;
    }
}
