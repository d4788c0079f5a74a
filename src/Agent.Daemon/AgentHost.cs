using System.Collections.Immutable;
using System.Net;
using System.Threading.Channels;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Service;
using Agent.Daemon.State;
using Agent.Netlink.Route;
using Agent.Nftables;
using Grpc.HealthCheck;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Prometheus;

namespace Agent.Daemon;

/// <summary>Puts the parts together, in dependency order, and runs them.</summary>
internal static class AgentHost
{
    private static readonly TimeSpan AuditInterval = TimeSpan.FromMilliseconds(100);

    public static async Task<int> RunAsync(DaemonConfig config, string version)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Host.UseSystemd();
        builder.Logging.ClearProviders();
        AddLogging(builder.Logging);
        using ILoggerFactory factory = LoggerFactory.Create(AddLogging);
        ILogger log = factory.CreateLogger("sg-agentd");

        NftFeatures features = NftFeatures.Probe();
        string kernel = features.KernelRelease;
        using var firewall = new KernelFirewall(
            config.Compiler.Table,
            config.ProtectTables && features.OwnerPersist.Available
                ? TableOwnership.OwnedAndPersistent : TableOwnership.Shared);
        using var stateFile = new StateFile(config.StateDirectory);
        var enforcer = new Enforcer(firewall, config.Compiler, config.Semantics, TimeProvider.System, log)
        {
            NetdevHooksByName = features.NetdevHookByName.Available,
        };
        var metrics = new AgentMetrics(Metrics.NewCustomRegistry(), version, kernel);
        var reconciler = new Reconciler(enforcer, stateFile, config, TimeProvider.System, log, metrics);

        Channel<LinkEvent> links = Channel.CreateBounded<LinkEvent>(4096);
        using LinkMonitor monitor = LinkMonitor.Start(links.Writer);
        reconciler.Start(Interfaces(), version, kernel);

        // Only now may anybody ask: what was persisted is enforced.
        using WebApplication app = Serve(builder, config, reconciler, metrics, version, features);
        using var stopping = new CancellationTokenSource();
        app.Lifetime.ApplicationStopping.Register(stopping.Cancel);
        await app.StartAsync().ConfigureAwait(false);
        UnixSocket.Open(config.Grpc);
        Task loop = reconciler.RunAsync(stopping.Token);
        Task following = FollowLinksAsync(links.Reader, reconciler, stopping.Token);
        Task auditing = AuditAsync(reconciler, stopping.Token);
        await app.WaitForShutdownAsync().ConfigureAwait(false);
        await Task.WhenAll(loop, following, auditing).ConfigureAwait(false);
        return 0;
    }

    private static IReadOnlyList<V1.KernelFeature> Describe(NftFeatures features)
    {
        return
        [
            Feature("table-owner-persist", features.OwnerPersist,
                "other programs cannot change our tables "
                    + "(Linux 6.9; without it, foreign changes are found and undone)"),
            Feature("netdev-hook-by-name", features.NetdevHookByName,
                "guards wait for devices that do not exist yet "
                    + "(Linux 6.16; without it, they are made when a device appears)"),
            Feature("bridge-conntrack", features.BridgeConntrack,
                "vNICs that are bridge ports can be enforced (module nf_conntrack_bridge, Linux 5.3)"),
            Feature("ct-timeout", features.CtTimeout, "idle times per vNIC (CONFIG_NF_CT_NETLINK_TIMEOUT)"),
            Feature("ct-count", features.ConnLimit, "session limits per vNIC (module nft_connlimit)"),
        ];

        static V1.KernelFeature Feature(string name, NftFeature feature, string meaning) =>
            new() { Name = name, Present = feature.Available, Detail = $"{meaning}; {feature.Detail}" };
    }

    private static void AddLogging(ILoggingBuilder logging)
    {
        logging.AddSimpleConsole(options =>
        {
            options.SingleLine = true;
            options.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
            options.UseUtcTimestamp = true;
        });
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("Grpc", LogLevel.Warning);
    }

    private static WebApplication Serve(
        WebApplicationBuilder builder, DaemonConfig config, Reconciler reconciler, AgentMetrics metrics, string version,
        NftFeatures features)
    {
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, config));
        builder.Services.AddGrpc();
        builder.Services.AddGrpcReflection();
        var health = new HealthServiceImpl();
        health.SetStatus("", Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus.Serving);
        health.SetStatus("agent.v1.SecurityGroupAgent", Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus.Serving);
        builder.Services.AddSingleton(health);
        builder.Services.AddSingleton(new AgentService(
            reconciler,
            new StatusReporter(
                version, Environment.MachineName, features.KernelRelease, Describe(features), config.Compiler),
            config));
        WebApplication app = builder.Build();
        app.MapGrpcService<AgentService>();
        app.MapGrpcService<HealthServiceImpl>();
        app.MapGrpcReflectionService();
        if (config.Metrics.Listen.Length > 0)
        {
            app.MapMetrics("/metrics", metrics.Registry);
        }

        return app;
    }

    private static void Listen(KestrelServerOptions kestrel, DaemonConfig config)
    {
        if (config.Grpc.Socket.Length > 0)
        {
            UnixSocket.Prepare(config.Grpc.Socket);
            kestrel.ListenUnixSocket(config.Grpc.Socket, options => options.Protocols = HttpProtocols.Http2);
        }

        if (config.Grpc.Listen.Length > 0)
        {
            kestrel.Listen(IPEndPoint.Parse(config.Grpc.Listen), options =>
            {
                options.Protocols = HttpProtocols.Http2;
                options.UseHttps(MutualTls.Options(config.Grpc.Tls!));
            });
        }

        if (config.Metrics.Listen.Length > 0)
        {
            kestrel.Listen(IPEndPoint.Parse(config.Metrics.Listen), options => options.Protocols = HttpProtocols.Http1);
        }
    }

    private static ImmutableSortedSet<string> Interfaces() =>
        LinkMonitor.ReadAll().Select(link => link.Name).ToImmutableSortedSet(StringComparer.Ordinal);

    // Events are hints: what counts is what a reading says.
    private static async Task FollowLinksAsync(
        ChannelReader<LinkEvent> links, Reconciler reconciler, CancellationToken cancel)
    {
        try
        {
            while (await links.WaitToReadAsync(cancel).ConfigureAwait(false))
            {
                while (links.TryRead(out _))
                {
                }

                await reconciler.Requests.WriteAsync(new AgentRequest.LinksChanged(Interfaces()), cancel)
                    .ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private static async Task AuditAsync(Reconciler reconciler, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(AuditInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
            {
                reconciler.Requests.TryWrite(new AgentRequest.AuditDue()); // full: the loop is busy with commits anyway
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
