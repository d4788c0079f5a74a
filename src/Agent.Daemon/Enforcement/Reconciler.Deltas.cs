using System.Collections.Immutable;
using System.Diagnostics;
using Agent.Contract;
using Agent.Daemon.State;
using Agent.Daemon.Tracing;
using Agent.Policy;
using Google.Protobuf;

namespace Agent.Daemon.Enforcement;

/// <content>
/// Deltas that wait become one commit: each is validated on the one before it, all are persisted by one write, and none
/// is answered before what they come to is in force.
/// </content>
internal sealed partial class Reconciler
{
    /// <summary>The first of a commit waits for the last, and memory for what is wrong with any of them.</summary>
    private const int MostFaults = 1000;

    private static readonly TimeSpan LeastValidating = TimeSpan.FromMilliseconds(50);

    /// <summary>How long the last commit took: to validate for as long at most doubles what the first waits.</summary>
    private TimeSpan lastCommit;

    /// <summary>A tick found no place in the queue, or stood between deltas.</summary>
    private volatile bool auditPutOff;

    /// <param name="Request">What was asked.</param>
    /// <param name="Before">The policy that it was validated on.</param>
    /// <param name="Read">The policy after it, or its faults.</param>
    /// <param name="Took">To validate it.</param>
    /// <param name="Span">Of this delta.</param>
    private sealed record DeltaStep(
        AgentRequest.ApplyDelta Request, PolicySnapshot Before, SnapshotResult Read, TimeSpan Took, Activity? Span)
    {
        public PolicySnapshot? After => Read.Policy;

        /// <summary>It removes so much; null: it does not.</summary>
        public MassChange? MassChange { get; init; }

        /// <summary>What it removes was not confirmed: it waits, staged.</summary>
        public bool IsHeld => MassChange is not null && !Request.Delta.ConfirmMassChange;
    }

    /// <summary>Has the loop look at the kernel soon, however long its queue is.</summary>
    public void AskForAudit()
    {
        if (!requests.Writer.TryWrite(new AgentRequest.AuditDue()))
        {
            auditPutOff = true;
        }
    }

    private void ServeTogether(AgentRequest.ApplyDelta first)
    {
        var steps = new List<DeltaStep>();
        try
        {
            Gather(first, steps);
            Answer(steps);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            steps.ForEach(step => step.Request.Answer.TrySetResult(Failed(e)));
            throw;
        }
        finally
        {
            steps.ForEach(step => step.Span?.Dispose());
        }
    }

    private void Gather(AgentRequest.ApplyDelta first, List<DeltaStep> steps)
    {
        long began = clock.GetTimestamp();
        TimeSpan most = lastCommit > LeastValidating ? lastCommit : LeastValidating;
        int faults = 0;
        PolicySnapshot policy = State.Desired;
        for (AgentRequest.ApplyDelta? next = first; next is not null;)
        {
            DeltaStep step = Validate(next, policy);
            steps.Add(step);
            if (step.IsHeld)
            {
                return; // whatever comes behind it is judged when it is known to wait
            }

            policy = step.After ?? policy;
            faults += step.Read.Faults.Length;
            next = steps.Count < QueueLength && faults < MostFaults && clock.GetElapsedTime(began) < most
                ? NextDelta() : null;
        }
    }

    // Anything but a look at the kernel keeps its place among the deltas.
    private AgentRequest.ApplyDelta? NextDelta()
    {
        while (requests.Reader.TryPeek(out AgentRequest? next)
            && next is AgentRequest.ApplyDelta or AgentRequest.AuditDue
            && requests.Reader.TryRead(out next))
        {
            if (next is AgentRequest.ApplyDelta delta)
            {
                return delta;
            }

            auditPutOff = true;
        }

        return null;
    }

