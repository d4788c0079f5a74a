using System.Threading.Channels;
using Agent.Compiler;
using Agent.Daemon.Access;
using Agent.Daemon.Config;
using Agent.Daemon.Counting;
using Agent.Daemon.Drops;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Logging;
using Agent.Daemon.Ownership;
using Agent.Daemon.Removal;
using Agent.Daemon.Service;
using Agent.Daemon.Sessions;
using Agent.Daemon.State;
using Agent.Daemon.Supervision;
using Agent.Daemon.Top;
using Agent.Daemon.Tracing;
using Agent.Netlink.Route;
using Agent.Nftables;
using Grpc.AspNetCore.Server;
using Grpc.HealthCheck;
using Grpc.Reflection;
using Prometheus;

namespace Agent.Daemon;

/// <summary>Puts the parts together, in dependency order, and runs them.</summary>
internal static class AgentHost
{
    /// <summary>For clients that do not notice that their call has ended.</summary>
    private static readonly TimeSpan ShutdownPatience = TimeSpan.FromSeconds(3);

    private const int CouldNotRun = 1;

    /// <param name="read">Configuration, without a fault.</param>
    /// <param name="reread">Reads it again.</param>
    /// <param name="version">What the agent says of itself.</param>
    /// <param name="compiler">Another one only where a test makes it err.</param>
    public static async Task<int> RunAsync(
        ConfigResult read, Func<ConfigResult> reread, string version,
        Func<CompileRequest, CompiledRuleset>? compiler = null)
    {
        DaemonConfig config = read.Config!;
        using DaemonLock? only = DaemonLock.Take(config.StateDirectory);
        if (only is not null)
        {
            return await RunAloneAsync(config, read, reread, version, compiler).ConfigureAwait(false);
        }

        using EventLog events = LogTargets.Open(config.Log, TimeProvider.System);
        events.CreateLogger(EventLog.Ours).AnotherDaemon(config.StateDirectory);
        return CouldNotRun;
    }

