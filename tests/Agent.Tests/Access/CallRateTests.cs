using Agent.Daemon.Access;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Access;

public sealed class CallRateTests
{
    private readonly FakeTimeProvider time = new();

    [Fact]
    public void A_burst_then_an_even_rate_and_the_wait_is_told()
    {
        var rate = new CallRate(perSecond: 10, burst: 5, time);
        for (int i = 0; i < 5; i++)
        {
            Assert.Equal(TimeSpan.Zero, rate.Take("a", 1));
        }

        Assert.Equal(TimeSpan.FromMilliseconds(100), rate.Take("a", 1));
        Assert.Equal(TimeSpan.FromMilliseconds(300), rate.Take("a", 3));
        time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(TimeSpan.Zero, rate.Take("a", 1));
        Assert.NotEqual(TimeSpan.Zero, rate.Take("a", 1));
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(TimeSpan.Zero, rate.Take("a", 5));
        Assert.NotEqual(TimeSpan.Zero, rate.Take("a", 1));
    }

    [Fact]
    public void One_client_takes_nothing_from_another()
    {
        var rate = new CallRate(perSecond: 1, burst: 1, time);
        Assert.Equal(TimeSpan.Zero, rate.Take("a", 1));
        Assert.NotEqual(TimeSpan.Zero, rate.Take("a", 1));
        Assert.Equal(TimeSpan.Zero, rate.Take("b", 1));
    }

    [Fact]
    public void A_call_that_costs_more_than_a_bucket_holds_waits_for_a_full_one()
    {
        var rate = new CallRate(perSecond: 1, burst: 2, time);
        Assert.Equal(TimeSpan.Zero, rate.Take("a", 5));
        Assert.Equal(TimeSpan.FromSeconds(5), rate.Take("a", 5));
        time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(TimeSpan.Zero, rate.Take("a", 5));
    }

    [Fact]
    public void Any_number_of_clients_takes_bounded_memory()
    {
        var rate = new CallRate(perSecond: 1, burst: 10, time);
        for (int i = 0; i < 5000; i++)
        {
            rate.Take($"client {i}", 1);
            time.Advance(TimeSpan.FromTicks(1));
        }

        Assert.InRange(rate.Buckets, 1, 1024);
    }
}
