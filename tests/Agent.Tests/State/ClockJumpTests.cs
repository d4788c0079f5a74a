using System.Text.RegularExpressions;
using Agent.Daemon.Access;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Logging;
using Agent.Policy;
using Agent.Tests.Nftables;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.State;

/// <summary>Somebody sets the wall clock by hours: what measures time does not notice.</summary>
public partial class ClockJumpTests
{
    private readonly FakeTimeProvider inner = new(new DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero));
    private readonly JumpingClock clock;

    public ClockJumpTests() => clock = new JumpingClock(inner);

    public static TheoryData<int> Hours => [-30_000, -5, 5, 30_000];

    [Theory]
    [MemberData(nameof(Hours))]
    public void A_client_waits_for_its_turn_as_long_as_before(int hours)
    {
        var rate = new CallRate(perSecond: 1, burst: 2, clock);
        Assert.Equal(TimeSpan.Zero, rate.Take("c", 2));
        clock.Jump = TimeSpan.FromHours(hours);
        Assert.Equal(TimeSpan.FromSeconds(1), rate.Take("c", 1));
        inner.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(TimeSpan.Zero, rate.Take("c", 1));
    }

    [Theory]
    [MemberData(nameof(Hours))]
    public void Events_are_held_back_as_long_as_before(int hours)
    {
        var bound = new EventBound(burst: 1, clock);
        Assert.True(bound.Admits(new EventId(7)));
        clock.Jump = TimeSpan.FromHours(hours);
        Assert.False(bound.Admits(new EventId(7)));
        Assert.Empty(bound.Take());
        inner.Advance(EventBound.Window);
        Assert.Single(bound.Take());
        Assert.True(bound.Admits(new EventId(7)));
    }

    [Theory]
    [MemberData(nameof(Hours))]
    public void A_log_level_falls_back_when_its_time_is_over(int hours)
    {
        using var level = new LevelSwitch(EventLevel.Info, clock, _ => { });
        level.Set(EventLevel.Debug, TimeSpan.FromMinutes(10));
        clock.Jump = TimeSpan.FromHours(hours);
        inner.Advance(TimeSpan.FromMinutes(9));
        Assert.Equal(EventLevel.Debug, level.State.Current);
        inner.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(EventLevel.Info, level.State.Current);
    }

    [Theory]
    [MemberData(nameof(Hours))]
    public void Sessions_are_adopted_as_long_as_the_window_is_open(int hours)
    {
        var adoptions = new Adoptions(TimeSpan.FromSeconds(30), clock);
        PolicySnapshot policy = Contract.DeltaTests.Read(Contract.Messages.Valid());
        adoptions.Begin(PolicySnapshot.Empty, policy, new HostLinks(HostLinks.None.Indexes.Add("tap1", 7)));
        clock.Jump = TimeSpan.FromHours(hours);
        Assert.False(adoptions.End());
        Assert.Equal(["v1"], adoptions.Vnics);
        inner.Advance(TimeSpan.FromSeconds(31));
        Assert.True(adoptions.End());
    }

    [Theory]
    [MemberData(nameof(Hours))]
    public void The_age_of_a_state_is_what_has_passed(int hours)
    {
        var accepted = Moment.Now(clock);
        clock.Jump = TimeSpan.FromHours(hours);
        inner.Advance(TimeSpan.FromHours(2));
        Assert.Equal(TimeSpan.FromHours(2), accepted.Age(clock));
    }

    [Fact]
    public void The_age_goes_on_after_a_restart_and_is_never_negative()
    {
        var read = Moment.Of(inner.GetUtcNow() - TimeSpan.FromHours(3), clock);
        inner.Advance(TimeSpan.FromHours(1));
        Assert.Equal(TimeSpan.FromHours(4), read.Age(clock));
        var ahead = Moment.Of(inner.GetUtcNow() + TimeSpan.FromHours(3), clock); // saved before the clock was set back
        inner.Advance(TimeSpan.FromHours(1));
        Assert.Equal(TimeSpan.FromHours(1), ahead.Age(clock));
    }

    /// <summary>What is added to the time of day, or compared with it, is shown to somebody, or is a fault.</summary>
    [Fact]
    public void Nothing_else_reckons_with_the_wall_clock()
    {
        string[] shown =
        [
            "src/Agent.Cli/AgentConnection.cs", // a deadline, which gRPC makes a duration of at once
            "src/Agent.Daemon/Drops/DropReader.cs", // the kernel dates packets so
            "src/Agent.Daemon/Enforcement/Moment.cs",
            "src/Agent.Daemon/Enforcement/RealisationMetrics.cs", // beside the sender's clock, which is another one
            "src/Agent.Daemon/Logging/LevelSwitch.cs", // said to who asked; a timer ends it
        ];
        string root = GoldenTests.RepositoryRoot();
        Assert.Equal(shown, Directory.EnumerateFiles(Path.Combine(root, "src"), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal))
            .Where(file => Reckoning().IsMatch(File.ReadAllText(file)))
            .Select(file => Path.GetRelativePath(root, file)).Order(StringComparer.Ordinal));
    }

    [GeneratedRegex(@"GetUtcNow\(\)(\.UtcDateTime)?\s*[-+<>]|[-+<>]\s*\w*\.?GetUtcNow\(\)|\bDateTime\w*\.(Utc)?Now\b")]
    private static partial Regex Reckoning();
}