    private static async Task<int> RunAloneAsync(
        DaemonConfig config, ConfigResult read, Func<ConfigResult> reread, string version,
        Func<CompileRequest, CompiledRuleset>? compiler)
    {
        using EventLog events = LogTargets.Open(config.Log, TimeProvider.System);
        WebApplicationBuilder builder = BuilderOf(events);
        ILogger log = events.CreateLogger(EventLog.Ours);
        using var supervisor = Supervisor.Start(read, reread, TimeProvider.System, log);
        using IDisposable? traces = TraceExport.Start(config.Tracing, version, log, Environment.GetEnvironmentVariable);

        FootprintFile footprint = FootprintOf(config, log);
        NftFeatures features = NftFeatures.Probe();
        Reconciler? reconciler = null;
        using KernelFirewall firewall = FirewallOf(config, features);
        using var stateFile = new StateFile(config.StateDirectory);
        using var verifier = new Verifier(TimeProvider.System);
        using var counts = new KernelCounts(config.Compiler);
        AgentState Current() => reconciler?.State ?? AgentState.Initial;
        CounterBook book = BookOf(counts, Current, config, log);
        AgentMetrics metrics = MetricsOf(version, features.KernelRelease, book, Current, events);
        Enforcer enforcer = EnforcerOf(
            new CountingFirewall(firewall, book), features, config, verifier, log, metrics.Proofs.Proved,
            compiler ?? RulesetCompiler.Compile, supervisor.Progress);
        var controllers = Controllers.Of(config, metrics.Registry, log);
        reconciler = ReconcilerOf(enforcer, stateFile, config, log, metrics, controllers, supervisor.Progress);

        // Before the first rule reports.
        using var drops = new DropReporting(config, enforcer.Kernel, metrics.Registry, TimeProvider.System, events);
        var links = Channel.CreateBounded<LinkEvent>(4096);
        using LinkMonitor monitor = LinkMonitor.Start(links.Writer);
        supervisor.Reloading.IsFixed = drops.Fixes;
        var listeners = new Listeners(config, supervisor.Sockets, metrics.Registry, TimeProvider.System, log);
        reconciler.Alarm([.. SessionAlarms(features, enforcer.Kernel, config, footprint), .. listeners.Alarms]);
        reconciler.Start(HostLinks.Of(LinkMonitor.ReadAll()), version, features.KernelRelease);

        var sessions = new SessionWatch(
            reconciler.WaitForStateAsync, KernelSessions.Read, config, TimeProvider.System, log, metrics);

        // Only now may anybody ask: what was persisted is enforced.
        using var stopping = new CancellationTokenSource();
        using var lister = new SessionLister(sessions, KernelSessions.Read);
        using var staged = new StagedDesk(StagedDesk.ReadKernel, KernelSessions.Read, config);
        using WebApplication app = Serve(
            builder, new ConfigDesk(supervisor.Reloading), reconciler, sessions, lister,
            new MoveDesk(sessions, KernelSessions.Read, KernelSessions.Open, log),
            new ProofDesk(reconciler, verifier), staged, new RuleDesk(book), new DropDesk(drops.Hub),
            TopOf(sessions, book, config, metrics), new LogDesk(events.Level), controllers, metrics, listeners, version,
            features, stopping.Token);
        app.Lifetime.ApplicationStopping.Register(() => Stop(supervisor, stopping));
        await app.StartAsync().ConfigureAwait(false);
        listeners.Open();
        Task[] running =
        [
            EnforceAsync(reconciler, links.Reader, verifier, config, log, stopping.Token),
            sessions.RunAsync(stopping.Token),
            book.RunAsync(config.Compiler.RuleHits.IsEmpty, stopping.Token),
            drops.RunAsync(reconciler.WaitForStateAsync, stopping.Token),
            listeners.RunAsync(stopping.Token),
            supervisor.RunAsync(reconciler, controllers, next => Take(next, events, listeners), stopping.Token),
        ];
        supervisor.Ready(reconciler);
        await app.WaitForShutdownAsync().ConfigureAwait(false);
        await Task.WhenAll(running).ConfigureAwait(false);
        return 0;
    }

    /// <summary>The loop, and who asks it by themselves.</summary>
    private static Task EnforceAsync(
        Reconciler reconciler, ChannelReader<LinkEvent> links, Verifier verifier, DaemonConfig config, ILogger log,
        CancellationToken cancel) => Task.WhenAll(
            reconciler.RunAsync(cancel),
            FollowLinksAsync(links, reconciler, cancel),
            AuditAsync(reconciler, config.AuditInterval, cancel),
            new ProofWatch(verifier, reconciler, config.Verify).RunAsync(cancel),
            new ForeignWatch(reconciler, config.Compiler, TimeProvider.System, log).RunAsync(cancel));

    private static void Stop(Supervisor supervisor, CancellationTokenSource stopping)
    {
        supervisor.Stopping();
        stopping.Cancel();
    }

    // What of a reload does not concern the loop.
    private static void Take(DaemonConfig next, EventLog events, Listeners listeners)
    {
        events.Configure(next.Log);
        listeners.Set(next.Grpc);
    }

