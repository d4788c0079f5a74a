using Agent.Daemon.Counting;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Top;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Nftables;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Top;

/// <summary>Who shares a look with whom.</summary>
public sealed class TopWatchTests : IDisposable
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider clock = new();
    private readonly ManualResetEventSlim proceed = new(initialState: true);
    private readonly TopWatch watch;
    private Exception? failure;
    private TimeSpan takes = TimeSpan.Zero;
    private int walks;

    public TopWatchTests()
    {
        var book = new CounterBook(
            () => new RawCounts(new Dictionary<NftFamily, ulong>(), [], [], [], 1), () => AgentState.Initial,
            file: null, clock, NullLogger.Instance);
        watch = new TopWatch(() => Looks.Judge, Read, book, 100, clock);
    }

    public void Dispose() => proceed.Dispose();

    [Fact]
    public async Task Looks_at_a_time_are_one_and_so_is_a_fresh_one()
    {
        using IDisposable? one = watch.TryEnter();
        proceed.Reset();
        Task<TopLook>[] both = [watch.LookAsync(null, Fresh), watch.LookAsync(null, Fresh)];
        proceed.Set();
        TopLook[] seen = await Task.WhenAll(both);
        Assert.Same(seen[0], seen[1]);
        clock.Advance(Fresh / 2);
        Assert.Same(seen[0], await watch.LookAsync(null, Fresh));
        Assert.Equal(1, walks);

        // Who has seen it already waits for the next, and who comes later sees both.
        TopLook next = await watch.LookAsync(seen[0], Fresh);
        Assert.Equal(2, walks);
        Assert.Same(seen[0], watch.Before(next));
        clock.Advance(Fresh);
        Assert.NotSame(next, await watch.LookAsync(null, Fresh));
    }

    [Fact]
    public async Task Nothing_is_kept_when_nobody_watches()
    {
        IDisposable? one = watch.TryEnter();
        IDisposable? other = watch.TryEnter();
        TopLook first = await watch.LookAsync(null, Fresh);
        TopLook second = await watch.LookAsync(first, Fresh);
        one!.Dispose();
        one.Dispose();
        Assert.Same(first, watch.Before(second));
        other!.Dispose();
        Assert.Null(watch.Before(second));
        Assert.NotSame(second, await watch.LookAsync(null, TimeSpan.FromDays(1)));
    }

    [Fact]
    public void So_many_may_watch_and_no_more()
    {
        IDisposable?[] all = [.. Enumerable.Range(0, TopWatch.WatchersMax).Select(_ => watch.TryEnter())];
        Assert.DoesNotContain(null, all);
        Assert.Null(watch.TryEnter());
        all[0]!.Dispose();
        Assert.NotNull(watch.TryEnter());
    }

    [Fact]
    public async Task A_table_that_takes_long_is_left_alone_for_as_long()
    {
        using IDisposable? one = watch.TryEnter();
        takes = TimeSpan.FromSeconds(5);
        TopLook first = await watch.LookAsync(null, Fresh);
        Task<TopLook> second = watch.LookAsync(first, Fresh);
        clock.Advance(TimeSpan.FromSeconds(4.9));
        await Task.Delay(50, TestContext.Current.CancellationToken);
        Assert.Equal((1, false), (walks, second.IsCompleted));

        // The wait may begin after the first step of the clock.
        while (!second.IsCompleted)
        {
            clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        Assert.Equal(2, walks);
    }

    [Fact]
    public async Task A_table_that_cannot_be_read_is_said_and_the_counters_are_there_all_the_same()
    {
        using IDisposable? one = watch.TryEnter();
        failure = new NetlinkException("list flows", new KernelError(KernelError.Enobufs, "gone"));
        TopLook look = await watch.LookAsync(null, Fresh);
        Assert.Contains("list flows", look.Gap, StringComparison.Ordinal);
        Assert.Equal(0, look.SessionCount);
        failure = null;
        look = await watch.LookAsync(look, Fresh);
        Assert.Equal(("", 1L, 1L), (look.Gap, look.SessionCount, look.SessionsOf["one"]));
    }

    private bool Read(FlowFilter filter, Action<Flow> visit, CancellationToken cancel)
    {
        walks++;
        proceed.Wait(cancel);
        clock.Advance(takes);
        if (failure is not null)
        {
            throw failure;
        }

        visit(Looks.Udp(1, Looks.One, Looks.World, 1, 1));
        return true;
    }
}
