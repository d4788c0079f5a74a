using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Policy;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>The real loop with a state file of its own, beside a simulated kernel.</summary>
internal sealed class RunningLoop : IAsyncDisposable
{
    /// <summary>Name of a staged policy's tables.</summary>
    public static readonly string StagedTable = StagedRuleset.TableOf(CompilerSettings.Default);

    private readonly string folder = Directory.CreateTempSubdirectory("sg-loop").FullName;
    private readonly CancellationTokenSource stop = new();
    private readonly StateFile file;
    private Task run = Task.CompletedTask;

    public RunningLoop()
    {
        file = new StateFile(folder);
        var enforcer = new Enforcer(
            Kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        Loop = new Reconciler(enforcer, file, new DaemonConfig(), TimeProvider.System, NullLogger.Instance, Metrics);
    }

    public SimulatedFirewall Kernel { get; } = new();

    public AgentMetrics Metrics { get; } = new(Prometheus.Metrics.NewCustomRegistry(), "test", "simulated");

    public Reconciler Loop { get; }

    public void Start()
    {
        Loop.Start(HostLinks.None, "test", "simulated");
        run = Loop.RunAsync(stop.Token);
    }

    /// <summary>The kernel takes no table beside those that enforce.</summary>
    public void RefuseToStage(string reason) =>
        Kernel.Refuses = op => op is NftOp.AddChain { Table: var table } && table == StagedTable ? reason : null;

    /// <summary>The state file, as it is now.</summary>
    public Task<byte[]> SavedAsync() =>
        File.ReadAllBytesAsync(Path.Combine(folder, "state"), TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await run;
        stop.Dispose();
        file.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}
