using System.Collections.Immutable;
using System.Diagnostics;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.Tracing;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>
/// One Sync call: what a controller sends, and the answers to it. It is read on while earlier messages wait for their
/// answers, so that the loop finds several deltas at once; answers leave in the order of the messages.
/// </summary>
/// <param name="reconciler">The loop.</param>
/// <param name="controller">Its messages, and by what right they come.</param>
/// <param name="snapshots">Memory for snapshots that are being sent, of all streams together.</param>
/// <param name="config">Limits.</param>
/// <param name="clock">Monotonic time.</param>
/// <param name="metrics">Of all streams.</param>
/// <param name="origin">The call's own trace.</param>
internal sealed class SyncStream(
    Reconciler reconciler, ControllerStream controller, SnapshotBudget snapshots, DaemonConfig config,
    TimeProvider clock, SyncMetrics metrics, TraceOrigin origin) : IDisposable
{
    private readonly SnapshotAssembler assembler = new(config.Limits, snapshots);
    private readonly Unanswered unanswered = new(
        config.Grpc.MaxUnanswered, config.Grpc.MaxUnansweredBytes, metrics);
    private Task lastAnswer = Task.CompletedTask;

    /// <summary>Serves the call until its client ends it.</summary>
    /// <exception cref="TimeoutException">A snapshot that was begun has not ended in time.</exception>
    public async Task RunAsync(CancellationToken cancel)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        Task reading = ReadAsync(end.Token);
        try
        {
            await foreach (Unanswered.Question question in unanswered.AllAsync(cancel).ConfigureAwait(false))
            {
                SyncResponse response = await question.Answer().WaitAsync(cancel).ConfigureAwait(false);
                response.Unanswered = (uint)unanswered.Remove(question, response);
                TimeSpan took = clock.GetElapsedTime(question.ReadAt);
                response.Took = Duration.FromTimeSpan(took);
                metrics.Answered(took);
                await controller.WriteAsync(response, cancel).ConfigureAwait(false);
            }
        }
        finally
        {
            // Whoever takes no answers is not read either.
            await end.CancelAsync().ConfigureAwait(false);
            await reading.ConfigureAwait(false);
            unanswered.Forget();
        }
    }

    public void Dispose() => assembler.Dispose();

    // Whatever ends the reading ends the stream behind the answers to what was read.
    private async Task ReadAsync(CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        try
        {
            await unanswered.WaitForRoomAsync(cancel).ConfigureAwait(false);
            while (await controller.MoveNext(patience.Token).ConfigureAwait(false))
            {
                SyncRequest request = controller.Current;
                if (request.MessageCase == SyncRequest.MessageOneofCase.SnapshotEnd)
                {
                    patience.CancelAfter(Timeout.InfiniteTimeSpan);
                }

                await TakeAsync(request, cancel).ConfigureAwait(false);
                if (request.MessageCase == SyncRequest.MessageOneofCase.SnapshotBegin || !assembler.IsOpen)
                {
                    patience.CancelAfter(assembler.IsOpen ? config.Grpc.SnapshotTimeout : Timeout.InfiniteTimeSpan);
                }

                await unanswered.WaitForRoomAsync(cancel).ConfigureAwait(false);
            }

            unanswered.End(error: null);
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            unanswered.End(new TimeoutException(
                $"the snapshot has not ended {config.Grpc.SnapshotTimeout.TotalSeconds} s after its beginning"
                + " and is forgotten; send it again, in one go"));
        }
        catch (Exception e)
        {
            unanswered.End(e);
        }
    }

    private async Task TakeAsync(SyncRequest request, CancellationToken cancel)
    {
        switch (request.MessageCase)
        {
            case SyncRequest.MessageOneofCase.Hello:
                Hello(request.Hello, cancel);
                break;
            case SyncRequest.MessageOneofCase.SnapshotBegin:
                Refuse(assembler.Begin(request.SnapshotBegin));
                break;
            case SyncRequest.MessageOneofCase.SnapshotChunk:
                Refuse(assembler.Add(request.SnapshotChunk));
                break;
            case SyncRequest.MessageOneofCase.SnapshotEnd:
                await SnapshotAsync(request, cancel).ConfigureAwait(false);
                break;
            case SyncRequest.MessageOneofCase.Delta:
                await DeltaAsync(request, cancel).ConfigureAwait(false);
                break;
            default:
                throw new RpcException(
                    new Status(StatusCode.InvalidArgument, "empty message: set one of its fields"));
        }
    }

    // By its right comes what is read from now on. Whoever takes over is told what is held when nothing of its
    // predecessor can come any more.
    private void Hello(SyncHello hello, CancellationToken cancel)
    {
        if (controller.Hello(hello, () => reconciler.State) is { } objection)
        {
            Refuse([objection]);
            return;
        }

        ulong term = controller.Claim.Term;
        Task<AgentState>? settled = term > 0 ? reconciler.SettledAsync(cancel) : null;
        unanswered.Add(new Unanswered.Question(clock.GetTimestamp(), 0, async () => unanswered.Keep(
            Held(settled is null ? reconciler.State : await settled.ConfigureAwait(false), term))));
    }

    private SyncResponse Held(AgentState state, ulong term)
    {
        return new SyncResponse
        {
            Held = new Held
            {
                Revision = state.Desired.Revision,
                StateHash = ByteString.CopyFrom(state.DesiredHash),
                Term = term,
                MaxUnanswered = (uint)config.Grpc.MaxUnanswered,
                MaxUnansweredBytes = (ulong)config.Grpc.MaxUnansweredBytes,
            },
        };
    }

    private async Task SnapshotAsync(SyncRequest request, CancellationToken cancel)
    {
        long began = clock.GetTimestamp();
        (Snapshot? snapshot, SnapshotResult read) = assembler.End(request.SnapshotEnd);
        TimeSpan took = clock.GetElapsedTime(began);

        // It is as much as may wait: what comes behind it is not read before it is answered.
        int bytes = config.Grpc.MaxUnansweredBytes;
        if (snapshot is null)
        {
            Refuse(read.Faults, bytes);
            return;
        }

        await StepAsync(
            answer => new AgentRequest.ApplySnapshot(snapshot, DryRun: false, NextRevision: false, answer)
            {
                Read = (read, took),
                ConfirmsMassChange = request.SnapshotEnd.ConfirmMassChange,
                Origin = OriginOf(request),
                Claim = controller.Claim,
            }, began, bytes, cancel).ConfigureAwait(false);
    }

    private Task DeltaAsync(SyncRequest request, CancellationToken cancel)
    {
        long readAt = clock.GetTimestamp();
        return StepAsync(
            answer => new AgentRequest.ApplyDelta(request.Delta, answer)
            {
                Origin = OriginOf(request),
                Claim = controller.Claim,
                ReadAt = readAt,
            }, readAt, request.Delta.CalculateSize(), cancel);
    }

    private TraceOrigin OriginOf(SyncRequest request) => request.Traceparent.Length > 0
        ? TraceOrigin.Of(request.Traceparent, request.Tracestate) : origin;

    private async Task StepAsync(
        Func<TaskCompletionSource<ApplyOutcome>, AgentRequest> step, long readAt, int bytes, CancellationToken cancel)
    {
        Task<ApplyOutcome> outcome = await reconciler.SendAsync(step, cancel).ConfigureAwait(false);
        Task<SyncResponse> answer = AnswerAsync(outcome, lastAnswer);
        lastAnswer = answer;
        unanswered.Add(new Unanswered.Question(readAt, bytes, () => answer));
    }

    // As soon as it is known: what it was made of is not kept until its turn. In order: the first are kept whole.
    private async Task<SyncResponse> AnswerAsync(Task<ApplyOutcome> outcome, Task before)
    {
        await before.ConfigureAwait(false);
        return unanswered.Keep(await outcome.ConfigureAwait(false) switch
        {
            ApplyOutcome.Accepted accepted => new SyncResponse { Accepted = Answers.Accepted(accepted) },
            ApplyOutcome.Refused refused => new SyncResponse { Refused = Answers.Refused(refused) },
            ApplyOutcome.Held held => new SyncResponse { MassChange = MassChangeMessages.Of(held.State, held.Change) },
            _ => throw new UnreachableException(),
        });
    }

    private void Refuse(ImmutableArray<PolicyFault> faults, int bytes = 0)
    {
        if (!faults.IsEmpty)
        {
            AnswerInTurn(
                () => new SyncResponse
                {
                    Refused = Answers.Refused(new ApplyOutcome.Refused(reconciler.State, faults)),
                }, bytes);
        }
    }

    // It says what is held when all before it is done.
    private void AnswerInTurn(Func<SyncResponse> answer, int bytes = 0) => unanswered.Add(new Unanswered.Question(
        clock.GetTimestamp(), bytes, () => Task.FromResult(unanswered.Keep(answer()))));
}
