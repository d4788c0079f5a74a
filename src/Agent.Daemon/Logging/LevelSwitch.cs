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
    private long changes;

    public LevelState State => state;

    /// <param name="level">From now on.</param>
    /// <param name="duration">Null: as long as the daemon runs.</param>
    public LevelState Set(EventLevel level, TimeSpan? duration)
    {
        lock (gate)
        {
            back?.Dispose();
            back = null;
            long change = ++changes;
            bool ends = level != configured && duration is not null;
            if (ends)
            {
                back = clock.CreateTimer(_ => FallBack(change), null, duration!.Value, Timeout.InfiniteTimeSpan);
            }

            return Tell(new LevelState(level, configured, ends ? clock.GetUtcNow() + duration : null));
        }
    }

    /// <summary>Falls back to another level from now on; one that somebody has set stays as long as he said.</summary>
    public LevelState Configure(EventLevel level)
    {
        lock (gate)
        {
            bool isSet = state.Current != configured;
            configured = level;
            return isSet && state.Current != level
                ? Tell(state with { Configured = level }) : Set(level, duration: null);
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

    private LevelState Tell(LevelState next)
    {
        state = next;
        changed(next);
        return next;
    }

    private void FallBack(long change)
    {
        lock (gate)
        {
            if (change == changes) // somebody may just have set another one
            {
                Set(configured, duration: null);
            }
        }
    }
}
