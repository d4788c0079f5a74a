using Agent.Daemon.Config;

namespace Agent.Daemon.Logging;

/// <summary>Which events are written now.</summary>
/// <param name="Current">Those of this level and worse.</param>
/// <param name="Configured">What the configuration says.</param>
/// <param name="Until">When <paramref name="Current"/> ends; null: it does not.</param>
internal sealed record LevelState(EventLevel Current, EventLevel Configured, DateTimeOffset? Until);

/// <summary>The level, which can be changed while the daemon runs, and falls back by itself.</summary>
/// <param name="configured">What it falls back to.</param>
/// <param name="clock">Time.</param>
/// <param name="changed">Told after each change, falling back included.</param>
internal sealed class LevelSwitch(EventLevel configured, TimeProvider clock, Action<LevelState> changed) : IDisposable
{
    private readonly Lock gate = new();
    private volatile LevelState state = new(configured, configured, Until: null);
    private ITimer? back;

    public LevelState State => state;

    /// <param name="level">From now on.</param>
    /// <param name="duration">Null: as long as the daemon runs.</param>
    public LevelState Set(EventLevel level, TimeSpan? duration)
    {
        lock (gate)
        {
            back?.Dispose();
            back = null;
            bool ends = level != configured && duration is not null;
            var next = new LevelState(level, configured, ends ? clock.GetUtcNow() + duration : null);
            if (ends)
            {
                back = clock.CreateTimer(_ => FallBack(next), null, duration!.Value, Timeout.InfiniteTimeSpan);
            }

            state = next;
            changed(next);
            return next;
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            back?.Dispose();
            back = null;
        }
    }

    private void FallBack(LevelState from)
    {
        lock (gate)
        {
            if (ReferenceEquals(state, from)) // somebody may just have set another one
            {
                Set(configured, duration: null);
            }
        }
    }
}
