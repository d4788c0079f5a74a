using Agent.Contract;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.V1;

namespace Agent.Tests.Simulation.Host;

/// <summary>A step that was sent, and what may have come back.</summary>
internal sealed record SentStep(Snapshot Target, string What, Claim By, Task<ApplyOutcome> Answer)
{
    /// <summary>A newer term was granted before it was taken.</summary>
    public bool IsFenced { get; set; }
}

/// <summary>
/// Wants one state after the other, and a network that loses, repeats and reorders what it sends. It trusts what it
/// was told to be held.
/// </summary>
internal sealed class SimulatedController(Fate fate, IHostWatch watch, Election election)
{
    private const int MostOnWire = 6;
    private readonly Dictionary<ulong, byte[]> hashes = [];
    private readonly List<(Snapshot Target, Claim By, Func<AgentRequest.Apply> Message, string What)> wire = [];
    private readonly List<SentStep> sent = [];
    private Snapshot wanted = new();
    private Snapshot? last;

    /// <summary>The newest revision that was said to be accepted, or that an agent said it holds.</summary>
    public ulong Acknowledged { get; private set; }

    public Snapshot Wanted => wanted;

    /// <summary>Requests that arrived so far.</summary>
    public int Sent { get; private set; }

    /// <summary>A step that was taken although a newer term had been granted; null: none was.</summary>
    public string? Unfenced { get; private set; }

    /// <summary>Nothing of it is under way.</summary>
    public bool IsQuiet => sent.Count == 0 && wire.Count == 0;

    /// <summary>The agent has begun, and says what it holds.</summary>
    /// <returns>What is wrong with that; null if nothing is.</returns>
    public string? Connected(AgentState state)
    {
        string? lost = Check(state);
        if (!state.Alarms.Any(alarm => alarm.Contains("cannot be saved", StringComparison.Ordinal)))
        {
            Acknowledged = Math.Max(Acknowledged, state.Desired.Revision);
        }

        wire.Clear();
        last = null;
        return lost;
    }

    /// <summary>The agent could not read what it holds, and says so: it begins with nothing.</summary>
    public void Forgive() => Acknowledged = 0;

    /// <summary>The elected one opens its stream; what the other one sent is worth nothing from then on.</summary>
    /// <returns>What is wrong with the answer; null if nothing is.</returns>
    public string? Hello()
    {
        ulong before = election.Granted;
        string? wrong = election.Hello();
        if (election.Granted > before)
        {
            last = null;
            foreach (SentStep step in sent.Where(step => !step.Answer.IsCompleted))
            {
                step.IsFenced |= step.By.Term < election.Granted;
            }
        }

        return wrong;
    }

    /// <summary>The one that was replaced goes on by itself, from what it knew.</summary>
    public void SendReplaced(Reconciler loop)
    {
        if (election.Replaced is { } by && by.Term < election.Granted && wanted.Revision > 0)
        {
            Snapshot own = SmallStates.Next(wanted, fate.Random);
            watch.Tell($"{by.Controller}, which was replaced, sends revision {own.Revision}");
            Hand(loop, own, by, "its snapshot", new AgentRequest.ApplySnapshot(
                own, DryRun: false, NextRevision: false, Answer())
            { ConfirmsMassChange = true });
        }
    }

    /// <summary>The agent has ended: answers that it gave are known, others will never come.</summary>
    public void Disconnected()
    {
        _ = TakeAnswers();
        sent.Clear();
        wire.Clear();
        last = null;
    }

    /// <returns>Why that cannot be what it holds; null if it can.</returns>
    public string? Check(AgentState state)
    {
        ulong revision = state.Desired.Revision;
        return revision < Acknowledged ? $"revision {Acknowledged} was acknowledged, and {revision} is held"
            : revision > 0 && !hashes.GetValueOrDefault(revision, []).AsSpan().SequenceEqual(state.DesiredHash)
                ? $"revision {revision} is held, and is another state than was sent" : null;
    }

    public bool Holds(AgentState state) => wanted.Revision > 0 && state.Desired.Revision == wanted.Revision
        && state.DesiredHash.AsSpan().SequenceEqual(hashes[wanted.Revision]);

    public void WantMore()
    {
        wanted = wanted.Revision == 0 ? SmallStates.First(fate.Random) : SmallStates.Next(wanted, fate.Random);
        PolicySnapshot policy = DeltaTests.Read(wanted);
        hashes[wanted.Revision] = StateHash.Of(policy);
    }

