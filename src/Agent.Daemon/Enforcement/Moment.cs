namespace Agent.Daemon.Enforcement;

/// <summary>When something happened, and how long ago that is, whatever becomes of the wall clock meanwhile.</summary>
/// <param name="Time">By the wall clock as it then was.</param>
/// <param name="Before">How old it was already when it was learned.</param>
/// <param name="LearnedAt">Monotonic time.</param>
internal sealed record Moment(DateTimeOffset Time, TimeSpan Before, long LearnedAt)
{
    public static Moment Now(TimeProvider clock) => new(clock.GetUtcNow(), TimeSpan.Zero, clock.GetTimestamp());

    /// <summary>One of an earlier life: only the wall clock reaches back there. One of the future is now.</summary>
    public static Moment Of(DateTimeOffset time, TimeProvider clock)
    {
        TimeSpan before = clock.GetUtcNow() - time;
        return new Moment(time, before > TimeSpan.Zero ? before : TimeSpan.Zero, clock.GetTimestamp());
    }

    public TimeSpan Age(TimeProvider clock) => Before + clock.GetElapsedTime(LearnedAt);
}
