using System.Globalization;
using Agent.Daemon;
using Agent.Daemon.Access;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Prometheus;

namespace Agent.Fleet.Agents;

/// <summary>Many agents in this process, each behind a Unix socket of its own of one gRPC server.</summary>
internal sealed class AgentFarm : IAsyncDisposable
{
    private readonly DirectoryInfo files = ScratchDirectory.Create("farm");
    private readonly LoopAgent[] agents;
    private readonly WebApplication server;

    private AgentFarm(int count)
    {
        CollectorRegistry registry = Metrics.NewCustomRegistry();
        var metrics = new AgentMetrics(registry, "fleet", "none");
        var refusals = new Refusals(new AccessMetrics(registry), TimeProvider.System, NullLogger.Instance);
        agents =
        [
            .. Enumerable.Range(0, count).Select(i => new LoopAgent(
                files.CreateSubdirectory(i.ToString(CultureInfo.InvariantCulture)).FullName, metrics, refusals)),
        ];
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(Listen);
        builder.Services.AddGrpc(options => options.MaxReceiveMessageSize = null);
        builder.Services.AddSingleton<Switchboard>();
        server = builder.Build();
        server.MapGrpcService<Switchboard>();
    }

    public IReadOnlyList<IFleetAgent> Agents => agents;

    public static async Task<AgentFarm> StartAsync(int count, CancellationToken cancel)
    {
        var farm = new AgentFarm(count);
        try
        {
            await farm.server.StartAsync(cancel);
            return farm;
        }
        catch
        {
            await farm.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(agents.Select(agent => agent.DisposeAsync().AsTask()));
        await server.DisposeAsync();
        files.Delete(recursive: true);
    }

    private void Listen(KestrelServerOptions kestrel)
    {
        foreach (LoopAgent agent in agents)
        {
            kestrel.ListenUnixSocket(agent.Socket, listen =>
            {
                listen.Protocols = HttpProtocols.Http2;
                listen.Use(next => connection =>
                {
                    connection.Features.Set(agent);
                    return next(connection);
                });
            });
        }
    }

    /// <summary>Hands a call to the agent whose socket it came to.</summary>
    private sealed class Switchboard : SecurityGroupAgent.SecurityGroupAgentBase
    {
        public override Task Sync(
            IAsyncStreamReader<SyncRequest> requestStream, IServerStreamWriter<SyncResponse> responseStream,
            ServerCallContext context) =>
            context.GetHttpContext().Features.Get<LoopAgent>()!.Service.Sync(requestStream, responseStream, context);
    }
}
