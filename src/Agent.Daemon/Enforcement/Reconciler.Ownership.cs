using System.Collections.Immutable;
using Agent.Daemon.Ownership;
using Agent.Policy;

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
        if (step is AgentRequest.ApplySnapshot { DryRun: true })
        {
            return Answer(step);
        }

        (PolicyFault? objection, ImmutableArray<string> warnings) = Admit(step.Claim);
        if (objection is not null)
        {
            return RefuseAll(0, [objection]);
        }

        ApplyOutcome outcome = Answer(step);
        return outcome is ApplyOutcome.Accepted accepted
            ? accepted with { Warnings = accepted.Warnings.AddRange(warnings) } : outcome;
    }

    /// <summary>May this claim write now?</summary>
    /// <returns>Why not; or null, and what its sender should know.</returns>
    private (PolicyFault? Objection, ImmutableArray<string> Warnings) Admit(Claim claim) => Keeper?.Admit(claim) switch
    {
        LeaseAnswer.Refused refused => (refused.Fault, []),
        LeaseAnswer.Granted { IsOverride: true } over => (null, [WarningOf(over.Lease)]),
        _ => (null, []),
    };

    private static string WarningOf(Lease lease) => lease.Damage is not null
        ? "nobody knows who holds the lease: a controller may take this back"
        : $"{lease.Holder} holds the lease: its next snapshot takes this back";
}
