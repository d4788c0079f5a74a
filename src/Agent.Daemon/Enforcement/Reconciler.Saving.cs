using System.Collections.Immutable;

namespace Agent.Daemon.Enforcement;

/// <content>What cannot be saved is refused, and an alarm stands until it could be.</content>
internal sealed partial class Reconciler
{
    /// <summary>A trial costs a write as large as the step that failed.</summary>
    private static readonly TimeSpan ProbeLast = TimeSpan.FromSeconds(10);

    private string? unsaved;
    private TimeSpan probeDelay = RetryFirst;
    private long probeAt;

    private ImmutableArray<string> Standing => unsaved is null ? standing : standing.Add(unsaved);

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
