using System.Collections.Immutable;
using Agent.Daemon.State;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <content>What cannot be saved is refused, and an alarm stands until it could be.</content>
internal sealed partial class Reconciler
{
    /// <summary>A trial costs a write as large as the step that failed.</summary>
    private static readonly TimeSpan ProbeLast = TimeSpan.FromSeconds(10);

    private string? unsaved;
    private TimeSpan probeDelay = RetryFirst;
    private long probeAt;

    /// <summary>Why there is a saved state that was not read, and may be once more; null: there is none.</summary>
    private string? tooNew;

    private ImmutableArray<string> Standing =>
        [.. standing, .. new[] { tooNew, unsaved }.OfType<string>()];

    private (PolicySnapshot Policy, uint Epoch) Load()
    {
        SavedPolicy saved = SavedPolicy.Load(stateFile);
        if (saved.Damage is not null)
        {
            log.StateDamaged(saved.Damage);
            standing = standing.Add(saved.Damage);
        }

        if (saved.TooNew is not null)
        {
            log.StateTooNew(saved.TooNew);
            tooNew = saved.TooNew;
        }

        metrics.Unread(saved.Damage is not null || saved.TooNew is not null);
        return (saved.Policy, saved.Epoch);
    }

    /// <summary>What was not read is not what is desired any more.</summary>
    private void Replaced(ulong revision)
    {
        metrics.Unread(false);
        if (tooNew is not null)
        {
            log.NewerStateReplaced(revision);
            string ended = tooNew;
            tooNew = null;
            Publish(State with { Alarms = State.Alarms.Remove(ended) });
        }
    }

    private void LookAtDisk()
    {
        if (stateFile.Objection() is { } reason)
        {
            NotSaved(reason);
        }
        else
        {
            Saved();
        }
    }

    private void NotSaved(string reason)
    {
        probeAt = After(probeDelay);
        probeDelay = TimeSpan.FromTicks(Math.Min(2 * probeDelay.Ticks, ProbeLast.Ticks));
        string alarm = $"the state cannot be saved, so changes are refused: {reason}";
        if (alarm != unsaved)
        {
            log.Unsaved(reason);
            Say(alarm);
        }
    }

    private void Saved()
    {
        probeDelay = RetryFirst;
        if (unsaved is not null)
        {
            log.SavedAgain();
            Say(null);
        }
    }

    private void ProbeDisk()
    {
        if (unsaved is not null && clock.GetTimestamp() >= probeAt)
        {
            LookAtDisk();
        }
    }

    private void Say(string? alarm)
    {
        ImmutableArray<string> others = unsaved is null ? State.Alarms : State.Alarms.Remove(unsaved);
        unsaved = alarm;
        metrics.Saving(alarm is null);
        Publish(State with { Alarms = alarm is null ? others : others.Add(alarm) });
    }
}
