using Agent.Daemon.Config;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// Follows the loop from outside, and proves what it did not wait for: a ruleset that was found at the start, or that
/// took longer than a commit may; and what a ruleset did that somebody else had changed.
/// </summary>
/// <param name="verifier">Proves.</param>
/// <param name="reconciler">The loop.</param>
/// <param name="mode">Off: only what somebody else had changed.</param>
internal sealed class ProofWatch(Verifier verifier, Reconciler reconciler, VerifyMode mode)
{
    /// <summary>Follows until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        try
        {
            for (AgentState state = reconciler.State; ;)
            {
                if (mode != VerifyMode.Off && state.Enforced is { } enforced
                    && (state.Proof is not { IsPending: false } proof || !ReferenceEquals(proof.Of, enforced)))
                {
                    ProofResult result = await verifier.ProveAtLeisureAsync(
                        enforced, enforced.Ruleset, only: null, cancel).ConfigureAwait(false);
                    await reconciler.Requests.WriteAsync(new AgentRequest.Proved(result), cancel).ConfigureAwait(false);
                }

                if (state.Drift is { Evidence: { } evidence } drift)
                {
                    ProofResult result = await verifier.ProveAtLeisureAsync(
                        evidence.Wanted, evidence.Held, only: null, cancel).ConfigureAwait(false);
                    await reconciler.Requests
                        .WriteAsync(new AgentRequest.DriftExplained(drift.Explained(result)), cancel)
                        .ConfigureAwait(false);
                }

                state = await reconciler.WaitForStateAsync(state.Version, cancel).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