    /// <summary>Puts the way to what is wanted on the wire: a delta from what was sent last, or all of it.</summary>
    public void Send()
    {
        if (wanted.Revision == 0 || wire.Count >= MostOnWire || last?.Revision == wanted.Revision)
        {
            return;
        }

        Snapshot target = wanted;
        Claim by = election.Leader;
        if (last is { } from && fate.Pick(6) > 0)
        {
            Delta delta = RandomStates.Between(from, target, fate.Random);
            delta.ConfirmMassChange = fate.IsCalm || fate.Pick(2) == 0;
            wire.Add((target, by, () => new AgentRequest.ApplyDelta(delta.Clone(), Answer()),
                $"delta {from.Revision} to"));
        }
        else
        {
            bool confirms = fate.IsCalm || fate.Pick(2) == 0;
            wire.Add((target, by, () => new AgentRequest.ApplySnapshot(
                target.Clone(), DryRun: false, NextRevision: false, Answer())
            { ConfirmsMassChange = confirms },
                "snapshot"));
        }

        last = target;
    }

    /// <summary>What arrives, in whatever order, once, twice or never.</summary>
    public void Deliver(Reconciler loop)
    {
        if (fate.Strikes(10) && wire.Count > 1)
        {
            watch.Tell("the network reorders");
            wire.Reverse();
        }

        while (wire.Count > 0 && !fate.Strikes(15))
        {
            (Snapshot target, Claim by, Func<AgentRequest.Apply> message, string what) = wire[0];
            wire.RemoveAt(0);
            if (fate.Strikes(5))
            {
                watch.Tell($"the network loses {what} {target.Revision}");
                last = null; // somebody notices, and all is sent anew
                continue;
            }

            for (int times = fate.Strikes(8) ? 2 : 1; times > 0; times--)
            {
                watch.Tell($"{what} {target.Revision} arrives");
                Hand(loop, target, by, what, message());
            }
        }
    }

    private void Hand(Reconciler loop, Snapshot target, Claim by, string what, AgentRequest.Apply request)
    {
        sent.Add(new SentStep(target, what, by, request.Answer.Task) { IsFenced = by.Term < election.Granted });
        election.Arrives(by);
        loop.Requests.TryWrite(request with { Claim = by });
        Sent++;
    }

    /// <returns>What is wrong with an answer; null if nothing is.</returns>
    public string? TakeAnswers()
    {
        foreach (SentStep step in sent.Where(step => step.Answer.IsCompletedSuccessfully).ToArray())
        {
            sent.Remove(step);
            switch (step.Answer.Result)
            {
                case ApplyOutcome.Accepted or ApplyOutcome.Held when step.IsFenced:
                    Unfenced ??= $"{step.What} {step.Target.Revision} of term {step.By.Term} is taken, and "
                        + $"{election.Granted} was granted";
                    break;
                case ApplyOutcome.Accepted accepted:
                    watch.Tell($"{step.What} {step.Target.Revision} is accepted");
                    Acknowledged = Math.Max(Acknowledged, step.Target.Revision);
                    if (accepted.After.Revision != step.Target.Revision
                        || !StateHash.Of(accepted.After).AsSpan().SequenceEqual(hashes[step.Target.Revision]))
                    {
                        return $"{step.What} {step.Target.Revision} came to another state";
                    }

                    break;
                case ApplyOutcome.Refused refused:
                    watch.Tell($"{step.What} {step.Target.Revision} is refused: {refused.Faults[0].Code}");
                    last = null;
                    if (refused.Faults[0].Code is "StaleTerm" or "LeaseHeld" ? step.By.Term >= election.Seen
                        : refused.Faults[0].Code is not ("StaleBaseRevision" or "StaleRevision" or "NotPersisted"
                        or "MassChangeHeld" or "InternalError" or "LeaseUnknown"))
                    {
                        return $"a valid step is refused: {refused.Faults[0]}";
                    }

                    break;
                case ApplyOutcome.Held held:
                    watch.Tell($"{step.What} {held.Change.Revision} is held");
                    last = null;
                    break;
            }
        }

        return null;
    }

    private static TaskCompletionSource<ApplyOutcome> Answer() =>
        new(TaskCreationOptions.RunContinuationsAsynchronously);
}
