using Agent.Daemon.Ownership;

namespace Agent.Daemon.Enforcement;

/// <content>Who may change what is enforced. A step may have waited: what counts is who may when it is taken.</content>
internal sealed partial class Reconciler
{
    /// <summary>Null: everybody may.</summary>
    public LeaseKeeper? Keeper { get; init; }

    /// <summary>What is held when everything is done that was asked before.</summary>
    public async Task<AgentState> SettledAsync(CancellationToken cancel)
    {
        var answer = new TaskCompletionSource<AgentState>(TaskCreationOptions.RunContinuationsAsynchronously);
        await requests.Writer.WriteAsync(new AgentRequest.Settle(answer), cancel).ConfigureAwait(false);
        return await answer.Task.WaitAsync(cancel).ConfigureAwait(false);
    }

    private ApplyOutcome AnswerOwner(AgentRequest.Apply step)
    {
        if (Keeper is null || step is AgentRequest.ApplySnapshot { DryRun: true })
        {
            return Answer(step);
        }

        LeaseAnswer right = Keeper.Admit(step.Claim);
        if (right is LeaseAnswer.Refused refused)
        {
            return RefuseAll(0, [refused.Fault]);
        }

        ApplyOutcome outcome = Answer(step);
        return outcome is ApplyOutcome.Accepted accepted && right is LeaseAnswer.Granted { IsOverride: true } over
            ? accepted with { Warnings = accepted.Warnings.Add(WarningOf(over.Lease)) } : outcome;
    }

    private static string WarningOf(Lease lease) => lease.Damage is not null
        ? "nobody knows who holds the lease: a controller may take this back"
        : $"{lease.Holder} holds the lease: its next snapshot takes this back";
}
