using System.Threading.Channels;
using Agent.Contract;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.Client;

/// <summary>
/// Keeps one agent at the newest state that is wanted: one Sync stream, opened again whenever it ends.
/// </summary>
/// <remarks>
/// After each connection the agent says what it holds. If that is a state which this stream has sent, or the wanted
/// one, a delta follows, otherwise a snapshot in chunks. Then deltas go out without waiting for each answer, up to a
/// window; what is wanted beyond that is replaced by what is wanted next. Memory is bounded by the window. Safe for
/// many threads.
/// </remarks>
public sealed class PolicyStream : IAsyncDisposable
{
    /// <summary>A heartbeat may be late, and one may be lost in a pause of its sender.</summary>
    private const int Misses = 3;

    private readonly PolicyStreamOptions options;
    private readonly AgentClient client;
    private readonly Backoff backoff;
    private readonly Lock gate = new();
    private readonly SyncPlan plan;
    private readonly List<(ulong Revision, TaskCompletionSource<StepOutcome> Done)> waiting = [];
    private readonly CancellationTokenSource stop = new();

    /// <summary>Rung when there may be something to send.</summary>
    private readonly Channel<bool> bell = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    private readonly Task running;
    private volatile StreamState state = new StreamState.Connecting();
    private int overtaken;
    private ulong term;

    private PolicyStream(AgentAddress address, PolicyStreamOptions options)
    {
        this.options = options;
        Address = address;
        client = new AgentClient(address);
        backoff = new Backoff(options.FirstDelay, options.MaxDelay, options.Random);
        plan = new SyncPlan(options.Window);
        running = RunAsync();
    }

    public AgentAddress Address { get; }

    /// <summary>The newest; <see cref="PolicyStreamOptions.OnState"/> gets each.</summary>
    public StreamState State => state;

    /// <summary>Begins to connect. Nothing is sent before a state is wanted.</summary>
    public static PolicyStream Open(AgentAddress address, PolicyStreamOptions options)
    {
        ArgumentNullException.ThrowIfNull(address);
        ArgumentNullException.ThrowIfNull(options);
        return new PolicyStream(address, options);
    }

    /// <summary>Makes this the state that the agent is brought to, in place of any that is not sent yet.</summary>
    /// <exception cref="ArgumentException">
    /// It is older than what is wanted, or differs under the same revision.
    /// </exception>
    public void Want(DesiredState desired)
    {
        ArgumentNullException.ThrowIfNull(desired);
        lock (gate)
        {
            plan.Want(desired);
        }

        bell.Writer.TryWrite(true);
    }

    /// <summary>Wants a state, and waits until it or a newer one is enforced or refused.</summary>
    /// <exception cref="ArgumentException">As <see cref="Want"/>.</exception>
    /// <exception cref="OperationCanceledException">The state is wanted nevertheless.</exception>
    public async Task<StepOutcome> ApplyAsync(DesiredState desired, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(desired);
        var done = new TaskCompletionSource<StepOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(stop.IsCancellationRequested, this);
            plan.Want(desired);
            if (plan.IsSynced)
            {
                return new StepOutcome.Accepted(desired.Revision, Answer: null);
            }

            waiting.Add((desired.Revision, done));
        }

