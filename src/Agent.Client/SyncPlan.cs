using Agent.V1;
using Google.Protobuf;

namespace Agent.Client;

/// <summary>A step that was sent.</summary>
/// <param name="Target">What the agent holds once it is accepted.</param>
/// <param name="IsSnapshot">Sent in parts; otherwise a delta.</param>
internal sealed record Step(DesiredState Target, bool IsSnapshot);

/// <summary>What an answer that refuses a step means.</summary>
internal enum RefusalKind
{
    /// <summary>The step is not wanted by this agent.</summary>
    Final,

    /// <summary>It built on a step that was refused before.</summary>
    Consequence,

    /// <summary>Somebody else has written since.</summary>
    Overtaken,

    /// <summary>The agent cannot now: the same step may pass later.</summary>
    Passing,
}

/// <summary>
/// What to send next, and what an answer says about what is held. Bookkeeping alone: no connection, no clock.
/// </summary>
/// <remarks>
/// <code>
/// held -- delta --> target -- delta --> target ...   at most a window of unanswered steps
///                                          \-- then from the last of them to the newest that is wanted
/// </code>
/// What is wanted while the window is full, or while nobody listens, is replaced by what is wanted next. Not for
/// several threads at once.
/// </remarks>
internal sealed class SyncPlan(int window)
{
    private const string StaleBase = "StaleBaseRevision";
    private const string HeldBack = "MassChangeHeld";

    /// <summary>That of a lease among them: who is refused for it learns at the next hello whether he is let in.
    /// </summary>
    private static readonly HashSet<string> PassingCodes =
        ["NotPersisted", "InternalError", "StaleTerm", "LeaseHeld", "LeaseUnknown"];

    private readonly Queue<Step> unanswered = new();

    /// <summary>What the agent may hold after a loss: each of these was sent to it.</summary>
    private readonly List<DesiredState> candidates = [];

    private DesiredState? held;
    private DesiredState? last;
    private DesiredState? refused;
    private bool isDraining;

    public DesiredState? Wanted { get; private set; }

    /// <summary>What the agent is known to hold is what is wanted, and nothing is under way.</summary>
    public bool IsSynced => Wanted is not null && unanswered.Count == 0 && held is not null && held.Is(Wanted);

    /// <summary>What the agent holds is known here.</summary>
    public bool KnowsHeld => held is not null;

    /// <summary>A snapshot is unanswered.</summary>
    public bool AwaitsSnapshot => unanswered.Any(step => step.IsSnapshot);

    /// <exception cref="ArgumentException">
    /// It is older than what is wanted, or differs under the same revision.
    /// </exception>
    public void Want(DesiredState desired)
    {
        if (Wanted is { } now && desired.Revision <= now.Revision && !desired.Is(now))
        {
            throw new ArgumentException(
                $"revision {desired.Revision} is not newer than {now.Revision}, which is wanted", nameof(desired));
        }

        Wanted = desired;
        refused = null; // wanted again, it is tried again
    }

    public void Connected(ulong revision, ByteString hash)
    {
        held = Find(revision, hash);
        last = held;
        candidates.Clear();
    }

    public void Lost()
    {
        candidates.AddRange(unanswered.Select(step => step.Target));
        if (held is not null)
        {
            candidates.Add(held);
        }

        unanswered.Clear();
        held = null;
        isDraining = false;
    }

    /// <summary>The next step: to <c>To</c>, from a state or (null) from nothing. No <c>To</c>: none is due.</summary>
    public (DesiredState? From, DesiredState? To) Next() =>
        Wanted is null || isDraining || unanswered.Count >= window || ReferenceEquals(Wanted, refused)
        || (last is not null && last.Is(Wanted)) ? (last, null) : (last, Wanted);

    /// <returns>False: something came in between; ask for the next step again.</returns>
    public bool TrySend(DesiredState? from, Step step)
    {
        if (isDraining || unanswered.Count >= window || !ReferenceEquals(from, last))
        {
            return false;
        }

        unanswered.Enqueue(step);
        last = step.Target;
        return true;
    }

    /// <exception cref="UnexpectedAnswerException">That step was not asked for, or led elsewhere.</exception>
    public void Accept(Accepted answer)
    {
        // Steps that the agent committed together are answered with the hash of the last one.
        bool isLast = answer.CommitDeltas <= 1 || answer.CommitRevision == answer.Revision;
        if (!unanswered.TryDequeue(out Step? step) || step.Target.Revision != answer.Revision
            || (isLast && !step.Target.Hash.Equals(answer.StateHash)))
        {
            throw new UnexpectedAnswerException(
                $"the agent accepted revision {answer.Revision} of another state than was sent");
        }

        held = step.Target;
        if (unanswered.Count == 0)
        {
            (isDraining, last) = (false, held);
        }
    }

    /// <exception cref="UnexpectedAnswerException">No step was asked for.</exception>
    public (Step Step, RefusalKind Kind) Refuse(Refused answer)
    {
        Step step = Answered("refused");
        RefusalKind kind = KindOf(answer);
        if (kind == RefusalKind.Final)
        {
            refused = step.Target;
        }

        held = Find(answer.HeldRevision, answer.HeldStateHash);
        Drain();
        return (step, kind);
    }

    /// <summary>The agent holds the step back until somebody confirms it, and whatever builds on it.</summary>
    /// <exception cref="UnexpectedAnswerException">No step was asked for.</exception>
    public Step HoldBack()
    {
        Step step = Answered("holds back");
        refused = step.Target;
        Drain();
        return step;
    }

    /// <summary>What the agent held back is in force.</summary>
    public void Confirmed(ulong revision)
    {
        if (refused?.Revision == revision && unanswered.Count == 0)
        {
            (held, last, refused) = (refused, refused, null);
        }
    }

    private Step Answered(string how) => unanswered.TryDequeue(out Step? step)
        ? step : throw new UnexpectedAnswerException($"the agent {how} a step that was not sent");

    // What is under way builds on what the agent did not take.
    private void Drain()
    {
        isDraining = unanswered.Count > 0;
        last = isDraining ? last : held;
    }

    private RefusalKind KindOf(Refused answer) =>
        answer.Faults.Any(fault => PassingCodes.Contains(fault.Code)) ? RefusalKind.Passing
        : answer.Faults.Count == 1 && answer.Faults[0].Code == HeldBack && isDraining ? RefusalKind.Consequence
        : answer.Faults.Count != 1 || answer.Faults[0].Code != StaleBase ? RefusalKind.Final
        : isDraining ? RefusalKind.Consequence : RefusalKind.Overtaken;

    private DesiredState? Find(ulong revision, ByteString hash) => candidates.Append(held).Append(Wanted)
        .FirstOrDefault(state => state is not null && state.Hash.Equals(hash))?.At(revision);
}

/// <summary>The two sides do not talk about the same: the stream begins anew.</summary>
internal sealed class UnexpectedAnswerException(string message) : Exception(message);
