namespace Agent.Tests.Simulation.Host;

/// <summary>Time that stands until it is moved. Who waits is served at once: what happens meanwhile happens inside.
/// </summary>
internal sealed class SimulatedClock : TimeProvider
{
    /// <summary>What is longer is no wait of the loop but a budget: of a proof.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(100);

    private DateTimeOffset wall = new(2027, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private long ticks = 1;

    /// <summary>Told of each wait before it is over.</summary>
    public Action OnWait { get; set; } = () => { };

    /// <summary>Whether a budget is spent the moment that it begins.</summary>
    public Func<bool> IsSpent { get; set; } = () => false;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => wall;

    public override long GetTimestamp() => ticks;

    public void Advance(TimeSpan time)
    {
        ticks += time.Ticks;
        wall += time;
    }

    /// <summary>Somebody sets the wall clock.</summary>
    public void SetBack(TimeSpan time) => wall -= time;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime >= TimeSpan.Zero && dueTime <= LongestWait)
        {
            OnWait();
            Advance(dueTime);
            callback(state);
        }
        else if (IsSpent())
        {
            callback(state);
        }

        return new NoTimer();
    }

    private sealed class NoTimer : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
