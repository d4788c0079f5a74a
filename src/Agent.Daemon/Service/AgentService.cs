using Agent.Contract;
using Agent.Daemon.Access;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.Tracing;
using Agent.Evaluator;
using Agent.Evaluator.Explaining;
using Agent.Evaluator.Health;
using Agent.Policy;
using Agent.V1;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>The gRPC face: translates, asks the loop, translates back. Holds nothing.</summary>
[BindServiceMethod(typeof(WeighedMethods), nameof(WeighedMethods.Bind))]
internal sealed class AgentService(
    Reconciler reconciler, StatusReporter reporter, SessionLister sessions, MoveDesk moves, ProofDesk proofs,
    StagedDesk staged, RuleDesk rules, DropDesk drops, TopDesk top, LogDesk logs, Controllers controllers,
    ConfigDesk configs, TimeProvider clock, SyncMetrics syncs, Refusals refusals, CancellationToken stopping)
    : SecurityGroupAgent.SecurityGroupAgentBase
{
    private readonly SnapshotBudget snapshots = new(configs.Config.Grpc.MaxSnapshotBytes);

    public override async Task<ApplyResponse> ApplySnapshot(ApplySnapshotRequest request, ServerCallContext context)
    {
        if (request.Snapshot is null)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "no snapshot in the request"));
        }

        ApplyResponse? response = null;
        await ServeAsync(context, async cancel =>
        {
            ApplyOutcome outcome = await reconciler.ApplyAsync(
                answer =>
                    new AgentRequest.ApplySnapshot(request.Snapshot, request.DryRun, request.NextRevision, answer)
                    {
                        ConfirmsMassChange = request.ConfirmMassChange,
                        Origin = OriginOf(context),
                        Claim = Claims.Of(request.Writer, context),
                    },
                cancel).ConfigureAwait(false);
            response = Answers.Of(outcome);

            // Outside the loop: a long look at what would change holds up nothing that does.
            if (outcome is ApplyOutcome.Accepted { Compiled: { } compiled } dry)
            {
                response.Accepted.Difference = await staged.DifferenceAsync(
                    reconciler.State, dry.After, compiled, request.DifferenceLimit, cancel).ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
        return response!;
    }

    public override async Task<StageResponse> StageSnapshot(StageSnapshotRequest request, ServerCallContext context)
    {
        if (request.Snapshot is null)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "no snapshot in the request"));
        }

        StageResponse? response = null;
        await ServeAsync(context, async cancel =>
        {
            ApplyOutcome outcome = await reconciler.ApplyAsync(
                answer => new AgentRequest.Stage(request.Snapshot, request.NextRevision, answer)
                {
                    Origin = OriginOf(context),
                    Claim = Claims.Of(request.Writer, context),
                },
                cancel).ConfigureAwait(false);
            response = outcome is ApplyOutcome.Refused refused
                ? new StageResponse { Refused = Answers.Refused(refused) }
                : new StageResponse
                {
                    Staged = await staged.ReportAsync(reconciler.State, request.Limit, cancel).ConfigureAwait(false),
                };
        }).ConfigureAwait(false);
        return response!;
    }

    public override async Task<StagedReport> GetStaged(GetStagedRequest request, ServerCallContext context)
    {
        StagedReport? report = null;
        await ServeAsync(context, async cancel => report =
            await staged.ReportAsync(reconciler.State, request.Limit, cancel).ConfigureAwait(false))
            .ConfigureAwait(false);
        return report!;
    }

    public override async Task<ApplyResponse> CommitStaged(CommitStagedRequest request, ServerCallContext context)
    {
        ApplyResponse? response = null;
        await ServeAsync(context, async cancel => response = Answers.Of(await reconciler.ApplyAsync(
            answer => new AgentRequest.CommitStaged(request.Revision, answer)
            {
                Origin = OriginOf(context),
                Claim = Claims.Of(request.Writer, context),
            },
            cancel).ConfigureAwait(false)))
            .ConfigureAwait(false);
        return response!;
    }

    public override async Task<DiscardStagedResponse> DiscardStaged(
        DiscardStagedRequest request, ServerCallContext context)
    {
        StagedPolicy? gone = null;
        PolicyFault? objection = null;
        await ServeAsync(context, async cancel => (gone, objection) = await reconciler.DiscardStagedAsync(
            Claims.Of(request.Writer, context), cancel).ConfigureAwait(false)).ConfigureAwait(false);
        if (objection is not null)
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"{objection}"));
        }

        return new DiscardStagedResponse { Revision = gone?.Policy.Revision ?? 0 };
    }

    public override Task Sync(
        IAsyncStreamReader<SyncRequest> requestStream, IServerStreamWriter<SyncResponse> responseStream,
        ServerCallContext context) => ServeAsync(context, async cancel =>
    {
        await using ControllerStream controller = controllers.Open(
            requestStream, responseStream, Claims.CallerOf(context), context.CancellationToken);
        using var stream = new SyncStream(
            reconciler, controller, snapshots, configs.Config, clock, syncs, OriginOf(context, isStream: true));
        try
        {
            await stream.RunAsync(cancel).ConfigureAwait(false);
        }
        catch (TimeoutException e)
        {
            refusals.Add(
                context.GetHttpContext().Features.Get<Guest>()?.Listener ?? "", Access.Refusal.Timeout, e.Message);
            throw new RpcException(new Status(StatusCode.DeadlineExceeded, e.Message));
        }
    });

    public override Task<Snapshot> GetState(GetStateRequest request, ServerCallContext context) =>
        Task.FromResult(SnapshotWriter.Write(reconciler.State.Desired));

    public override Task<AgentStatus> GetStatus(GetStatusRequest request, ServerCallContext context) =>
        Task.FromResult(reporter.Report(reconciler.State, request.Groups));

    public override Task WatchStatus(
        GetStatusRequest request, IServerStreamWriter<AgentStatus> responseStream, ServerCallContext context) =>
        ServeAsync(context, async cancel =>
        {
            AgentState state = reconciler.State;
            while (true)
            {
                await responseStream.WriteAsync(reporter.Report(state, request.Groups), cancel).ConfigureAwait(false);
                state = await reconciler.WaitForStateAsync(state.Version, cancel).ConfigureAwait(false);
            }
        });

    public override Task<ExplainResponse> Explain(ExplainRequest request, ServerCallContext context)
    {
        AgentState state = reconciler.State;
        KernelView? kernel = state.Enforced is null ? null
            : new KernelView(state.Enforced.Ruleset, state.Enforced.Zones, state.Links.BridgePorts);
        return Explainer.Explain(state.Desired, configs.Config.Semantics, request, kernel) switch
        {
            ExplainAnswer.Explained explained => Task.FromResult(explained.Response),
            ExplainAnswer.UnknownVnic unknown =>
                throw new RpcException(new Status(StatusCode.NotFound, unknown.Message)),
            ExplainAnswer.Invalid invalid =>
                throw new RpcException(new Status(StatusCode.InvalidArgument, invalid.Message)),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    public override Task<Analysis> Analyze(AnalyzeRequest request, ServerCallContext context) =>
        Task.FromResult(RuleHealth.Of(reconciler.State.Desired, configs.Config.Semantics));

    public override async Task<VerifyResponse> Verify(VerifyRequest request, ServerCallContext context)
    {
        PolicySnapshot desired = reconciler.State.Desired;
        string? stranger = request.Vnics.FirstOrDefault(name => desired.FindVnic(name) is null);
        if (stranger is not null)
        {
            throw SessionMessages.NoVnic(stranger);
        }

        VerifyResponse? response = null;
        await ServeAsync(context, async cancel =>
            response = await proofs.VerifyAsync(request, cancel).ConfigureAwait(false)).ConfigureAwait(false);
        return response!;
    }

    public override async Task<VnicRules> ListRules(ListRulesRequest request, ServerCallContext context) =>
        await rules.ListAsync(reconciler.State, request.Vnic).ConfigureAwait(false)
            ?? throw new RpcException(new Status(StatusCode.NotFound, $"no vNIC '{request.Vnic}' is enforced"));

    public override Task ListSessions(
        ListSessionsRequest request, IServerStreamWriter<SessionStatus> responseStream, ServerCallContext context) =>
        ServeAsync(context, cancel => sessions.ListAsync(request, responseStream, cancel));

    public override async Task<ExportedSessions> ExportSessions(
        ExportSessionsRequest request, ServerCallContext context)
    {
        ExportedSessions? exported = null;
        await ServeAsync(context, async cancel => exported = await moves.ExportAsync(
            request, reconciler.State.AppliedRevision, cancel).ConfigureAwait(false)).ConfigureAwait(false);
        return exported!;
    }

    public override Task<ImportSessionsResponse> ImportSessions(
        ImportSessionsRequest request, ServerCallContext context) => moves.ImportAsync(request);

    public override Task WatchDrops(
        WatchDropsRequest request, IServerStreamWriter<DropRecord> responseStream, ServerCallContext context) =>
        ServeAsync(context, cancel => drops.WatchAsync(request, responseStream, cancel));

    public override Task WatchTop(
        WatchTopRequest request, IServerStreamWriter<TopReport> responseStream, ServerCallContext context) =>
        ServeAsync(context, cancel => top.WatchAsync(request, responseStream, cancel));

    public override Task<LogLevelStatus> GetLogLevel(GetLogLevelRequest request, ServerCallContext context) =>
        Task.FromResult(logs.Get());

    public override Task<LogLevelStatus> SetLogLevel(SetLogLevelRequest request, ServerCallContext context) =>
        Task.FromResult(logs.Set(request));

    public override Task<EffectiveConfig> GetConfig(GetConfigRequest request, ServerCallContext context) =>
        Task.FromResult(configs.Report());

    private static TraceOrigin OriginOf(ServerCallContext context, bool isStream = false) => TraceOrigin.Of(
        context.RequestHeaders.GetValue("traceparent"), context.RequestHeaders.GetValue("tracestate"), isStream);

    // A stream may stay open for months: a stop must not wait for it.
    private async Task ServeAsync(ServerCallContext context, Func<CancellationToken, Task> serve)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, stopping);
        try
        {
            await serve(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            throw new RpcException(new Status(
                StatusCode.Unavailable, "the agent is stopping; the kernel goes on enforcing, connect again"));
        }
        catch (Exception e) when (
            e is InvalidOperationException or IOException && context.CancellationToken.IsCancellationRequested)
        {
            // Written to, between its leaving and our hearing of it: no fault of anybody.
            throw new RpcException(new Status(StatusCode.Cancelled, "the client has left", e));
        }
    }
}
