using Agent.Daemon.Supervision;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Supervision;

/// <summary>What counts as getting on, and what does not.</summary>
public sealed class WatchdogTests : IDisposable
{
    private static readonly TimeSpan Time = TimeSpan.FromSeconds(30);

    private readonly FakeTimeProvider clock = new();
    private readonly ServiceNotifier nobody;
    private readonly LoopProgress progress;
    private readonly Watchdog watchdog;

    public WatchdogTests()
    {
        nobody = new ServiceNotifier(path: null, Time, clock);
        progress = new LoopProgress(clock);
        watchdog = new Watchdog(nobody, progress, clock, NullLogger.Instance);
    }

    public void Dispose() => nobody.Dispose();

    [Fact]
    public void A_loop_that_answers_is_alive_however_long_it_has_nothing_to_do()
    {
        watchdog.Ask = () =>
        {
            progress.Begin("AuditDue");
            progress.Rest();
        };
        progress.Rest();
        for (int i = 0; i < 100; i++)
        {
            clock.Advance(Time / 3);
            Assert.True(watchdog.Look(), $"look {i}");
        }
    }

    [Fact]
    public void A_loop_that_waits_and_does_not_answer_is_dead_after_the_time()
    {
        progress.Rest();
        Assert.True(watchdog.Look());
        clock.Advance(Time * 0.9);
        Assert.True(watchdog.Look());
        clock.Advance(Time * 0.2);
        Assert.False(watchdog.Look());
    }

    [Fact]
    public void One_step_may_take_several_times_as_long_and_not_longer()
    {
        progress.Begin("prove");
        Assert.True(watchdog.Look());
        clock.Advance(Time * Watchdog.StepTimes * 0.99);
        Assert.True(watchdog.Look());
        clock.Advance(Time * Watchdog.StepTimes * 0.02);
        Assert.False(watchdog.Look());
        progress.Begin("commit"); // it was only slow
        Assert.True(watchdog.Look());
    }

    [Fact]
    public void A_change_of_many_steps_may_take_as_long_as_it_gets_on()
    {
        for (int i = 0; i < 50; i++)
        {
            progress.Begin("commit, prepare");
            clock.Advance(Time * 2);
            Assert.True(watchdog.Look());
        }
    }

    [Theory]
    [InlineData(null, null, 7, null)]
    [InlineData("30000000", null, 7, 30.0)]
    [InlineData("30000000", "7", 7, 30.0)]
    [InlineData("30000000", "8", 7, null)] // meant for another process
    [InlineData("0", null, 7, null)]
    [InlineData("x", null, 7, null)]
    public void The_time_is_what_the_environment_says(string? usec, string? pid, int own, double? seconds)
    {
        using var notifier = ServiceNotifier.Of(
            name => name == "WATCHDOG_USEC" ? usec : name == "WATCHDOG_PID" ? pid : null, own, clock);
        Assert.Equal(seconds, notifier.Watchdog?.TotalSeconds);
        Assert.False(notifier.IsThere);
        notifier.Ready(); // to nobody
    }

    [Theory]
    [InlineData(null, null)]
    [InlineData("8", "1")] // of another process
    [InlineData("7", null)]
    [InlineData("7", "many")]
    [InlineData("7", "0")]
    public void Sockets_that_are_for_nobody_or_another_are_not_taken(string? pid, string? count)
    {
        (var sockets, var others) = InheritedSockets.Of(
            name => name == "LISTEN_PID" ? pid : name == "LISTEN_FDS" ? count : null, processId: 7);
        Assert.Empty(sockets);
        Assert.Empty(others);
    }
}
