using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Ownership;
using Agent.Policy;
using Agent.V1;

namespace Agent.Daemon.Enforcement;

// Policies that are looked at before they are enforced.
internal sealed partial class Reconciler
{
    private readonly StagingArea staging = new(enforcer, config.Compiler);

    /// <summary>What could not be taken away is tried again then; null: nothing is left.</summary>
    private long? leftoverAt;

    /// <summary>A snapshot that may become the desired state.</summary>
    private sealed record Candidate(
        Snapshot Snapshot, PolicySnapshot Policy, byte[] Hash, TimeSpan Took, ImmutableArray<string> Warnings);

    /// <summary>Forgets what is staged.</summary>
    /// <returns>What was staged; null if nothing was. Or why it stays.</returns>
    public async Task<(StagedPolicy? Gone, PolicyFault? Objection)> DiscardStagedAsync(
        Claim claim, CancellationToken cancel)
    {
        var answer = new TaskCompletionSource<(StagedPolicy?, PolicyFault?)>(
            TaskCreationOptions.RunContinuationsAsynchronously);
        await requests.Writer.WriteAsync(new AgentRequest.DiscardStaged(claim, answer), cancel).ConfigureAwait(false);
        return await answer.Task.WaitAsync(cancel).ConfigureAwait(false);
    }

    private (StagedPolicy? Gone, PolicyFault? Objection) Discard(AgentRequest.DiscardStaged ask) =>
        Admit(ask.Claim).Objection is { } objection ? (null, objection) : (Unstage(), null);

    private ApplyOutcome Stage(AgentRequest.Stage step)
    {
        (Candidate? candidate, ApplyOutcome.Refused? refused) = Validate(step.Snapshot, step.NextRevision);
        if (candidate is null)
        {
            return refused!;
        }

        try
        {
            StagedPolicy staged = Put(candidate, step.NextRevision);
            return new ApplyOutcome.Accepted(
                State with { Failed = staged.Compiled.Failed }, State.Desired, candidate.Policy, null, candidate.Took,
                default, candidate.Warnings, Unchanged: true);
        }
        catch (Exception e) when (e is EnforcementFailedException or Netlink.NetlinkException)
        {
            if (Unstage() is null) // one that was staged before has made room
            {
                RemoveLeftover(); // taken, perhaps, although the answer was lost
            }

            return Refuse("snapshot", "NotStaged", e.Message, "What is enforced is not touched; see the agent's log.");
        }
    }

    private StagedPolicy Put(Candidate candidate, bool nextRevision, MassChange? change = null)
    {
        CompiledRuleset compiled = enforcer.Compile(candidate.Policy, Host());
        var shadow = StagedRuleset.Of(compiled, State.Desired);
        string uncounted = "";
        try
        {
            staging.Put(shadow);
        }
        catch (Exception e) when (change is not null && e is EnforcementFailedException or Netlink.NetlinkException)
        {
            RemoveLeftover();
            uncounted = e.Message; // it waits all the same
        }

        if (State.Staged?.MassChange is { } waited && waited != change)
        {
            Forgotten(waited);
        }

        var staged = new StagedPolicy(
            candidate.Snapshot, nextRevision, candidate.Policy, candidate.Hash, compiled, shadow, clock.GetUtcNow(),
            State.Desired.Revision, candidate.Warnings)
        {
            MassChange = change,
            Uncounted = uncounted,
        };
        Publish(State with { Staged = staged, Generation = enforcer.Generation });
        metrics.Staged(staged);
        if (uncounted.Length > 0)
        {
            log.NotStaged(candidate.Policy.Revision, uncounted);
        }
        else
        {
            log.Staged(candidate.Policy.Revision, State.Desired.Revision);
        }

        return staged;
    }

    // Packets are met at other hooks once vNICs are ports of bridges: what was counted before is begun anew.
    private void FollowStaged()
    {
        if (State.Staged is not { } staged || staged.Compiled.Request.Host.Bridge == Host().Bridge)
        {
            return;
        }

        try
        {
            Put(new Candidate(staged.Snapshot, staged.Policy, staged.Hash, default, staged.Warnings),
                staged.NextRevision, staged.MassChange);
        }
        catch (Exception e) when (e is EnforcementFailedException or Netlink.NetlinkException)
        {
            Unstage();
            log.NotStaged(staged.Policy.Revision, e.Message);
        }
    }

    private ApplyOutcome Commit(AgentRequest.CommitStaged step)
    {
        if (State.Staged is not { } staged)
        {
            return Refuse("revision", "NothingStaged", "nothing is staged", "Stage a snapshot first.");
        }

        if (step.Revision != 0 && step.Revision != staged.Policy.Revision)
        {
            return Refuse("revision", "AnotherIsStaged",
                $"revision {staged.Policy.Revision} is staged, not {step.Revision}", "Look at what is staged again.");
        }

        if (step.Revision == 0 && staged.MassChange is { } change)
        {
            return Refuse("revision", MassChange.Code,
                $"revision {change.Revision} is held as a mass change: it {change.Summary}", "Name its revision.");
        }

        (Candidate? candidate, ApplyOutcome.Refused? refused) = Validate(staged.Snapshot, staged.NextRevision);
        if (candidate is null)
        {
            return refused!;
        }

        ApplyOutcome outcome = Take(candidate);
        if (outcome is ApplyOutcome.Accepted)
        {
            Unstage(isEnforced: true);
            if (staged.MassChange is not null)
            {
                Confirmed(staged.MassChange);
            }
        }

        return outcome;
    }

    /// <returns>What was staged.</returns>
    private StagedPolicy? Unstage(bool isEnforced = false)
    {
        StagedPolicy? staged = State.Staged;
        if (staged is null)
        {
            return null;
        }

        RemoveLeftover();
        Publish(State with { Staged = null, Generation = enforcer.Generation });
        metrics.Staged(null);
        if (staged.MassChange is { } change && !isEnforced)
        {
            Forgotten(change);
        }

        log.Unstaged(staged.Policy.Revision);
        return staged;
    }

    // It does nothing but cost time: that it is there is no reason to stop for.
    private void RemoveLeftover()
    {
        try
        {
            staging.Clear();
            leftoverAt = null;
        }
        catch (Exception e) when (e is EnforcementFailedException or Netlink.NetlinkException)
        {
            leftoverAt = After(RetryLast);
            log.StagedRemains(e.Message);
        }
    }

    private void RetryLeftover()
    {
        if (State.Staged is null && clock.GetTimestamp() >= leftoverAt)
        {
            RemoveLeftover();
        }
    }
}
