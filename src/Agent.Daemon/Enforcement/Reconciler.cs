using System.Collections.Immutable;
using System.Diagnostics;
using System.Threading.Channels;
using Agent.Compiler;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Daemon.State;
using Agent.Daemon.Supervision;
using Agent.Daemon.Tracing;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// The one loop: everything that changes what is enforced goes through it, one thing after the other.
/// </summary>
internal sealed partial class Reconciler(
    Enforcer enforcer, StateFile stateFile, DaemonConfig config, TimeProvider clock, ILogger log, AgentMetrics metrics)
{
    private const int QueueLength = 4096;

    /// <summary>Between a switch and its cleaning up: longer than any packet takes through a chain.</summary>
    private static readonly TimeSpan CleanupDelay = TimeSpan.FromMilliseconds(3);

    /// <summary>What the kernel did not take is tried again after so long, twice as long each time.</summary>
    private static readonly TimeSpan RetryFirst = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan RetryLast = TimeSpan.FromMinutes(1);

    private readonly Channel<AgentRequest> requests = Channel.CreateBounded<AgentRequest>(
        new BoundedChannelOptions(QueueLength) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly StateFeed feed = new();

    /// <summary>Where the loop is, for who watches over it.</summary>
    public LoopProgress Progress { get; init; } = new(clock);

    private bool adoptUntouched;
    private readonly RealisationBook realisation = new(clock, metrics.Realisation, config.Verify != VerifyMode.Off);
    private readonly Adoptions adoptions = new(config.AdoptionWindow, clock);

    /// <summary>What was found at the start, and stays true.</summary>
    private ImmutableArray<string> standing = [];
    private TimeSpan retryDelay = RetryFirst;
    private long? retryAt;
    private bool failedWhole;
    private bool bridged;
    private long verifyAt;

    /// <summary>Span of the change that is to be cleaned up after; default: none.</summary>
    private ActivityContext changed;

    /// <summary>The newest state.</summary>
    public AgentState State => feed.State;

    public ChannelWriter<AgentRequest> Requests => requests.Writer;

    /// <summary>Ends when a state newer than <paramref name="version"/> is published.</summary>
    public Task<AgentState> WaitForStateAsync(long version, CancellationToken cancel) =>
        feed.WaitForAsync(version, cancel);

    /// <summary>Sends a step and waits for its answer.</summary>
    public async Task<ApplyOutcome> ApplyAsync(
        Func<TaskCompletionSource<ApplyOutcome>, AgentRequest> step, CancellationToken cancel)
    {
        Task<ApplyOutcome> answer = await SendAsync(step, cancel).ConfigureAwait(false);
        return await answer.WaitAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Sends a step; ends when it has its place in the queue.</summary>
    /// <returns>Its answer, which does not come if the loop ends before.</returns>
    public async Task<Task<ApplyOutcome>> SendAsync(
        Func<TaskCompletionSource<ApplyOutcome>, AgentRequest> step, CancellationToken cancel)
    {
        var answer = new TaskCompletionSource<ApplyOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        await requests.Writer.WriteAsync(step(answer), cancel).ConfigureAwait(false);
        return answer.Task;
    }

    /// <summary>Reads everything back, between two requests.</summary>
    public async Task<ReadBack> VerifyAsync(CancellationToken cancel)
    {
        var answer = new TaskCompletionSource<ReadBack>(TaskCreationOptions.RunContinuationsAsynchronously);
        await requests.Writer.WriteAsync(new AgentRequest.Verify(answer), cancel).ConfigureAwait(false);
        return await answer.Task.WaitAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Adds something that a person should know. Call before <see cref="Start"/>.</summary>
    public void Alarm(IEnumerable<string> texts) => standing = standing.AddRange(texts);

    /// <summary>Enforces what was persisted. Call before anything is served.</summary>
    public void Start(HostLinks links, string version, string kernel)
    {
        (PolicySnapshot policy, uint epoch) = Load();
        metrics.Accepted(stateFile.WrittenAt);
        realisation.Begin(stateFile.WrittenAt);
        LookAtDisk();
        Publish(State with
        {
            Desired = policy,
            DesiredHash = StateHash.Of(policy),
            DesiredAt = stateFile.WrittenAt is { } written && policy.Revision > 0 ? Moment.Of(written, clock) : null,
            Links = links,
            Alarms = Standing,
        });
        if (policy.Revision > 0)
        {
            enforcer.Anticipate(policy, Host(), epoch);
        }

        bool adopted = enforcer.Adopt(epoch);
        RemoveLeftover();

        // Without a policy to enforce, a ruleset that is there is the best that is known: it stays as it is.
        adoptUntouched = adopted && policy.Revision == 0;
        if (!adoptUntouched)
        {
            TryEnforce(policy, State.DesiredHash);
            verifyAt = After(config.VerifyInterval); // all was read just now
        }

        log.Started(version, kernel, policy.Revision, policy.Vnics.Count,
            adoptUntouched ? "found and left alone" : adopted ? "adopted" : "new");
    }

    /// <summary>Serves requests until cancelled. The kernel goes on enforcing.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        try
        {
            Progress.Rest();
            while (await requests.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
            {
                while (requests.Reader.TryRead(out AgentRequest? request))
                {
                    Progress.Begin(request.GetType().Name);
                    Serve(request);
                    if (enforcer.CleanupDue)
                    {
                        await Task.Delay(CleanupDelay, clock, cancel).ConfigureAwait(false);
                        CleanUp();
                    }

                    if (auditPutOff)
                    {
                        auditPutOff = false;
                        Serve(new AgentRequest.AuditDue());
                    }
                }

                Progress.Rest();
            }
        }
        catch (OperationCanceledException)
        {
            CleanUp();
            Unstage();
            log.Stopping(State.AppliedRevision);
        }
    }

    private void CleanUp()
    {
        using Activity? span = Spans.CleanUp(changed);
        changed = default;
        try
        {
            if (!enforcer.Cleanup())
            {
                PlanRetry(whole: false); // or it would stay until something else changes
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The edge of the loop again: what is left over is found by the next plan.
            enforcer.Distrust();
            PlanRetry(whole: false);
            log.LoopFailed(nameof(CleanUp), e);
            metrics.LoopFailures.Inc();
        }
    }

    private void Serve(AgentRequest request)
    {
        try
        {
            switch (request)
            {
                case AgentRequest.ApplyDelta first: ServeTogether(first); break;
                case AgentRequest.Apply step: step.Answer.SetResult(AnswerOwner(step)); break;
                case AgentRequest.DiscardStaged ask: ask.Answer.SetResult(Discard(ask)); break;
                case AgentRequest.Settle ask: ask.Answer.SetResult(State); break;
                case AgentRequest.StatusChanged: Publish(State); break;
                case AgentRequest.Verify ask: ask.Answer.SetResult(Verify()); break;
                case AgentRequest.Proved late: Take(late.Result); break;
                case AgentRequest.DriftExplained late: Take(late.Drift); break;
                case AgentRequest.ForeignFound found: Take(found.Hooks); break;
                case AgentRequest.LinksChanged links: Follow(links.Links); break;
                case AgentRequest.AuditDue: Audit(); break;
                case AgentRequest.Reconfigure ask:
                    Reconfigure(ask.Config);
                    ask.Answer.SetResult(State);
                    break;
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The edge of the loop: report, and keep enforcing what is enforced.
            enforcer.Distrust();
            PlanRetry(whole: true);
            log.LoopFailed(request.GetType().Name, e);
            metrics.LoopFailures.Inc();
            (request as AgentRequest.Verify)?.Answer.TrySetException(e);
            (request as AgentRequest.Reconfigure)?.Answer.TrySetResult(State); // taken; enforcing is tried again
            (request as AgentRequest.DiscardStaged)?.Answer.TrySetException(e);
            if (request is AgentRequest.Apply { Answer: { Task.IsCompleted: false } answer })
            {
                answer.SetResult(Failed(e));
            }
        }
    }

    private ApplyOutcome.Refused Failed(Exception e) => Refuse(
        "revision", "InternalError", e.Message, "See the agent's log; the previous policy is still enforced.");

    private ApplyOutcome Answer(AgentRequest.Apply change)
    {
        using Activity? span = Spans.Apply(change.Kind, change.Origin);
        ApplyOutcome outcome = change switch
        {
            AgentRequest.ApplySnapshot step => Apply(step),
            AgentRequest.Stage step => Stage(step),
            AgentRequest.CommitStaged step => Commit(step),
            _ => throw new UnreachableException(),
        };
        Spans.End(span, outcome);
        changed = enforcer.CleanupDue && span is not null ? span.Context : default;
        return outcome;
    }

    private ApplyOutcome Apply(AgentRequest.ApplySnapshot step)
    {
        (Candidate? candidate, ApplyOutcome.Refused? refused) = Validate(
            step.Snapshot, step.NextRevision, step.Read);
        if (candidate is null)
        {
            return refused!;
        }

        MassChange? change = MassChange.Of(State.Desired, candidate.Policy, config.MassChange);
        if (step.DryRun)
        {
            CompiledRuleset compiled = enforcer.Compile(candidate.Policy, Host());
            return new ApplyOutcome.Accepted(
                State with { Failed = compiled.Failed }, State.Desired, candidate.Policy, null, candidate.Took, default,
                change is null ? candidate.Warnings : candidate.Warnings.Add($"would be held: it {change.Summary}"),
                Unchanged: true)
            {
                Compiled = compiled,
            };
        }

        return change is not null && !step.ConfirmsMassChange
            ? Hold(candidate, change) : Overtaking(Take(candidate), change is null ? [] : [change]);
    }

    private ApplyOutcome Take(Candidate candidate) => Accept(
        candidate.Policy, candidate.Hash, candidate.Took, candidate.Warnings,
        epoch => stateFile.WriteSnapshot(epoch, candidate.Snapshot.ToByteArray()));

    private (Candidate? Candidate, ApplyOutcome.Refused? Refused) Validate(
        Snapshot snapshot, bool nextRevision, (SnapshotResult Result, TimeSpan Took)? known = null)
    {
        using Activity? span = Spans.Step("validate");
        long started = clock.GetTimestamp();
        if (nextRevision)
        {
            if (State.Desired.Revision == ulong.MaxValue)
            {
                return (null, Refuse("revision", "InvalidRevision", "no number is left for the next revision",
                    "Remove the state file, and send the state with a small revision."));
            }

            snapshot = snapshot.Clone();
            snapshot.Revision = State.Desired.Revision + 1;
        }

        SnapshotResult read = known?.Result ?? SnapshotReader.Read(snapshot, config.Limits);
        if (read.Policy is not PolicySnapshot policy)
        {
            return (null, RefuseAll(snapshot.Revision, read.Faults));
        }

        byte[] hash = StateHash.Of(policy);
        bool same = hash.AsSpan().SequenceEqual(State.DesiredHash);
        if (policy.Revision <= State.Desired.Revision && !(same && policy.Revision == State.Desired.Revision))
        {
            return (null, Refuse("revision", "StaleRevision",
                $"revision {policy.Revision} is not newer than {State.Desired.Revision}, which the agent holds",
                "Send a greater revision."));
        }

        TimeSpan took = clock.GetElapsedTime(started) + (known?.Took ?? TimeSpan.Zero);
        log.Validated("a snapshot", policy, read.Warnings.Length, took);
        return (new Candidate(snapshot, policy, hash, took, read.Warnings), null);
    }

    private void Persist(Action<uint> write)
    {
        using Activity? span = Spans.Step("persist");
        Progress.Begin("persist");
        write(enforcer.Epoch);
    }

    private ApplyOutcome Accept(
        PolicySnapshot policy, byte[] hash, TimeSpan validate, ImmutableArray<string> warnings, Action<uint> persist,
        IReadOnlyList<PolicySnapshot>? deltas = null)
    {
        PolicySnapshot before = State.Desired;
        long started = clock.GetTimestamp();
        try
        {
            Persist(persist);
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            metrics.PersistFailures.Inc();
            NotSaved(e.Message);
            return Refuse("state", "NotPersisted", e.Message,
                "Free or repair the state directory; the previous policy is still enforced.");
        }

        TimeSpan persisted = clock.GetElapsedTime(started);
        log.Persisted(policy.Revision, persisted.TotalMilliseconds);
        Saved();
        Replaced(policy.Revision);
        var accepted = Moment.Now(clock);
        metrics.Accepted(accepted.Time);
        bool unchanged = hash.AsSpan().SequenceEqual(State.DesiredHash) && State.AppliedRevision > 0
            && State.Failed.IsEmpty;
        Publish(State with
        {
            Desired = policy,
            DesiredHash = hash,
            DesiredAt = accepted,
            Realisation = realisation.Accepted(State.Realisation, before, policy, deltas),
        });
        adoptions.Begin(before, policy, State.Links);
        EnforcementReport? report = TryEnforce(policy, hash);
        return new ApplyOutcome.Accepted(State, before, policy, report, validate, persisted, warnings, unchanged);
    }

    private EnforcementReport? TryEnforce(PolicySnapshot policy, byte[] hash)
    {
        adoptUntouched = false;
        using Activity? span = Spans.Reconcile();
        try
        {
            enforcer.Adopting = adoptions.Vnics;
            EnforcementReport report = enforcer.Enforce(policy, Host());
            ImmutableSortedDictionary<string, string> failed = enforcer.Enforced!.Failed;
            foreach ((string vnic, string reason) in failed)
            {
                log.VnicFailed(vnic, reason);
            }

            Publish(State with
            {
                Desired = policy,
                DesiredHash = hash,
                AppliedRevision = policy.Revision,
                AppliedAt = clock.GetUtcNow(),
                Failed = failed,
                Generation = enforcer.Generation,
                Epoch = enforcer.Epoch,
                Enforced = enforcer.Enforced,
                Alarms = Standing,
                Verification = report.Verification ?? State.Verification,
                Proof = report.Proof ?? State.Proof,
                Realisation = realisation.Enforced(State.Realisation, enforcer.Enforced, report.Proof),
                Drift = report.Drift is { } drift ? Repaired(drift) : State.Drift,
            });
            log.Enforced(policy.Revision, report.Messages, report.Bytes, report.Transactions,
                report.Compile.TotalMilliseconds, report.Prove.TotalMilliseconds, report.Commit.TotalMilliseconds,
                report.Revalidated);
            metrics.Enforced(report, State);
            if (failed.IsEmpty)
            {
                (retryAt, retryDelay, failedWhole) = (null, RetryFirst, false);
            }
            else
            {
                PlanRetry(whole: false);
            }

            Spans.End(span, report, isDone: true);
            return report;
        }
        catch (Exception e) when (e is EnforcementFailedException or Netlink.NetlinkException)
        {
            enforcer.Distrust();
            Found(enforcer.Found);
            PlanRetry(whole: true);
            log.NotEnforced(policy.Revision, e.Message);
            Spans.End(span, report: null, isDone: false);
            metrics.CommitFailures.Inc();
            Publish(State with
            {
                Alarms = Standing.Add($"revision {policy.Revision} is not in force, and is tried again: {e.Message}"),
                Failed = policy.Vnics.Keys.ToImmutableSortedDictionary(
                    id => id, _ => e.Message, StringComparer.Ordinal),
            });
            return null;
        }
    }

    private long After(TimeSpan delay) => clock.GetTimestamp() + (long)(delay.TotalSeconds * clock.TimestampFrequency);

    private ReadBack Verify()
    {
        verifyAt = After(config.VerifyInterval);
        VerificationResult result = enforcer.Verify();
        if (adoptUntouched)
        {
            result = result with { Outcome = VerifyOutcome.Unknown }; // there is nothing to compare it with
        }

        var reading = new ReadBack(result, enforcer.Observed, enforcer.Enforced);
        Publish(State with { Verification = result, Generation = enforcer.Generation });
        metrics.Verified(result);
        if (result.Outcome != VerifyOutcome.Verified && !adoptUntouched)
        {
            log.Mismatch(result.Detail);
            TryEnforce(State.Desired, State.DesiredHash);
        }

        return reading;
    }

    private void PlanRetry(bool whole)
    {
        failedWhole = whole;
        retryAt = After(retryDelay);
        retryDelay = TimeSpan.FromTicks(Math.Min(2 * retryDelay.Ticks, RetryLast.Ticks));
    }

    private ApplyOutcome.Refused Refuse(string path, string code, string message, string remedy) =>
        RefuseAll(0, [new PolicyFault(path, code, message, remedy)]);

    private ApplyOutcome.Refused RefuseAll(ulong revision, ImmutableArray<PolicyFault> faults)
    {
        log.Refused(revision, faults.Length, faults.Length > 0 ? faults[0].ToString() : "");
        metrics.Refusals.Inc();
        return new ApplyOutcome.Refused(State, faults);
    }

    private void Publish(AgentState state) => feed.Publish(state);
}
