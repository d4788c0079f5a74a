using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// Follows the loop from outside, and looks at what others hooked where packets of vNICs pass: a drop of theirs
/// overrides us, and so do a few other things. Changes nothing; it is reported.
/// </summary>
/// <param name="reconciler">The loop.</param>
/// <param name="settings">Which tables are ours.</param>
/// <param name="clock">Time.</param>
/// <param name="log">Log.</param>
internal sealed class ForeignWatch(Reconciler reconciler, CompilerSettings settings, TimeProvider clock, ILogger log)
{
    /// <summary>Between two looks, whatever happens: their rulesets may be large, and change often.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(2);

    private ImmutableArray<ForeignHook> last = [];

    /// <summary>Follows until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        try
        {
            AgentState state = reconciler.State;
            AgentState? seen = null;
            while (true)
            {
                if (state.Enforced is not null && (seen is null || state.Generation != seen.Generation
                    || !ReferenceEquals(state.Enforced, seen.Enforced) || !state.Links.Equals(seen.Links)))
                {
                    seen = state;
                    await Task.Run(() => Look(state, cancel), cancel).ConfigureAwait(false);
                    await Task.Delay(Pause, clock, cancel).ConfigureAwait(false);
                    state = reconciler.State; // many changes are one look
                    continue;
                }

                state = await reconciler.WaitForStateAsync(state.Version, cancel).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private void Look(AgentState state, CancellationToken cancel)
    {
        try
        {
            using var connection = new NftConnection();
            IReadOnlyList<NftTable> foreign = connection.ReadForeign(
                (_, name) => name == settings.Table || name == StagedRuleset.TableOf(settings));
            ImmutableArray<ForeignHook> found =
            [
                .. new ForeignHooks(
                    state.Enforced!.Request.Policy, state.Enforced.Request.PolicySettings,
                    Verifier.FactsOf(state.Enforced), state.Links.Names).In(foreign, cancel),
                .. LegacyTables.Find(File.ReadAllLines),
            ];
            if (found.SequenceEqual(last))
            {
                return;
            }

            foreach (ForeignHook hook in found.Except(last))
            {
                log.ForeignHook(
                    $"{NftText.FamilyName(hook.Family)} {hook.Table} {hook.Chain}", hook.Effect.ToString(), hook.VnicId,
                    hook.Detail);
            }

            last = found;
            reconciler.Requests.TryWrite(new AgentRequest.ForeignFound(found));
        }
        catch (Exception e) when (e is not (OutOfMemoryException or OperationCanceledException))
        {
            log.ForeignUnread(e.ToString()); // whatever stands in a ruleset of others: we go on
        }
    }
}
