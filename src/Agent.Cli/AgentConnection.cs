using System.Net.Sockets;
using Agent.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace Agent.Cli;

/// <summary>gRPC over the agent's Unix socket; what goes wrong becomes a sentence with a way out.</summary>
internal sealed class AgentConnection : IDisposable
{
    /// <summary>For questions. A change may take as long as it takes.</summary>
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(30);

    private readonly string path;
    private readonly GrpcChannel channel;
    private readonly SecurityGroupAgent.SecurityGroupAgentClient client;
    private SocketException? refusal;

    public AgentConnection(string path)
    {
        this.path = path;
        UnixDomainSocketEndPoint end = EndPointOf(path);
        channel = GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions
        {
            HttpHandler = new SocketsHttpHandler { ConnectCallback = (_, cancel) => ConnectAsync(end, cancel) },
            DisposeHttpClient = true,
            MaxReceiveMessageSize = null,
            MaxSendMessageSize = null,
        });
        client = new SecurityGroupAgent.SecurityGroupAgentClient(channel);
    }

    public Task<ApplyResponse> ApplyAsync(ApplySnapshotRequest request, CancellationToken cancel) =>
        AskAsync(client.ApplySnapshotAsync(request, cancellationToken: cancel), cancel);

    public Task<StageResponse> StageAsync(StageSnapshotRequest request, CancellationToken cancel) =>
        AskAsync(client.StageSnapshotAsync(request, cancellationToken: cancel), cancel);

    /// <summary>Takes as long as the session table is to read.</summary>
    public Task<StagedReport> GetStagedAsync(GetStagedRequest request, CancellationToken cancel) =>
        AskAsync(client.GetStagedAsync(request, cancellationToken: cancel), cancel);

    public Task<ApplyResponse> CommitStagedAsync(CommitStagedRequest request, CancellationToken cancel) =>
        AskAsync(client.CommitStagedAsync(request, cancellationToken: cancel), cancel);

    public Task<DiscardStagedResponse> DiscardStagedAsync(DiscardStagedRequest request, CancellationToken cancel) =>
        AskAsync(client.DiscardStagedAsync(request, cancellationToken: cancel), cancel);

    public Task<Snapshot> GetStateAsync(CancellationToken cancel) => AskAsync(
        client.GetStateAsync(new GetStateRequest(), deadline: Deadline(), cancellationToken: cancel), cancel);

    /// <param name="groups">Also of each group.</param>
    /// <param name="cancel">Gives up.</param>
    public Task<AgentStatus> GetStatusAsync(bool groups, CancellationToken cancel) => AskAsync(
        client.GetStatusAsync(
            new GetStatusRequest { Groups = groups }, deadline: Deadline(), cancellationToken: cancel), cancel);

    public Task<EffectiveConfig> GetConfigAsync(CancellationToken cancel) => AskAsync(
        client.GetConfigAsync(new GetConfigRequest(), deadline: Deadline(), cancellationToken: cancel), cancel);

    public Task<ExplainResponse> ExplainAsync(ExplainRequest request, CancellationToken cancel) =>
        AskAsync(client.ExplainAsync(request, deadline: Deadline(), cancellationToken: cancel), cancel);

    public Task<Analysis> AnalyzeAsync(CancellationToken cancel) => AskAsync(
        client.AnalyzeAsync(new AnalyzeRequest(), deadline: Deadline(), cancellationToken: cancel), cancel);

    /// <summary>Takes as long as the proof takes.</summary>
    public Task<VerifyResponse> VerifyAsync(VerifyRequest request, CancellationToken cancel) =>
        AskAsync(client.VerifyAsync(request, cancellationToken: cancel), cancel);

    public Task<VnicRules> ListRulesAsync(string vnic, CancellationToken cancel) => AskAsync(client.ListRulesAsync(
        new ListRulesRequest { Vnic = vnic }, deadline: Deadline(), cancellationToken: cancel), cancel);

    /// <summary>Takes as long as the session table is to read.</summary>
    public Task<ExportedSessions> ExportSessionsAsync(string vnic, CancellationToken cancel) => AskAsync(
        client.ExportSessionsAsync(new ExportSessionsRequest { Vnic = vnic }, cancellationToken: cancel), cancel);

    public Task<ImportSessionsResponse> ImportSessionsAsync(ImportSessionsRequest request, CancellationToken cancel) =>
        AskAsync(client.ImportSessionsAsync(request, cancellationToken: cancel), cancel);

    public Task<LogLevelStatus> GetLogLevelAsync(CancellationToken cancel) => AskAsync(client.GetLogLevelAsync(
        new GetLogLevelRequest(), deadline: Deadline(), cancellationToken: cancel), cancel);

    public Task<LogLevelStatus> SetLogLevelAsync(SetLogLevelRequest request, CancellationToken cancel) =>
        AskAsync(client.SetLogLevelAsync(request, deadline: Deadline(), cancellationToken: cancel), cancel);

    /// <summary>Shows sessions as they come. A table may take a while to read: only the caller ends it.</summary>
    public Task ListSessionsAsync(
        ListSessionsRequest request, Action<SessionStatus> show, CancellationToken cancel) =>
        FollowAsync(client.ListSessions(request, cancellationToken: cancel), show, cancel);

    /// <summary>Shows dropped packets as they come, until the caller ends it or the agent does.</summary>
    public Task WatchDropsAsync(WatchDropsRequest request, Action<DropRecord> show, CancellationToken cancel) =>
        FollowAsync(client.WatchDrops(request, cancellationToken: cancel), show, cancel);

    /// <summary>Shows reports as they come, until the caller ends it or the agent does.</summary>
    public Task WatchTopAsync(WatchTopRequest request, Action<TopReport> show, CancellationToken cancel) =>
        FollowAsync(client.WatchTop(request, cancellationToken: cancel), show, cancel);

    public void Dispose() => channel.Dispose();

    private static DateTime Deadline() => TimeProvider.System.GetUtcNow().UtcDateTime + AnswerTime;

    private static UnixDomainSocketEndPoint EndPointOf(string path)
    {
        try
        {
            return new UnixDomainSocketEndPoint(path);
        }
        catch (ArgumentException)
        {
            throw new CliException(ExitCode.Usage, "usage", $"'{path}' cannot be a Unix socket",
                "A path has 1 to 107 bytes; give another with --socket.");
        }
    }

    /// <summary>Connects to a Unix socket.</summary>
    /// <exception cref="SocketException">Nobody listens there, or not for us.</exception>
    public static async ValueTask<Stream> OpenAsync(UnixDomainSocketEndPoint end, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(end, cancel).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async ValueTask<Stream> ConnectAsync(UnixDomainSocketEndPoint end, CancellationToken cancel)
    {
        try
        {
            return await OpenAsync(end, cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            refusal = e as SocketException;
            throw;
        }
    }

    private async Task<T> AskAsync<T>(AsyncUnaryCall<T> call, CancellationToken cancel)
    {
        try
        {
            return await call.ResponseAsync.ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            throw Translate(e, cancel);
        }
        finally
        {
            call.Dispose();
        }
    }

    private async Task FollowAsync<T>(AsyncServerStreamingCall<T> call, Action<T> show, CancellationToken cancel)
    {
        try
        {
            while (await call.ResponseStream.MoveNext(cancel).ConfigureAwait(false))
            {
                show(call.ResponseStream.Current);
            }
        }
        catch (RpcException e)
        {
            throw Translate(e, cancel);
        }
        finally
        {
            call.Dispose();
        }
    }

    private Exception Translate(RpcException e, CancellationToken cancel) =>
        e.StatusCode == StatusCode.Cancelled && cancel.IsCancellationRequested
            ? new OperationCanceledException(e.Message, e, cancel)
            : refusal is null ? Describe(e) : Unreachable(refusal);

    private CliException Unreachable(SocketException e)
    {
        (string what, string remedy) = e.SocketErrorCode switch
        {
            SocketError.AccessDenied => ("permission denied",
                "Run sgctl as root or as a member of the socket's group (ls -l shows it; grpc.socket_group sets it)."),
            SocketError.ConnectionRefused => ("nobody listens there any more",
                "Start sg-agentd again (systemctl start sg-agentd), and see its log for why it ended."),
            _ when !File.Exists(path) => ("there is no such socket",
                $"Start sg-agentd (systemctl start sg-agentd), "
                + $"or name its socket with --socket or {GlobalOptions.SocketVariable}."),
            _ => (e.Message, "Name the agent's socket with --socket."),
        };
        return new CliException(ExitCode.Unreachable, "unreachable",
            $"cannot reach the agent at {path}: {what}", remedy);
    }

    private CliException Describe(RpcException e) => e.StatusCode switch
    {
        StatusCode.Unavailable => new CliException(ExitCode.Unreachable, "unreachable",
            $"the agent at {path} broke the call off: {e.Status.Detail}", "See the agent's log; then try again."),
        StatusCode.DeadlineExceeded => new CliException(ExitCode.Unreachable, "unreachable",
            $"the agent at {path} did not answer in {AnswerTime.TotalSeconds:0} s",
            "It may be committing a large change; try again."),
        StatusCode.Unimplemented => new CliException(ExitCode.Failed, "unimplemented",
            "the agent does not know this call", $"It is older than this sgctl ({Sgctl.Version}); upgrade sg-agentd."),
        StatusCode.ResourceExhausted => new CliException(ExitCode.Failed, "resource_exhausted",
            $"the agent takes no more: {e.Status.Detail}",
            "Try again in a moment; a state that is too large for a message goes through the Sync stream."),
        _ => new CliException(ExitCode.Failed, Snake(e.StatusCode), e.Status.Detail, ""),
    };

    private static string Snake(StatusCode code) =>
        string.Concat(code.ToString()
            .Select((c, i) => char.IsUpper(c) ? (i > 0 ? "_" : "") + char.ToLowerInvariant(c) : c.ToString()));
}