    private static WebApplicationBuilder BuilderOf(EventLog events)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().AddProvider(events);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = ShutdownPatience);
        return builder;
    }

    /// <summary>Before anything is put into the kernel.</summary>
    private static FootprintFile FootprintOf(DaemonConfig config, ILogger log)
    {
        var footprint = new FootprintFile(config.StateDirectory, log);
        footprint.NoteTable(config.Compiler.Table, config.Compiler.EpochMask);
        return footprint;
    }

    /// <returns>The kernel; it is being read, which is the longest part of a start, beside the rest of it.</returns>
    private static KernelFirewall FirewallOf(DaemonConfig config, NftFeatures features)
    {
        var firewall = new KernelFirewall(
            config.Compiler.Table,
            config.ProtectTables && features.OwnerPersist.Available
                ? TableOwnership.OwnedAndPersistent : TableOwnership.Shared);
        firewall.ReadAhead();
        return firewall;
    }

    private static Enforcer EnforcerOf(
        IFirewall firewall, NftFeatures features, DaemonConfig config, Verifier verifier, ILogger log,
        Action<ProofResult> onProved, Func<CompileRequest, CompiledRuleset> compiler, LoopProgress progress) =>
        new(firewall, config.Compiler, config.Semantics, TimeProvider.System, log)
        {
            Kernel = KernelFacts(features, config),
            Compiler = compiler,
            KeepsSessions = config.OnChange == OnChange.Keep,
            Verifier = verifier,
            Mode = config.Verify,
            VerifyBudget = config.VerifyBudget,
            OnProved = onProved,
            Progress = progress,
        };

    private static CounterBook BookOf(
        KernelCounts counts, Func<AgentState> current, DaemonConfig config, ILogger log) =>
        new(counts.Read, current, new LedgerFile(config.StateDirectory), TimeProvider.System, log);

    private static Reconciler ReconcilerOf(
        Enforcer enforcer, StateFile file, DaemonConfig config, ILogger log, AgentMetrics metrics,
        Controllers controllers, LoopProgress progress)
    {
        var loop = new Reconciler(enforcer, file, config, TimeProvider.System, log, metrics)
        {
            Keeper = controllers.Keeper,
            Progress = progress,
        };
        loop.Alarm(controllers.Keeper.Alarms);
        controllers.OnChanged = () => loop.Requests.TryWrite(new AgentRequest.StatusChanged());
        return loop;
    }

    private static AgentMetrics MetricsOf(
        string version, string kernel, CounterBook book, Func<AgentState> current, EventLog events)
    {
        var metrics = new AgentMetrics(Metrics.NewCustomRegistry(), version, kernel);
        ConntrackMetrics.Add(metrics.Registry);
        VnicMetrics.Add(metrics.Registry, book);
        HostMetrics.Add(metrics.Registry, current);
        metrics.Realisation.Follow(metrics.Registry, () => current().Realisation, TimeProvider.System);
        LogMetrics.Add(metrics.Registry, events);
        SessionMetrics.Add(metrics.Registry, current, KernelSessions.Read, TimeProvider.System);
        metrics.DesiredAge = () => current().DesiredAt?.Age(TimeProvider.System);
        return metrics;
    }

    private static TopDesk TopOf(SessionWatch sessions, CounterBook book, DaemonConfig config, AgentMetrics metrics)
    {
        var watch = new TopWatch(
            () => sessions.Judge, KernelSessions.Read, book, config.ComparedSessions, TimeProvider.System);
        watch.AddTo(metrics.Registry);
        return new TopDesk(watch, TimeProvider.System);
    }

    private static HostFacts KernelFacts(NftFeatures features, DaemonConfig config) => HostFacts.Default with
    {
        NetdevHooksByName = features.NetdevHookByName.Available,
        TimeoutProtocols = features.CtTimeout.Available ? SessionTimes.Accepted(NftFeatures.Accepted) : [],
        SessionLimits = features.ConnLimit.Available,
        LogFamilies = [.. features.LogFamilies],
        Bridge = !features.BridgeFilter.Available ? BridgeLayer.None
            : config.EnforceBridges && features.BridgeConntrack.Available ? BridgeLayer.Open : BridgeLayer.Closed,
        BridgeObstacle = !config.EnforceBridges ? "enforce_bridges is off"
            : "this kernel cannot track connections there; the module nf_conntrack_bridge (Linux 5.3) can",
    };

    private static List<string> SessionAlarms(
        NftFeatures features, HostFacts kernel, DaemonConfig config, FootprintFile footprint)
    {
        var alarms = new List<string>();
        if (!features.CtTimeout.Available)
        {
            alarms.Add("idle times per vNIC are not enforced: this kernel has no conntrack timeout objects"
                + " (CONFIG_NF_CONNTRACK_TIMEOUT); sessions live by nf_conntrack_*_timeout");
        }

        if (!features.ConnLimit.Available)
        {
            alarms.Add("limits on sessions are not enforced: this kernel has no ct count (module nft_connlimit)");
        }

        alarms.AddRange(ConntrackSysctls.Apply(
            ConntrackSysctls.Directory, config.ManageSysctls, kernel.TimeoutProtocols, footprint.NoteSysctl));
        alarms.AddRange(config.Accounting
            ? ConntrackSysctls.Account(ConntrackSysctls.Directory, footprint.NoteSysctl) : []);
        return alarms;
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
            Feature("packet-log", features.PacketLog, "dropped packets are reported (module nfnetlink_log)"),
            Feature("ct-count", features.ConnLimit, "session limits per vNIC (module nft_connlimit)"),
        ];

        static V1.KernelFeature Feature(string name, NftFeature feature, string meaning) =>
            new() { Name = name, Present = feature.Available, Detail = $"{meaning}; {feature.Detail}" };
    }

    private static WebApplication Serve(
        WebApplicationBuilder builder, ConfigDesk configs, Reconciler reconciler, SessionWatch sessions,
        SessionLister lister, MoveDesk moves, ProofDesk proofs, StagedDesk staged, RuleDesk rules, DropDesk drops,
        TopDesk top, LogDesk logs, Controllers controllers, AgentMetrics metrics, Listeners listeners, string version,
        NftFeatures features, CancellationToken stopping)
    {
        DaemonConfig config = configs.Config;
        builder.WebHost.ConfigureKestrel(listeners.Listen);
        builder.Services.AddGrpc(options => options.MaxReceiveMessageSize = config.Grpc.MaxMessageBytes);
        // A limit on what arrives is none on what it unpacks to.
        builder.Services.PostConfigure<GrpcServiceOptions>(options => options.CompressionProviders.Clear());
        // Named by hand: finding them would take reflection, which a native build cannot promise.
        Google.Protobuf.Reflection.ServiceDescriptor[] described =
        [
            V1.SecurityGroupAgent.Descriptor,
            Grpc.Health.V1.Health.Descriptor,
            Grpc.Reflection.V1.ServerReflection.Descriptor,
            Grpc.Reflection.V1Alpha.ServerReflection.Descriptor,
        ];
        builder.Services.AddSingleton(new ReflectionServiceImpl(described));
        builder.Services.AddSingleton(new ReflectionV1ServiceImpl(described));
        var health = new HealthServiceImpl();
        health.SetStatus("", Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus.Serving);
        health.SetStatus("agent.v1.SecurityGroupAgent", Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus.Serving);
        builder.Services.AddSingleton(health);
        builder.Services.AddSingleton(new AgentService(
            reconciler,
            new StatusReporter(
                version, Environment.MachineName, features.KernelRelease, Describe(features), config.Compiler,
                sessions, controllers, TimeProvider.System),
            lister,
            moves,
            proofs,
            staged,
            rules,
            drops,
            top,
            logs,
            controllers,
            configs,
            TimeProvider.System,
            new SyncMetrics(metrics.Registry),
            listeners.Refusals,
            stopping));
        WebApplication app = builder.Build();
        app.Use(next => context => listeners.Calls.RunAsync(context, next));
        app.MapGrpcService<AgentService>();
        app.MapGrpcService<HealthServiceImpl>();
        app.MapGrpcService<ReflectionServiceImpl>();
        app.MapGrpcService<ReflectionV1ServiceImpl>();
        if (config.Metrics.IsServed)
        {
            app.MapMetrics("/metrics", metrics.Registry);
        }

        return app;
    }

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

                await reconciler.Requests
                    .WriteAsync(new AgentRequest.LinksChanged(HostLinks.Of(LinkMonitor.ReadAll())), cancel)
                    .ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private static async Task AuditAsync(Reconciler reconciler, TimeSpan interval, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
            {
                reconciler.AskForAudit();
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
