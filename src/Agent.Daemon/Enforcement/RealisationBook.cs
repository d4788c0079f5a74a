using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Contract;
using Agent.Evaluator.Proof;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// Follows revisions on their way into the kernel. A revision that another one overtook is as real as that one: what
/// is still wanted of it is in force.
/// </summary>
/// <remarks>Used by the loop alone.</remarks>
/// <param name="clock">Time; of the day, since the sender's is.</param>
/// <param name="metrics">Measures.</param>
/// <param name="proves">Whether proofs are to be waited for.</param>
internal sealed class RealisationBook(TimeProvider clock, RealisationMetrics metrics, bool proves)
{
    /// <summary>Revisions that wait for a proof; those beyond are not measured.</summary>
    private const int MostWaiting = 10_000;

    private readonly Queue<(ulong Revision, DateTimeOffset IssuedAt)> unenforced = [];
    private readonly Queue<(ulong Revision, DateTimeOffset IssuedAt)> unproved = [];
    private DateTimeOffset? acceptedAt;

    /// <param name="time">When what was found at the start had been accepted; null: there is nothing.</param>
    public void Begin(DateTimeOffset? time) => acceptedAt = time;

    /// <summary>A state is accepted, and not yet in force.</summary>
    /// <param name="before">What was known.</param>
    /// <param name="last">The state before it.</param>
    /// <param name="next">The state.</param>
    /// <param name="deltas">The states on the way there, itself the last; null: it is a snapshot's.</param>
    public HostRealisation Accepted(
        HostRealisation before, PolicySnapshot last, PolicySnapshot next, IReadOnlyList<PolicySnapshot>? deltas = null)
    {
        DateTimeOffset now = clock.GetUtcNow();
        acceptedAt = now;
        ImmutableDictionary<string, ulong> changes = before.GroupChanges;
        foreach (PolicySnapshot step in deltas ?? [next])
        {
            if (step.Revision > last.Revision && step.IssuedAt is { } issued)
            {
                Wait(unenforced, step.Revision, issued);
                if (issued > now)
                {
                    metrics.IssuedAhead();
                }
            }

            changes = Changed(changes, last, step, isDelta: deltas is not null);
            last = step;
        }

        return before with { GroupChanges = changes };
    }

    /// <summary>A state is in force.</summary>
    /// <param name="before">What was known.</param>
    /// <param name="compiled">What is in force.</param>
    /// <param name="proof">The last proof, of that or of something else; null: there was none.</param>
    public HostRealisation Enforced(HostRealisation before, CompiledRuleset compiled, ProofResult? proof)
    {
        DateTimeOffset now = clock.GetUtcNow();
        PolicySnapshot policy = compiled.Request.Policy;
        bool isNew = before.Enforced?.Revision != policy.Revision;
        TimeSpan? after = isNew ? null : before.EnforcedAfter;
        while (unenforced.TryPeek(out var waiting) && waiting.Revision <= policy.Revision)
        {
            unenforced.Dequeue();
            after = Since(waiting.IssuedAt, now);
            metrics.Enforced.Observe(after.Value.TotalSeconds);
            if (proves)
            {
                Wait(unproved, waiting.Revision, waiting.IssuedAt);
            }
        }

        var reached = new Reached(policy.Revision, now);
        var realised = before with
        {
            Enforced = Newer(before.Enforced, reached),
            IssuedAt = policy.IssuedAt,
            EnforcedAfter = policy.IssuedAt is null ? null : after,
            WantedSince = policy.IssuedAt ?? acceptedAt,
            Vnics = policy.Vnics.Keys.ToDictionary(id => id, id => Enforced(before.Of(id), id), StringComparer.Ordinal),
        };
        return proof is null || !ReferenceEquals(proof.Of, compiled) ? realised : Proved(realised, proof);

        // One that fails keeps the rules that it had, if any.
        VnicRealisation Enforced(VnicRealisation vnic, string id) => compiled.Closed.Contains(id)
            ? new VnicRealisation(null, null)
            : compiled.Failed.ContainsKey(id) ? vnic : vnic with { Enforced = Newer(vnic.Enforced, reached) };
    }

    /// <summary>A proof of what is in force has ended, or was given up.</summary>
    public HostRealisation Proved(HostRealisation before, ProofResult proof)
    {
        if (proof.IsPending)
        {
            return before;
        }

        DateTimeOffset now = clock.GetUtcNow();
        ulong revision = proof.Of.Request.Policy.Revision;
        bool isProved = proof.Outcome == ProofOutcome.Proved;
        while (isProved && unproved.TryPeek(out var waiting) && waiting.Revision <= revision)
        {
            unproved.Dequeue();
            metrics.Proved.Observe(Since(waiting.IssuedAt, now).TotalSeconds);
        }

        return before with
        {
            Proved = isProved ? Newer(before.Proved, new Reached(revision, now)) : null,
            Vnics = before.Vnics.ToDictionary(pair => pair.Key, pair => pair.Value with
            {
                Proved = proof.Vnics.GetValueOrDefault(pair.Key) is VnicProof.Proved
                    && pair.Value.Enforced is { } enforced
                    ? Newer(pair.Value.Proved, enforced with { Time = now }) : null,
            }, StringComparer.Ordinal),
        };
    }

    private static void Wait(
        Queue<(ulong Revision, DateTimeOffset IssuedAt)> queue, ulong revision, DateTimeOffset issued)
    {
        if (queue.Count < MostWaiting)
        {
            queue.Enqueue((revision, issued));
        }
    }

    private static Reached Newer(Reached? last, Reached next) => last?.Revision == next.Revision ? last : next;

    private static TimeSpan Since(DateTimeOffset issued, DateTimeOffset now) =>
        now > issued ? now - issued : TimeSpan.Zero;

    // A group that a delta did not touch is the same object, and one that it did is not worth comparing a thousand
    // times a second; a snapshot makes all of them anew.
    private static ImmutableDictionary<string, ulong> Changed(
        ImmutableDictionary<string, ulong> changes, PolicySnapshot last, PolicySnapshot next, bool isDelta) =>
        ReferenceEquals(last.Groups, next.Groups) ? changes : changes
            .RemoveRange(last.Groups.Keys.Where(id => !next.Groups.ContainsKey(id)))
            .SetItems(next.Groups.Values
                .Where(group => !last.Groups.TryGetValue(group.Id, out SecurityGroup? old)
                    || !(ReferenceEquals(old, group) || (!isDelta && PolicyContent.AreSame(old, group))))
                .Select(group => KeyValuePair.Create(group.Id, next.Revision)));
}
