using System.Buffers.Binary;
using Agent.Nftables;

namespace Agent.Tests.Nftables;

/// <summary>Rows in several arrays are what they would be in one.</summary>
public sealed class NftElementsTests
{
    /// <summary>Edits of all sizes, at the ends of parts too, beside a sorted set of the same rows.</summary>
    [Theory]
    [InlineData(8, 1, 40)]
    [InlineData(8, 9_000, 300)]
    [InlineData(52, 2_000, 200)]
    [InlineData(20_000, 12, 30)] // a row longer than a part
    public void Edits_are_those_of_one_array(int rowBytes, int count, int steps)
    {
        var random = new Random(31);
        var model = new SortedSet<ulong>();
        while (model.Count < count)
        {
            model.Add((ulong)random.Next(4 * count));
        }

        NftElements now = Of(rowBytes, model);
        for (int step = 0; step < steps; step++)
        {
            ulong[] gone = [.. model.Where(_ => random.Next(count) < Size(random, count))];
            ulong[] come = [.. Enumerable.Range(0, Size(random, count)).Select(_ => (ulong)random.Next(4 * count))
                .Where(row => !model.Contains(row) || gone.Contains(row)).Distinct()];
            model.ExceptWith(gone);
            model.UnionWith(come);
            NftElements next = now.Edited(Of(rowBytes, gone), Of(rowBytes, come));
            NftElements anew = Of(rowBytes, model);
            Assert.Equal(model, Enumerable.Range(0, next.Count).Select(i => Number(next[i])));
            Assert.Equal(anew, next);
            Assert.Equal(next, anew);
            Assert.Equal(anew.GetHashCode(), next.GetHashCode());
            Assert.Equal(gone.Length == 0 && come.Length == 0 || gone.ToHashSet().SetEquals(come), next.Equals(now));
            (NftElements removed, NftElements added) = NftElements.Difference(now, next);
            Assert.Equal(Of(rowBytes, gone.Except(come)), removed);
            Assert.Equal(Of(rowBytes, come.Except(gone)), added);
            Assert.All(gone.Except(come), row => Assert.Equal(-1, next.IndexOfKey(Row(8, row))));
            Assert.All(come, row => Assert.Equal(row, Number(next[next.IndexOfKey(Row(8, row))])));
            now = next;
        }
    }

    [Fact]
    public void One_row_of_many_copies_few()
    {
        NftElements all = Of(8, Enumerable.Range(0, 65_536).Select(i => 2 * (ulong)i));
        NftElements none = NftElements.Empty(8);
        all.Edited(none, Of(8, [1]));
        NftElements one = Of(8, [70_001]);
        long before = GC.GetAllocatedBytesForCurrentThread();
        NftElements more = all.Edited(none, one);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 1, 35_000);
        Assert.Equal(65_537, more.Count);
    }

    /// <summary>Members that come and go for years leave no more parts than the rows need, some times over.</summary>
    [Fact]
    public void Parts_that_ran_empty_are_put_together()
    {
        NftElements now = Of(8, Enumerable.Range(0, 60_000).Select(i => (ulong)i));
        NftElements kept = Of(8, Enumerable.Range(0, 60_000).Where(i => i % 1000 == 0).Select(i => (ulong)i));
        now = now.Edited(NftElements.Difference(now, kept).Removed, NftElements.Empty(8));
        Assert.Equal(kept, now);
        long before = GC.GetAllocatedBytesForCurrentThread();
        now.Edited(NftElements.Empty(8), Of(8, [1]));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 1, 3_000);
    }

    [Theory]
    [InlineData(0, 5)]
    [InlineData(5, 7)]
    [InlineData(10_000, 3)]
    public void A_row_that_is_not_there_cannot_go(int count, ulong missing)
    {
        NftElements all = Of(8, Enumerable.Range(0, count).Select(i => 10 + (ulong)i));
        Assert.Throws<ArgumentException>(() => all.Edited(Of(8, [missing]), NftElements.Empty(8)));
    }

    [Fact]
    public void Rows_of_another_length_are_others()
    {
        Assert.NotEqual(Of(8, [1, 2]), Of(16, [1]));
        Assert.Throws<ArgumentException>(() => Of(8, [1]).Edited(Of(16, [1]), NftElements.Empty(8)));
    }

    private static int Size(Random random, int count) => random.Next(4) switch
    {
        0 => 0,
        1 => 1,
        2 => random.Next(8),
        _ => random.Next(1 + count / 3),
    };

    private static NftElements Of(int rowBytes, IEnumerable<ulong> rows)
    {
        var builder = new NftElements.Builder(rowBytes);
        foreach (ulong row in rows)
        {
            builder.Add(Row(rowBytes, row));
        }

        return builder.Build();
    }

    private static byte[] Row(int rowBytes, ulong row)
    {
        byte[] bytes = new byte[rowBytes];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, row);
        return bytes;
    }

    private static ulong Number(ReadOnlySpan<byte> row) => BinaryPrimitives.ReadUInt64BigEndian(row);
}
