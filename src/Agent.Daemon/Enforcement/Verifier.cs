using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// Proves rulesets, one at a time, with one memory of what was proved before. Whoever changes what is enforced goes
/// first; whoever proves at leisure makes room, and goes on where it was.
/// </summary>
/// <param name="clock">Time.</param>
internal sealed class Verifier(TimeProvider clock) : IDisposable
{
    private readonly SemaphoreSlim turn = new(1);
    private readonly ProofMemory memory = new(new ProcessCollector());
    private readonly Lock interrupting = new();
    private ProofCache cache = new();
    private CancellationTokenSource? leisure;
    private int urgent;

    /// <summary>Proofs in a row that a budget cut off; and how many have to end at leisure until one is tried again.
    /// </summary>
    private int cutOff;
    private int ahead;

    /// <summary>More is not worth counting: one in so many proofs is tried.</summary>
    private const int AheadMax = 64;

    /// <summary>
    /// Proves what is about to be committed, or was just now; for as long as the budget allows. After a proof that took
    /// longer than that none is even tried until one has come to its end at leisure: what that has learnt makes the
    /// next one short. Where it does not, they are tried ever less: nobody waits in vain for each change.
    /// </summary>
    public ProofResult ProveNow(CompiledRuleset compiled, TimeSpan budget)
    {
        if (Volatile.Read(ref ahead) > 0)
        {
            return Pending(compiled, TimeSpan.Zero);
        }

        lock (interrupting)
        {
            urgent++;
            leisure?.Cancel();
        }

        turn.Wait();
        try
        {
            using var end = new CancellationTokenSource(budget, clock);
            ProofResult result = Prove(compiled, compiled.Ruleset, only: null, end.Token);
            cutOff = result.IsPending ? cutOff + 1 : 0;
            Volatile.Write(ref ahead, cutOff == 0 ? 0 : cutOff > 6 ? AheadMax : 1 << (cutOff - 1));
            return result;
        }
        finally
        {
            lock (interrupting)
            {
                urgent--;
            }

            turn.Release();
        }
    }

    /// <summary>Proves a ruleset that should do what a compiled one does, however long it takes.</summary>
    /// <param name="compiled">What it should do.</param>
    /// <param name="held">The ruleset.</param>
    /// <param name="only">vNICs (by id); null: all, and the traffic of none.</param>
    /// <param name="cancel">Gives up.</param>
    public async Task<ProofResult> ProveAtLeisureAsync(
        CompiledRuleset compiled, Ruleset held, IReadOnlySet<string>? only, CancellationToken cancel)
    {
        while (true)
        {
            await turn.WaitAsync(cancel).ConfigureAwait(false);
            using var source = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            try
            {
                lock (interrupting)
                {
                    leisure = source;
                    if (urgent > 0)
                    {
                        source.Cancel();
                    }
                }

                ProofResult result =
                    await Task.Run(() => Prove(compiled, held, only, source.Token), cancel).ConfigureAwait(false);
                if (!result.IsPending)
                {
                    Volatile.Write(ref ahead, only is null ? Math.Max(ahead - 1, 0) : ahead);
                    return result;
                }

                cancel.ThrowIfCancellationRequested();
            }
            finally
            {
                lock (interrupting)
                {
                    leisure = null;
                }

                turn.Release();
            }
        }
    }

    public void Dispose() => turn.Dispose();

    private ProofResult Prove(
        CompiledRuleset compiled, Ruleset held, IReadOnlySet<string>? only, CancellationToken cancel)
    {
        if (memory.IsFull())
        {
            cache = new ProofCache(); // the next proof is a cold one
            memory.Begin();
        }

        long started = clock.GetTimestamp();
        ProofFacts facts = FactsOf(compiled);
        PolicySnapshot policy = compiled.Request.Policy;
        PolicySettings settings = compiled.Request.PolicySettings;
        ImmutableSortedDictionary<string, VnicProof> vnics =
            ImmutableSortedDictionary.Create<string, VnicProof>(StringComparer.Ordinal);
        VnicProof? host = null;
        try
        {
            ProofReport report = Prover.Prove(held, policy, settings, facts, cache, only, cancel);
            (vnics, host) = (report.Vnics, only is null ? report.Host : null);
            foreach ((string profile, (PolicySnapshot? kept, _)) in compiled.Request.HeldBack)
            {
                ImmutableHashSet<string> its = [.. policy.Vnics.Values
                    .Where(vnic => CompiledRuleset.ProfileOf(vnic) == profile && vnics.ContainsKey(vnic.Id))
                    .Select(vnic => vnic.Id)];
                if (kept is not null && !its.IsEmpty)
                {
                    vnics = vnics.SetItems(Prover.Prove(
                        held, Keeping(policy, kept, its), settings, facts, cache, its, cancel).Vnics);
                }
            }
        }
        catch (OperationCanceledException)
        {
            return Pending(compiled, clock.GetElapsedTime(started));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The edge of the proof: whatever went wrong in it, nothing is proved.
            host = new VnicProof.Unknown($"the prover failed: {e}");
        }

        return new ProofResult(compiled, clock.GetUtcNow(), clock.GetElapsedTime(started), vnics, host);
    }

    /// <summary>Not proved yet: <see cref="ProofWatch"/> will.</summary>
    public ProofResult Pending(CompiledRuleset compiled, TimeSpan took) => new(
        compiled, clock.GetUtcNow(), took, ImmutableSortedDictionary.Create<string, VnicProof>(StringComparer.Ordinal),
        Host: null)
    {
        IsPending = true,
    };

    // vNICs that were held back have the rules of an older policy, and the addresses of this one.
    private static PolicySnapshot Keeping(PolicySnapshot policy, PolicySnapshot kept, ImmutableHashSet<string> vnics)
    {
        IEnumerable<string> groups = vnics.SelectMany(id => policy.Vnics[id].GroupIds).Distinct();
        return policy with
        {
            PortLists = kept.PortLists,
            Groups = policy.Groups.SetItems(groups.Where(kept.Groups.ContainsKey).Select(id => KeyValuePair.Create(
                id, kept.Groups[id] with { Members = policy.Groups[id].Members }))),
        };
    }

    /// <summary>What the compiler took for granted.</summary>
    public static ProofFacts FactsOf(CompiledRuleset enforced) => new()
    {
        EpochMask = enforced.Request.Settings.EpochMask,
        Epoch = enforced.Request.Epoch,
        Zones = enforced.Zones,
        Closed = enforced.Closed,
        Unguarded = enforced.Unguarded,
        Bridge = enforced.Request.Host.Bridge switch
        {
            BridgeLayer.Open => BridgeClaim.Open,
            BridgeLayer.Closed => BridgeClaim.Closed,
            _ => BridgeClaim.None,
        },
        Bridges = [.. enforced.Request.Host.Bridges],
        PassedBits = enforced.PassedBits,
        HookMarks = enforced.HookMarks,
        Adopting = enforced.Request.Settings.AdoptsSessions ? enforced.Request.Adopting : [],
        ManagedInterfaces = enforced.Request.Settings.ManagedInterfaces,
    };
}
