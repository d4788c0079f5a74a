namespace Agent.Tests.State;

/// <summary>A wall clock that somebody sets, beside a monotonic one that nobody can.</summary>
/// <param name="inner">Both, as long as nothing is set; timers are its.</param>
internal sealed class JumpingClock(TimeProvider inner) : TimeProvider
{
    /// <summary>How far the wall clock is off.</summary>
    public TimeSpan Jump { get; set; }

    /// <summary>Time that has really passed, beside what passes in <c>inner</c>.</summary>
    public TimeSpan Passed { get; set; }

    public override long TimestampFrequency => inner.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => inner.GetUtcNow() + Passed + Jump;

    public override long GetTimestamp() =>
        inner.GetTimestamp() + (long)(Passed.TotalSeconds * inner.TimestampFrequency);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        inner.CreateTimer(callback, state, dueTime, period);
}
