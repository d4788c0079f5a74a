using System.Collections.Immutable;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Tracing;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>One Sync call: what a controller sends, and the answers to it.</summary>
/// <param name="reconciler">The loop.</param>
/// <param name="snapshots">Memory for snapshots that are being sent, of all streams together.</param>
/// <param name="config">Limits.</param>
/// <param name="clock">Monotonic time.</param>
/// <param name="origin">The call's own trace.</param>
internal sealed class SyncStream(
    Reconciler reconciler, SnapshotBudget snapshots, DaemonConfig config, TimeProvider clock, TraceOrigin origin)
    : IDisposable
{
    private readonly SnapshotAssembler assembler = new(config.Limits, snapshots);

    /// <summary>Serves the call until its client ends it.</summary>
    /// <exception cref="TimeoutException">A snapshot that was begun has not ended in time.</exception>
    public async Task RunAsync(
        IAsyncStreamReader<SyncRequest> requests, IServerStreamWriter<SyncResponse> responses, CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        try
        {
            while (await requests.MoveNext(patience.Token).ConfigureAwait(false))
            {
                SyncRequest request = requests.Current;
                if (request.MessageCase == SyncRequest.MessageOneofCase.SnapshotEnd)
                {
                    patience.CancelAfter(Timeout.InfiniteTimeSpan); // to enforce it may take as long as it takes
                }

                SyncResponse? response = await AnswerAsync(request, cancel).ConfigureAwait(false);
                if (request.MessageCase == SyncRequest.MessageOneofCase.SnapshotBegin || !assembler.IsOpen)
                {
                    patience.CancelAfter(assembler.IsOpen ? config.Grpc.SnapshotTimeout : Timeout.InfiniteTimeSpan);
                }

                if (response is not null)
                {
                    await responses.WriteAsync(response, cancel).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new TimeoutException(
                $"the snapshot has not ended {config.Grpc.SnapshotTimeout.TotalSeconds} s after its beginning"
                + " and is forgotten; send it again, in one go");
        }
    }

    public void Dispose() => assembler.Dispose();

    private async Task<SyncResponse?> AnswerAsync(SyncRequest request, CancellationToken cancel) =>
        request.MessageCase switch
        {
            SyncRequest.MessageOneofCase.Hello => Hello(),
            SyncRequest.MessageOneofCase.SnapshotBegin => Refusal(assembler.Begin(request.SnapshotBegin)),
            SyncRequest.MessageOneofCase.SnapshotChunk => Refusal(assembler.Add(request.SnapshotChunk)),
            SyncRequest.MessageOneofCase.SnapshotEnd => await SnapshotAsync(request, cancel).ConfigureAwait(false),
            SyncRequest.MessageOneofCase.Delta => await DeltaAsync(request, cancel).ConfigureAwait(false),
            _ => throw new RpcException(
                new Status(StatusCode.InvalidArgument, "empty message: set one of its fields")),
        };

    private SyncResponse Hello()
    {
        AgentState state = reconciler.State;
        return new SyncResponse
        {
            Held = new Held
            {
                Revision = state.Desired.Revision,
                StateHash = ByteString.CopyFrom(state.DesiredHash),
            },
        };
    }

    private async Task<SyncResponse?> SnapshotAsync(SyncRequest request, CancellationToken cancel)
    {
        long began = clock.GetTimestamp();
        (Snapshot? snapshot, SnapshotResult read) = assembler.End(request.SnapshotEnd);
        TimeSpan took = clock.GetElapsedTime(began);
        return snapshot is null ? Refusal(read.Faults) : await StepAsync(
            answer => new AgentRequest.ApplySnapshot(snapshot, DryRun: false, NextRevision: false, answer)
            {
                Read = (read, took),
                Origin = OriginOf(request),
            }, cancel).ConfigureAwait(false);
    }

    private Task<SyncResponse> DeltaAsync(SyncRequest request, CancellationToken cancel) => StepAsync(
        answer => new AgentRequest.ApplyDelta(request.Delta, answer) { Origin = OriginOf(request) }, cancel);

    private TraceOrigin OriginOf(SyncRequest request) => request.Traceparent.Length > 0
        ? TraceOrigin.Of(request.Traceparent, request.Tracestate) : origin;

    private SyncResponse? Refusal(ImmutableArray<PolicyFault> faults) => faults.IsEmpty ? null : new SyncResponse
    {
        Refused = Answers.Refused(new ApplyOutcome.Refused(reconciler.State, faults)),
    };

    private async Task<SyncResponse> StepAsync(
        Func<TaskCompletionSource<ApplyOutcome>, AgentRequest> step, CancellationToken cancel) =>
        await reconciler.ApplyAsync(step, cancel).ConfigureAwait(false) switch
        {
            ApplyOutcome.Accepted accepted => new SyncResponse { Accepted = Answers.Accepted(accepted) },
            ApplyOutcome.Refused refused => new SyncResponse { Refused = Answers.Refused(refused) },
            _ => throw new System.Diagnostics.UnreachableException(),
        };
}
