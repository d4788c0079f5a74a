using System.Collections.Immutable;
using Agent.Daemon.Counting;
using Agent.Daemon.Top;
using Agent.Netlink.Conntrack;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Tests.Top;

/// <summary>Rates and ranks from two looks.</summary>
public sealed class TopRankingTests
{
    private const double Seconds = 2;

    [Fact]
    public void A_session_between_two_vNICs_is_with_both_as_each_sees_it()
    {
        ImmutableArray<VnicTop> tops = Rank(
            Looks.Of(Looks.Udp(1, Looks.One, Looks.Two, sent: 10, answered: 4)),
            Looks.Of(Looks.Udp(1, Looks.One, Looks.Two, sent: 30, answered: 5)));
        Assert.Equal(["one", "two"], tops.Select(top => top.Vnic.Id));
        Talker opener = Assert.Single(tops[0].Talkers);
        Talker answerer = Assert.Single(tops[1].Talkers);
        Assert.Equal((Direction.Egress, Direction.Ingress), (opener.Direction, answerer.Direction));
        Assert.Equal((new FlowCount(30, 3000), new FlowCount(5, 500)), (opener.Sent, opener.Received));
        Assert.Equal((new Rate(10, 8000), new Rate(0.5, 400)), (opener.SentRate, opener.ReceivedRate));
        Assert.Equal((opener.Received, opener.Sent), (answerer.Sent, answerer.Received));
        Assert.Equal((opener.ReceivedRate, opener.SentRate), (answerer.SentRate, answerer.ReceivedRate));
        Assert.Equal((1L, (double?)0), (tops[1].Sessions, tops[1].NewSessions));
    }

    [Theory]
    [InlineData("Bits", "3 1")]
    [InlineData("Packets", "3 1")]
    [InlineData("Bytes", "2 3")]
    public void Each_order_has_its_first_and_the_rest_is_left_out(string order, string expected)
    {
        TopLook before = Looks.Of(
            Looks.Udp(1, Looks.One, Looks.World, 0, 0), Looks.Udp(2, Looks.One, Looks.World, 900, 0),
            Looks.Udp(3, Looks.One, Looks.World, 50, 0));
        TopLook now = Looks.Of(
            Looks.Udp(1, Looks.One, Looks.World, 40, 0), Looks.Udp(2, Looks.One, Looks.World, 901, 0),
            Looks.Udp(3, Looks.One, Looks.World, 100, 0));
        VnicTop top = Rank(before, now, Enum.Parse<TalkerOrder>(order), talkers: 2)[0];
        Assert.Equal(expected, string.Join(' ', top.Talkers.Select(talker => talker.Key.Id)));
    }

    /// <summary>
    /// New; another one with the same tuple, by its number; the same number and tuple, or a reset, by counters that
    /// fell. Of all of them, what they carried is what they have.
    /// </summary>
    [Theory]
    [InlineData(2, 70, 0)]
    [InlineData(1001, 70, 0)]
    [InlineData(1, 70, 0)]
    [InlineData(1, 5, 70)]
    public void What_was_not_there_or_began_anew_counts_from_nothing(uint id, int sent, int answered)
    {
        VnicTop top = Rank(
            Looks.Of(Looks.Udp(id, Looks.One, Looks.World, (ulong)sent, (ulong)answered)),
            Looks.Of(Looks.Udp(1, Looks.One, Looks.World, 60, 20)))[0];
        Talker talker = Assert.Single(top.Talkers);
        Assert.Equal((new Rate(30, 24_000), new Rate(10, 8000)), (talker.SentRate, talker.ReceivedRate));
        Assert.Equal(id == 1 ? 0 : 0.5, top.NewSessions);
    }

    [Fact]
    public void Without_counts_those_come_last_and_by_the_time_they_have_left()
    {
        TopLook look = Looks.Of(
            Looks.Udp(1, Looks.One, Looks.World, seconds: 20), Looks.Udp(2, Looks.One, Looks.World, seconds: 170),
            Looks.Udp(3, Looks.World, Looks.One, 1, 0), Looks.Udp(4, Looks.One, Looks.World, seconds: 90));
        Assert.Equal((4L, 3L), (look.SessionCount, look.UncountedCount));
        Talker[] talkers = [.. Rank(look, look)[0].Talkers];
        Assert.Equal([3u, 2, 4, 1], talkers.Select(talker => talker.Key.Id));
        Assert.Equal([true, false, false, false], talkers.Select(talker => talker.Session.IsCounted));
    }

    [Fact]
    public void Only_vNICs_that_were_asked_for_and_no_sessions_if_none_are_wanted()
    {
        TopLook look = Looks.Of(Looks.Udp(1, Looks.One, Looks.Two, 5, 5));
        var choice = new TopChoice(new HashSet<string> { "two" }, Talkers: 0, TalkerOrder.Bits);
        VnicTop top = Assert.Single(new TopRanking(look, look, Seconds, Seconds).Of(choice));
        Assert.Equal(("two", 0), (top.Vnic.Id, top.Talkers.Length));
    }

    [Fact]
    public void Rates_of_a_vNIC_are_of_its_counters_and_begin_anew_with_them()
    {
        CountKey passed = new("one", Direction.Egress, CountKind.Accept, "");
        CountKey rule = new("one", Direction.Egress, CountKind.Drop, "rule");
        CountKey mac = new("one", Direction.Egress, CountKind.Drop, "spoof_mac");
        TopLook before = Looks.Of() with
        {
            Counters = new Dictionary<CountKey, PacketCount>
            {
                [passed] = new(100, 10_000),
                [mac] = new(7, 700),
            },
        };
        TopLook now = before with
        {
            Counters = new Dictionary<CountKey, PacketCount>
            {
                [passed] = new(140, 14_000),
                [rule] = new(30, 3000),
                [mac] = new(17, 1700),
            },
        };
        Assert.Equal(new TrafficRate(new Rate(10, 8000), 10, "rule"), Egress(before, now));
        Assert.Equal(new TrafficRate(new Rate(25, 20_000), 1.75, "spoof_mac"), Egress(now, before));
        Assert.Equal(new TrafficRate(default, 0, ""), Egress(now, now));

        // Counters were read four seconds apart.
        static TrafficRate Egress(TopLook before, TopLook now) => new TopRanking(before, now, Seconds, 2 * Seconds)
            .Of(new TopChoice(null, 1, TalkerOrder.Bits))[0].Egress;
    }

    [Fact]
    public void How_many_are_new_is_not_known_if_some_were_left_out_or_missed()
    {
        TopLook whole = Looks.Of(Looks.Udp(1, Looks.One, Looks.World, 5, 5));
        TopLook partial = Looks.Of(
            capacity: 2, [.. Enumerable.Range(1, 5).Select(i => Looks.Udp((uint)i, Looks.One, Looks.World, 5, 5))]);
        Assert.Equal(0, Rank(whole, whole)[0].NewSessions);
        Assert.Null(Rank(partial, whole)[0].NewSessions);
        Assert.Null(Rank(whole, partial)[0].NewSessions);
        Assert.Null(Rank(whole with { Gap = "lost" }, whole)[0].NewSessions);
        Assert.Equal(5, Rank(whole, partial)[0].Sessions); // those are counted, all of them
    }

    private static ImmutableArray<VnicTop> Rank(
        TopLook before, TopLook now, TalkerOrder order = TalkerOrder.Bits, int talkers = 10) =>
        new TopRanking(before, now, Seconds, Seconds).Of(new TopChoice(Vnics: null, talkers, order));
}