    private DeltaStep Validate(AgentRequest.ApplyDelta request, PolicySnapshot held)
    {
        long started = clock.GetTimestamp();
        if (request.ReadAt is long readAt)
        {
            metrics.Waited(clock.GetElapsedTime(readAt, started));
        }

        Activity? span = Spans.Apply(request.Kind, request.Origin);
        using Activity? validate = Spans.Step("validate");
        SnapshotResult read;
        MassChange? change = null;
        try
        {
            read = Read(request, held);
            change = read.Policy is null ? null
                : MassChange.Of(held, read.Policy, request.Delta, config.MassChange);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Its own problem: those that came with it are not refused for it.
            log.LoopFailed(nameof(AgentRequest.ApplyDelta), e);
            metrics.LoopFailures.Inc();
            read = new SnapshotResult(null, Failed(e).Faults, []);
        }

        TimeSpan took = clock.GetElapsedTime(started);
        if (read.Policy is PolicySnapshot policy)
        {
            log.Validated("a delta", policy, read.Warnings.Length, took);
        }

        return new DeltaStep(request, held, read, took, span) { MassChange = change };
    }

    // Who may write is asked when the step is taken, not when it came.
    private SnapshotResult Read(AgentRequest.ApplyDelta request, PolicySnapshot held)
    {
        (PolicyFault? objection, ImmutableArray<string> warnings) = Admit(request.Claim);
        if (objection is not null)
        {
            return new SnapshotResult(null, [objection], []);
        }

        if (IsHeld(request.Delta.BaseRevision))
        {
            return new SnapshotResult(null, [FaultOfHeld(request.Delta.BaseRevision)], []);
        }

        SnapshotResult read = DeltaReader.Apply(held, request.Delta, config.Limits);
        return read with { Warnings = read.Warnings.AddRange(warnings) };
    }

    private void Answer(List<DeltaStep> steps)
    {
        DeltaStep[] valid = [.. steps.Where(step => step.After is not null && !step.IsHeld)];
        ApplyOutcome? whole = valid.Length > 0 ? Accept(valid) : null;
        foreach (DeltaStep step in steps)
        {
            ApplyOutcome outcome = whole switch
            {
                // What did not come to be held is nothing that another one may be judged by.
                ApplyOutcome.Refused lost => ReferenceEquals(step, valid[0])
                    ? lost : RefuseAll(step.Request.Delta.Revision, lost.Faults),
                _ when step.IsHeld => Hold(step),
                ApplyOutcome.Accepted done when step.After is PolicySnapshot after => done with
                {
                    Before = step.Before,
                    After = after,
                    Validate = step.Took,
                    Warnings = step.Read.Warnings.AddRange(done.Warnings),
                    Deltas = valid.Length,
                },
                _ => RefuseAll(step.Request.Delta.Revision, step.Read.Faults),
            };
            Spans.End(step.Span, outcome);
            step.Request.Answer.SetResult(outcome);
        }
    }

    private ApplyOutcome Accept(DeltaStep[] steps)
    {
        PolicySnapshot policy = steps[^1].After!;
        Spans.Carry(steps[0].Span, steps[1..].Select(step => step.Span));
        ApplyOutcome outcome = Accept(
            policy, StateHash.Of(policy), validate: default, warnings: [], epoch => Append(steps, policy, epoch),
            [.. steps.Select(step => step.After!)]);
        changed = enforcer.CleanupDue && steps[0].Span is { } span ? span.Context : default;
        if (outcome is ApplyOutcome.Accepted { Report: { } report })
        {
            lastCommit = report.Compile + report.Prove + report.Commit;
            metrics.Committed(steps.Length);
        }

        return Overtaking(outcome, steps.Select(step => step.MassChange).OfType<MassChange>(), isDelta: true);
    }

    private ApplyOutcome.Held Hold(DeltaStep step) =>
        Hold(CandidateOf(step.After!, StateHash.Of(step.After!), step.Took, step.Read), step.MassChange!);

    private void Append(DeltaStep[] steps, PolicySnapshot policy, uint epoch)
    {
        if (stateFile.WantsSnapshot)
        {
            stateFile.WriteSnapshot(epoch, SnapshotWriter.Write(policy).ToByteArray());
        }
        else if (steps is [DeltaStep one])
        {
            stateFile.AppendDelta(epoch, one.Request.Delta.ToByteArray());
        }
        else
        {
            stateFile.AppendDeltas(epoch, SavedPolicy.Format(steps.Select(step => step.Request.Delta)));
        }
    }
}