        bell.Writer.TryWrite(true);
        try
        {
            return await done.Task.WaitAsync(cancel).ConfigureAwait(false);
        }
        finally
        {
            lock (gate)
            {
                waiting.RemoveAll(one => one.Done == done);
            }
        }
    }

    /// <summary>Enforces what the agent holds back (<see cref="StreamState.HeldBack"/>).</summary>
    /// <param name="revision">What was held back.</param>
    /// <param name="cancel">Gives up waiting; it may be enforced nevertheless.</param>
    /// <returns>The agent's answer. Refused: it holds nothing back any more, or something else.</returns>
    /// <exception cref="RpcException">The agent cannot be reached.</exception>
    public async Task<ApplyResponse> ConfirmAsync(ulong revision, CancellationToken cancel = default)
    {
        ApplyResponse answer = await client.Calls.CommitStagedAsync(
            new CommitStagedRequest
            {
                Revision = revision,
                Writer = new Writer { Controller = options.Controller, Term = Locked(() => term) },
            },
            cancellationToken: cancel).ConfigureAwait(false);
        if (answer.Accepted is { } accepted)
        {
            lock (gate)
            {
                plan.Confirmed(revision);
            }

            ReportIfSynced(accepted);
            bell.Writer.TryWrite(true);
        }

        return answer;
    }

    /// <summary>Ends the stream. The agent goes on enforcing what it holds.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!stop.IsCancellationRequested)
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await running.ConfigureAwait(false);
            client.Dispose();
            stop.Dispose();
        }
    }

    private async Task RunAsync()
    {
        await Task.Yield();
        try
        {
            await Task.Delay(options.Random.NextDouble() * options.StartWithin, options.Clock, stop.Token)
                .ConfigureAwait(false);
            while (true)
            {
                Report(new StreamState.Connecting());
                string reason = await TalkAsync(stop.Token).ConfigureAwait(false);
                stop.Token.ThrowIfCancellationRequested();
                lock (gate)
                {
                    plan.Lost();
                }

                TimeSpan delay = backoff.Next();
                Report(new StreamState.Waiting(delay, reason));
                await Task.Delay(delay, options.Clock, stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            Report(new StreamState.Stopped());
        }
        finally
        {
            Complete(ulong.MaxValue, done => done.TrySetCanceled(stop.Token));
        }
    }

    /// <summary>One connection, to its end.</summary>
    /// <returns>Why it ended.</returns>
    private async Task<string> TalkAsync(CancellationToken cancel)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        Task writing = Task.CompletedTask;
        try
        {
            using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call =
                client.Calls.Sync(cancellationToken: ending.Token);
            Greeted(await GreetAsync(call, ending.Token).ConfigureAwait(false));
            writing = WriteAsync(call.RequestStream, ending);
            while (await HearAsync(call.ResponseStream, ending.Token).ConfigureAwait(false))
            {
                Take(call.ResponseStream.Current);
            }

            return "the agent ended the stream";
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The edge of the stream: whatever it is, the other agents' streams go on, and this one says why it waits.
            await EndAsync().ConfigureAwait(false);
            Exception cause = writing.Exception?.InnerException ?? e;
            return cause is RpcException { Status.Detail: { Length: > 0 } detail } ? detail : cause.Message;
        }
        finally
        {
            await EndAsync().ConfigureAwait(false);
        }

        async Task EndAsync()
        {
            await ending.CancelAsync().ConfigureAwait(false);
            await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private Task<Held> GreetAsync(
        AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call, CancellationToken cancel) => InTimeAsync(
        options.HelloTimeout, async either =>
        {
            var hello = new SyncHello
            {
                Controller = options.Controller,
                Term = options.Term,
                Acquire = options.Acquire,
                Heartbeat = options.Heartbeat > TimeSpan.Zero ? Duration.FromTimeSpan(options.Heartbeat) : null,
            };
            Task said = call.RequestStream.WriteAsync(new SyncRequest { Hello = hello }, either);
            bool answered = await call.ResponseStream.MoveNext(either).ConfigureAwait(false); // or why not
            await said.ConfigureAwait(false);
            SyncResponse? answer = answered ? call.ResponseStream.Current : null;
            return answer?.Held ?? throw new UnexpectedAnswerException(answer?.Refused is { Faults: [var fault, ..] }
                ? $"{fault.Message} ({fault.Code})" : "the agent did not say what it holds");
        }, cancel);

    private void Greeted(Held answer)
    {
        StreamState now;
        lock (gate)
        {
            term = answer.Term;
            plan.Connected(answer.Revision, answer.StateHash);
            now = new StreamState.Connected(answer.Revision, plan.KnowsHeld);
        }

        Report(now);
        ReportIfSynced(answer: null);
    }

    private void Take(SyncResponse response)
    {
        switch (response.MessageCase)
        {
            case SyncResponse.MessageOneofCase.Accepted: TakeAccepted(response.Accepted); break;
            case SyncResponse.MessageOneofCase.Refused: TakeRefused(response.Refused); break;
            case SyncResponse.MessageOneofCase.MassChange: TakeHeldBack(response.MassChange); break;
            case SyncResponse.MessageOneofCase.LeaseLost:
                throw new UnexpectedAnswerException(
                    $"{response.LeaseLost.Controller} has taken over with term {response.LeaseLost.Term}");
            // A heartbeat has done its work by coming. What a newer agent says beyond this contract is passed over.
            default: break;
        }
    }

    private void TakeAccepted(Accepted answer)
    {
        lock (gate)
        {
            plan.Accept(answer);
        }

        overtaken = 0;
        Synced(answer.Revision, answer);
    }

    private void TakeRefused(Refused answer)
    {
        Step step;
        RefusalKind kind;
        lock (gate)
        {
            // Before its end a snapshot is refused for want of room only, and each part that follows is refused, too.
            if (plan.AwaitsSnapshot && answer.Faults.Any(fault => fault.Path is "snapshot_begin" or "snapshot_chunk"))
            {
                throw new UnexpectedAnswerException($"the agent takes no snapshot now: {answer.Faults[0].Message}");
            }

            (step, kind) = plan.Refuse(answer);
        }

        switch (kind)
        {
            case RefusalKind.Final:
                Report(new StreamState.Refused(step.Target.Revision, answer));
                var outcome = new StepOutcome.Refused(step.Target.Revision, answer);
                Complete(step.Target.Revision, done => done.TrySetResult(outcome));
                break;
            case RefusalKind.Passing:
                Report(new StreamState.Refused(step.Target.Revision, answer));
                throw new UnexpectedAnswerException($"the agent cannot take a step now: {answer.Faults[0].Message}");
            case RefusalKind.Overtaken when ++overtaken > 1:
                throw new UnexpectedAnswerException(
                    $"somebody else writes to the agent, which now holds revision {answer.HeldRevision}");
        }

        ReportIfSynced(answer: null);
        bell.Writer.TryWrite(true);
    }

    private void TakeHeldBack(MassChange answer)
    {
        Step step = Locked(plan.HoldBack);
        Report(new StreamState.HeldBack(step.Target.Revision, answer));
        var outcome = new StepOutcome.HeldBack(step.Target.Revision, answer);
        Complete(step.Target.Revision, done => done.TrySetResult(outcome));
        bell.Writer.TryWrite(true);
    }

    /// <summary>The next answer. Whoever announced heartbeats and is silent is dead.</summary>
    private Task<bool> HearAsync(IAsyncStreamReader<SyncResponse> answers, CancellationToken cancel) => InTimeAsync(
        options.Heartbeat > TimeSpan.Zero ? Misses * options.Heartbeat : Timeout.InfiniteTimeSpan,
        answers.MoveNext, cancel);

    private async Task<T> InTimeAsync<T>(
        TimeSpan patience, Func<CancellationToken, Task<T>> listen, CancellationToken cancel)
    {
        using var silence = new CancellationTokenSource(patience, options.Clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancel);
        try
        {
            return await listen(either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException
            && silence.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new TimeoutException($"the agent has said nothing for {patience.TotalSeconds:0.#} s");
        }
    }

    /// <summary>Waits for something to send, and shows meanwhile that this side is there.</summary>
    private async Task WaitForBellAsync(IClientStreamWriter<SyncRequest> requests, CancellationToken cancel)
    {
        Task<bool> rung = bell.Reader.ReadAsync(cancel).AsTask();
        while (options.Heartbeat > TimeSpan.Zero)
        {
            try
            {
                await rung.WaitAsync(options.Heartbeat, options.Clock, cancel).ConfigureAwait(false);
                return;
            }
            catch (TimeoutException)
            {
                await requests.WriteAsync(new SyncRequest { Heartbeat = new Heartbeat() }, cancel)
                    .ConfigureAwait(false);
            }
        }

        await rung.ConfigureAwait(false);
    }

    private void ReportIfSynced(Accepted? answer)
    {
        ulong revision;
        lock (gate)
        {
            if (!plan.IsSynced)
            {
                return;
            }

            revision = plan.Wanted!.Revision;
        }

        Synced(revision, answer);
    }

    private void Synced(ulong revision, Accepted? answer)
    {
        backoff.Reset();
        Report(new StreamState.Synced(revision, answer));
        Complete(revision, done => done.TrySetResult(new StepOutcome.Accepted(revision, answer)));
        bell.Writer.TryWrite(true);
    }

    private async Task WriteAsync(IClientStreamWriter<SyncRequest> requests, CancellationTokenSource ending)
    {
        try
        {
            while (true)
            {
                (DesiredState? from, DesiredState? to) = Locked(plan.Next);
                if (to is null)
                {
                    await WaitForBellAsync(requests, ending.Token).ConfigureAwait(false);
                }
                else if (from is not null && DeltaWriter.Between(from.Policy, to.Policy) is var delta
                    && delta.CalculateSize() <= options.MaxDeltaBytes)
                {
                    if (Locked(() => plan.TrySend(from, new Step(to, IsSnapshot: false))))
                    {
                        await requests.WriteAsync(new SyncRequest { Delta = delta }, ending.Token)
                            .ConfigureAwait(false);
                    }
                }
                else
                {
                    await WriteSnapshotAsync(requests, ending.Token).ConfigureAwait(false);
                }
            }
        }
        catch (Exception e) when (e is RpcException or InvalidOperationException or OperationCanceledException)
        {
            // The call has ended, and its reader is told why.
        }
        catch
        {
            await ending.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Sends the newest state whole, and waits for its answer: until then it has a slot.</summary>
    private async Task WriteSnapshotAsync(IClientStreamWriter<SyncRequest> requests, CancellationToken cancel)
    {
        SemaphoreSlim? slots = options.SnapshotSlots;
        if (slots is not null)
        {
            await slots.WaitAsync(cancel).ConfigureAwait(false);
        }

        try
        {
            (DesiredState? from, DesiredState? to) = Locked(plan.Next); // it may be another one by now
            if (to is null || !Locked(() => plan.TrySend(from, new Step(to, IsSnapshot: true))))
            {
                return;
            }

            foreach (SyncRequest part in SnapshotParts.Of(to))
            {
                await requests.WriteAsync(part, cancel).ConfigureAwait(false);
            }

            while (Locked(() => plan.AwaitsSnapshot))
            {
                await WaitForBellAsync(requests, cancel).ConfigureAwait(false);
            }
        }
        finally
        {
            slots?.Release();
        }
    }

    private T Locked<T>(Func<T> read)
    {
        lock (gate)
        {
            return read();
        }
    }

    private void Complete(ulong upTo, Action<TaskCompletionSource<StepOutcome>> complete)
    {
        lock (gate)
        {
            foreach ((_, TaskCompletionSource<StepOutcome> done) in waiting.Where(one => one.Revision <= upTo))
            {
                complete(done);
            }

            waiting.RemoveAll(one => one.Revision <= upTo);
        }
    }

    private void Report(StreamState now)
    {
        state = now;
        options.OnState?.Invoke(now);
    }
}
