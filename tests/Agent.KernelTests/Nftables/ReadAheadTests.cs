using Agent.Daemon.Enforcement;
using Agent.Nftables;

namespace Agent.KernelTests.Nftables;

/// <summary>What a start reads beside the rest of it.</summary>
public class ReadAheadTests
{
    private const string Table = "ahead";

    private static readonly NftOp[] Held =
    [
        new NftOp.AddTable(NftFamily.Inet, Table),
        new NftOp.AddChain(NftFamily.Inet, Table, "one", Hook: null),
        new NftOp.AddChain(NftFamily.Inet, Table, "two", Hook: null),
    ];

    [Theory]
    [InlineData(TableOwnership.Shared)]
    [InlineData(TableOwnership.OwnedAndPersistent)]
    public void It_is_what_would_be_read_now_and_only_once(TableOwnership ownership)
    {
        Namespace.Clean().Dispose();
        Assert.SkipUnless(
            ownership == TableOwnership.Shared || NftFeatures.Probe().OwnerPersist.Available, "before Linux 6.9");

        using (var before = new KernelFirewall(Table, ownership))
        {
            before.Read();
            Assert.IsType<CommitOutcome.Committed>(before.Commit(Held, generation: null));
        }

        using var firewall = new KernelFirewall(Table, ownership);
        firewall.ReadAhead();
        (Ruleset ahead, uint generation) = firewall.Read();
        Assert.Equal(2, ahead.Find(NftFamily.Inet, Table)!.Chains.Count);
        Assert.Equal(generation, firewall.ReadGeneration());
        Assert.IsType<CommitOutcome.Committed>(
            firewall.Commit([new NftOp.AddChain(NftFamily.Inet, Table, "three", Hook: null)], generation));
        Assert.Equal(3, firewall.Read().Ruleset.Find(NftFamily.Inet, Table)!.Chains.Count);
    }

    [Fact]
    public void A_start_that_fails_before_it_is_asked_for_waits_for_it()
    {
        Namespace.Clean().Dispose();
        for (int i = 0; i < 20; i++)
        {
            var firewall = new KernelFirewall(Table, TableOwnership.Shared);
            firewall.ReadAhead();
            firewall.Dispose();
        }
    }
}
