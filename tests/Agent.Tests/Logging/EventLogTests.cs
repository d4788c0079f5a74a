using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Logging;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Logging;

/// <summary>What is written of what is said: by level, and not too much of one kind.</summary>
public sealed class EventLogTests : IDisposable
{
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 11, 29, 12, 0, 0, TimeSpan.Zero));
    private readonly Kept kept = new();
    private readonly EventLog events;
    private readonly ILogger log;

    public EventLogTests()
    {
        events = new EventLog(new LogConfig { Burst = 3 }, kept, clock);
        log = events.CreateLogger(EventLog.Ours);
    }

    [Fact]
    public void Arguments_are_fields_under_one_name_each()
    {
        log.Enforced(7, 3, 200, 1, 1.23456, 2, 3, revalidated: true);
        LogEntry entry = Assert.Single(kept.Entries);
        Assert.Equal((200, "Enforced", LogLevel.Information), (entry.Event.Id, entry.Event.Name, entry.Level));
        Assert.Equal(clock.GetUtcNow(), entry.Time);
        Assert.Equal(
            "SG_REVISION=7 SG_MESSAGES=3 SG_BYTES=200 SG_TRANSACTIONS=1 SG_COMPILE_MS=1.235 SG_PROVE_MS=2 "
                + "SG_COMMIT_MS=3 SG_REVALIDATED=true",
            string.Join(' ', entry.Fields.Select(field => $"{field.Name}={field.Value}")));
        Assert.Contains("compile 1.2 ms, prove 2.0 ms", entry.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Libraries_are_heard_when_they_warn_and_their_arguments_are_not_spread()
    {
        ILogger library = events.CreateLogger("Microsoft.AspNetCore.Server.Kestrel");
        library.LogInformation(1, "listening on {Address}", "x");
        library.LogWarning(205, "refused {Secret}", "x");
        LogEntry entry = Assert.Single(kept.Entries);
        Assert.Equal(("Microsoft.AspNetCore.Server.Kestrel", 0, "refused x"),
            (entry.Category, entry.Event.Id, entry.Message));
        Assert.Empty(entry.Fields);
    }

    [Fact]
    public void Too_many_of_one_kind_are_counted_and_summed_up_and_hold_back_no_others()
    {
        for (int i = 0; i < 10; i++)
        {
            log.VnicFailed($"eni-{i}", "refused");
        }

        log.Stopping(7);
        Assert.Equal([205, 205, 205, 102], kept.Numbers);
        Assert.Equal(7, events.Suppressed);
        clock.Advance(TimeSpan.FromSeconds(29));
        log.VnicFailed("eni-x", "refused");
        Assert.Equal([205, 205, 205, 102], kept.Numbers);
        clock.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal([205, 205, 205, 102, 411], kept.Numbers);
        Assert.Equal("8 more events VnicFailed (205) were not logged: too many in 30 s", kept.Entries[^1].Message);
        log.VnicFailed("eni-y", "refused");
        Assert.Equal([205, 205, 205, 102, 411, 205], kept.Numbers);
        Assert.Equal((5, 1), (events.Written(LogLevel.Warning), events.Written(LogLevel.Information)));
    }

    [Fact]
    public void What_was_held_back_is_said_at_the_end_too()
    {
        for (int i = 0; i < 4; i++)
        {
            log.Retrying(1);
        }

        events.Dispose();
        Assert.StartsWith("1 more events Retrying", kept.Entries[^1].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_level_changes_for_a_while_and_falls_back_by_itself()
    {
        Assert.False(log.IsEnabled(LogLevel.Debug));
        events.Level.Set(EventLevel.Debug, TimeSpan.FromMinutes(10));
        Assert.True(log.IsEnabled(LogLevel.Debug));
        Assert.Equal(
            "events of level debug and worse are logged, until 2026-11-29T12:10:00Z", kept.Entries[^1].Message);
        clock.Advance(TimeSpan.FromMinutes(9));

        // Another time begins anew: the first one's end does not end it.
        events.Level.Set(EventLevel.Debug, TimeSpan.FromMinutes(10));
        clock.Advance(TimeSpan.FromMinutes(9));
        Assert.Equal(EventLevel.Debug, events.Level.State.Current);
        clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(new LevelState(EventLevel.Info, EventLevel.Info, Until: null), events.Level.State);
        Assert.False(log.IsEnabled(LogLevel.Debug));

        events.Level.Set(EventLevel.Error, duration: null);
        clock.Advance(TimeSpan.FromDays(30));
        log.Retrying(1);
        log.ForeignUnread("x");
        Assert.Equal(0, kept.Numbers.Count(number => number is 207 or 305));
        log.KernelRefused("x");
        Assert.Equal(202, kept.Numbers[^1]);
    }

    /// <summary>Who turns it on wants to see all.</summary>
    [Fact]
    public void Debug_events_have_no_bound()
    {
        events.Level.Set(EventLevel.Debug, TimeSpan.FromMinutes(1));
        for (int i = 0; i < 10; i++)
        {
            log.LogDebug(new EventId(599, "Step"), "a step");
        }

        Assert.Equal(10, kept.Entries.Count(entry => entry.Level == LogLevel.Debug));
        Assert.Equal(0, events.Suppressed);
    }

    [Fact]
    public void What_nobody_takes_is_counted()
    {
        kept.Takes = false;
        log.Stopping(1);
        Assert.False(events.Record(new LogEntry(default, LogLevel.Information, EventLog.Ours, "m")));
        Assert.Equal((2, 0), (events.Lost, events.Written(LogLevel.Information)));
    }

    public void Dispose() => events.Dispose();

    private sealed class Kept : ILogSink
    {
        public List<LogEntry> Entries { get; } = [];

        public int[] Numbers => [.. Entries.Select(entry => entry.Event.Id)];

        public bool Takes { get; set; } = true;

        public bool Write(LogEntry entry)
        {
            Entries.Add(entry);
            return Takes;
        }

        public void Dispose()
        {
        }
    }
}
