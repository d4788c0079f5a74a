using System.Buffers.Binary;
using Agent.Nftables;
using Agent.TestNet;
using Agent.Tests.Nftables;

namespace Agent.KernelTests.Nftables;

/// <summary>
/// A set without a size is a hash table that the kernel grows and shrinks some time after the commit, beside whoever
/// reads it. Each part of a dump begins at the front and passes over as many elements as were sent: where the order
/// has changed meanwhile, some come twice and some not at all, and no generation and no flag says so.
/// </summary>
public class GrowingSetTests
{
    private const NftFamily Inet = NftFamily.Inet;
    private const int Elements = 6000;
    private const int Rounds = 20;
    private const int RoundsMost = 400;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    public GrowingSetTests() => Namespace.MustBeThrowaway();

    /// <summary>That a reading begins anew is what this cannot be without.</summary>
    [Fact]
    public void A_set_is_read_whole_while_the_kernel_moves_its_elements() => FirstThread.Run(Read);

    private static void Read()
    {
        using NftConnection nft = Namespace.Clean();
        NftSet set = Samples.Set("grows", [NftType.Ipv4Addr], false, NftSetKind.Set, null, true);
        set = set with { Elements = Samples.Addresses(set, Elements) };
        int begun = 0;
        int rounds = 0;
        while (rounds < Rounds || (begun == rounds && rounds < RoundsMost))
        {
            Commit(
                nft, new NftOp.AddTable(Inet, Samples.Table), new NftOp.AddSet(Inet, Samples.Table, set),
                new NftOp.AddElements(Inet, Samples.Table, set, set.Elements));
            var keys = new HashSet<uint>();
            int count = 0;
            bool waited = false;
            nft.ReadElementCounts(Inet, Samples.Table, set.Name, Begin, (key, _) =>
            {
                if (!waited)
                {
                    Thread.Sleep(Pause); // behind the first part, in which the kernel moves the rest
                    waited = true;
                }

                count++;
                keys.Add(BinaryPrimitives.ReadUInt32BigEndian(key));
            });
            Assert.Equal((Elements, Elements), (count, keys.Count));
            Assert.Equal(set, Assert.Single(Assert.Single(
                nft.ReadRuleset([(Inet, Samples.Table)]).Ruleset.Tables).Sets));
            Commit(nft, new NftOp.DeleteTable(Inet, Samples.Table));
            rounds++;

            void Begin()
            {
                begun++;
                count = 0;
                keys.Clear();
            }
        }

        Assert.True(begun > rounds, $"no dump of {rounds} was torn");
    }

    private static void Commit(NftConnection nft, params NftOp[] ops) =>
        Assert.IsType<CommitOutcome.Committed>(nft.Commit(ops, nft.ReadGeneration()));
}
