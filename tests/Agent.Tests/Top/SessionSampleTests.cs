using Agent.Daemon.Sessions;
using Agent.Daemon.Top;
using Agent.Netlink.Conntrack;

namespace Agent.Tests.Top;

/// <summary>However many sessions come, a bounded number is kept, and the right ones.</summary>
public sealed class SessionSampleTests
{
    private const int Capacity = 64;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void The_heaviest_are_kept_in_whatever_order_they_come(int seed)
    {
        var random = new Random(seed);
        ulong[] packets = [.. Enumerable.Range(0, 2000).Select(_ => (ulong)random.Next(1, 500))];
        var walk = new SessionWalk(Looks.Judge.Owners, Capacity);
        for (int i = 0; i < packets.Length; i++)
        {
            walk.Add(Looks.Udp((uint)i, Looks.One, Looks.World, packets[i], 0));
            Assert.InRange(walk.Sample.Kept.Count, 1, Capacity);
        }

        ulong floor = walk.Sample.FloorBytes;
        Assert.InRange(floor, 1ul, 50_000ul);
        Assert.Equal(
            packets.Order().Where(count => count * 100 >= floor),
            walk.Sample.Kept.Values.Select(session => session.Total.Packets).Order());
        Assert.Equal(2000, walk.Sessions);
    }

    [Fact]
    public void While_all_fit_nothing_is_left_out()
    {
        var walk = new SessionWalk(Looks.Judge.Owners, Capacity);
        for (uint i = 0; i < Capacity; i++)
        {
            walk.Add(Looks.Udp(i, Looks.One, Looks.World, 1, 0));
        }

        Assert.Equal((Capacity, false, 0ul),
            (walk.Sample.Kept.Count, walk.Sample.IsPartial, walk.Sample.FloorBytes));
    }

    /// <summary>Without counts times are all there is, and they are alike: some are kept all the same.</summary>
    [Fact]
    public void Those_without_counts_go_first_and_not_all_at_once()
    {
        var walk = new SessionWalk(Looks.Judge.Owners, Capacity);
        for (uint i = 0; i < 1000; i++)
        {
            walk.Add(Looks.Udp(i, Looks.One, Looks.World, seconds: 900));
        }

        Assert.InRange(walk.Sample.Kept.Count, Capacity / 4, Capacity);
        Assert.Equal((true, 0ul), (walk.Sample.IsPartial, walk.Sample.FloorBytes));
        walk.Add(Looks.Udp(2000, Looks.One, Looks.World, 0, 0));
        Flow counted = Looks.Udp(2000, Looks.One, Looks.World);
        Assert.Contains(new SessionKey(counted.Tracked().Original, 0, 2000), walk.Sample.Kept.Keys);
    }

    [Fact]
    public void Sessions_of_others_are_not_looked_at()
    {
        var walk = new SessionWalk(Looks.Judge.Owners, Capacity);
        walk.Add(Looks.Udp(1, Looks.World, "203.0.113.9", 5, 5));
        Assert.Equal((0L, 0), (walk.Sessions, walk.Sample.Kept.Count));
    }
}
