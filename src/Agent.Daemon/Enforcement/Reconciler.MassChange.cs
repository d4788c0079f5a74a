using Agent.Contract;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <content>Steps that remove so much that they wait, staged, until somebody confirms them.</content>
internal sealed partial class Reconciler
{
    private bool IsHeld(ulong revision) =>
        State.Staged is { MassChange: { } held } && revision >= held.Revision;

    private PolicyFault FaultOfHeld(ulong baseRevision)
    {
        MassChange held = State.Staged!.MassChange!;
        return new PolicyFault("base_revision", MassChange.Code,
            $"builds on revision {baseRevision}, and revision {held.Revision} is held as a mass change: "
            + $"it {held.Summary}", held.Remedy);
    }

    // The same step again goes on waiting where it is: its counters have begun.
    private ApplyOutcome.Held Hold(Candidate step, MassChange change)
    {
        if (State.Staged is not { MassChange: { } waiting } staged || waiting.Revision != change.Revision
            || !staged.Hash.AsSpan().SequenceEqual(step.Hash))
        {
            Put(step, nextRevision: false, change);
            metrics.MassChanges.Held();
            log.MassChangeHeld(change.Revision, change.Summary, State.Desired.Revision);
        }

        return new ApplyOutcome.Held(State, State.Staged!.MassChange!);
    }

    private static Candidate CandidateOf(PolicySnapshot policy, byte[] hash, TimeSpan took, SnapshotResult read) =>
        new(SnapshotWriter.Write(policy), policy, hash, took, read.Warnings);

    private void Confirmed(MassChange change)
    {
        metrics.MassChanges.Confirmed();
        log.MassChangeConfirmed(change.Revision, change.Summary);
    }

    private void Forgotten(MassChange change)
    {
        metrics.MassChanges.Discarded();
        log.MassChangeForgotten(change.Revision);
    }

    // A snapshot says all that is wanted: what was staged against an older one is not wanted any more. A delta leaves
    // what people look at; a step that waits to be confirmed has lost its ground in either case.
    private ApplyOutcome Overtaking(ApplyOutcome outcome, IEnumerable<MassChange> confirmed, bool isDelta = false)
    {
        if (outcome is not ApplyOutcome.Accepted accepted)
        {
            return outcome;
        }

        foreach (MassChange change in confirmed)
        {
            Confirmed(change);
        }

        if (State.Staged is not { } staged || (isDelta && staged.MassChange is null))
        {
            return outcome;
        }

        bool isSame = staged.MassChange is not null && staged.Hash.AsSpan().SequenceEqual(State.DesiredHash);
        Unstage(isEnforced: isSame);
        string what = staged.MassChange is null
            ? "was staged, is discarded: stage it again if need be" : "was held as a mass change, is forgotten";
        return isSame ? accepted : accepted with
        {
            Warnings = accepted.Warnings.Add($"revision {staged.Policy.Revision}, which {what}"),
        };
    }
}
