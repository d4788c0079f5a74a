using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Access;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.Service;
using Agent.Daemon.State;
using Agent.Policy;
using Microsoft.Extensions.Logging.Abstractions;
using Prometheus;

namespace Agent.Fleet.Agents;

/// <summary>The daemon's own service, loop, compiler and state file, above a kernel that is none.</summary>
internal sealed class LoopAgent : IFleetAgent, IAsyncDisposable
{
    private static readonly DaemonConfig Config = new();

    private static readonly ConfigDesk Configs =
        new(() => new EffectiveConfig { Config = Config, Settings = [], ReadAt = default });

    private readonly CancellationTokenSource stop = new();
    private readonly StateFile file;
    private readonly Reconciler loop;
    private readonly Task running;

    /// <param name="folder">Of this agent alone.</param>
    /// <param name="metrics">Of all.</param>
    /// <param name="refusals">Of all.</param>
    public LoopAgent(string folder, AgentMetrics metrics, Refusals refusals)
    {
        Socket = Path.Combine(folder, "agent.sock");
        file = new StateFile(folder);
        var enforcer = new Enforcer(
            new ObedientKernel(), CompilerSettings.Default, PolicySettings.Default, TimeProvider.System,
            NullLogger.Instance);
        CollectorRegistry own = Metrics.NewCustomRegistry();
        var controllers = Controllers.Of(Config with { StateDirectory = folder }, own, NullLogger.Instance);
        loop = new Reconciler(enforcer, file, Config, TimeProvider.System, NullLogger.Instance, metrics)
        {
            Keeper = controllers.Keeper,
        };
        loop.Start(HostLinks.None, "fleet", "none");
        running = loop.RunAsync(stop.Token);

        // Sync asks none of the desks: they read a kernel, and there is none.
        Service = new AgentService(
            loop, reporter: null!, sessions: null!, moves: null!, proofs: null!, staged: null!, rules: null!,
            drops: null!, top: null!, logs: null!, controllers, Configs, TimeProvider.System, new SyncMetrics(own),
            refusals, stop.Token);
    }

    public string Socket { get; }

    public AgentService Service { get; }

    public async Task EnforcedAsync(ulong revision, CancellationToken cancel)
    {
        AgentState state = loop.State;
        while (state.AppliedRevision < revision)
        {
            state = await loop.WaitForStateAsync(state.Version, cancel);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        stop.Dispose();
        file.Dispose();
    }
}
