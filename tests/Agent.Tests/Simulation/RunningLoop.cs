using System.Globalization;
using System.Text;
using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Policy;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>The real loop, from a start to a stop, beside a simulated kernel.</summary>
internal sealed class RunningLoop : IAsyncDisposable
{
    /// <summary>Name of a staged policy's tables.</summary>
    public static readonly string StagedTable = StagedRuleset.TableOf(CompilerSettings.Default);

    private readonly string? own;
    private readonly CancellationTokenSource stop = new();
    private readonly StateFile file;
    private Task run = Task.CompletedTask;
    private bool isOver;

    /// <param name="file">Ends with the loop; null: one in a folder of its own.</param>
    /// <param name="kernel">Null: a new one.</param>
    /// <param name="clock">Null: the system's.</param>
    /// <param name="keeper">Makes what says who may write; null: everybody may.</param>
    public RunningLoop(
        StateFile? file = null, SimulatedFirewall? kernel = null, TimeProvider? clock = null,
        Func<AgentMetrics, LeaseKeeper>? keeper = null)
    {
        own = file is null ? Directory.CreateTempSubdirectory("sg-loop").FullName : null;
        this.file = file ?? new StateFile(own!);
        Kernel = kernel ?? new SimulatedFirewall();
        clock ??= TimeProvider.System;
        var enforcer = new Enforcer(
            Kernel, CompilerSettings.Default, PolicySettings.Default, clock, NullLogger.Instance);
        Loop = new Reconciler(enforcer, this.file, new DaemonConfig(), clock, NullLogger.Instance, Metrics)
        {
            Keeper = keeper?.Invoke(Metrics),
        };
        Metrics.DesiredAge = () => Loop.State.DesiredAt?.Age(clock);
    }

    public SimulatedFirewall Kernel { get; }

    public AgentMetrics Metrics { get; } = new(Prometheus.Metrics.NewCustomRegistry(), "test", "simulated");

    public Reconciler Loop { get; }

    /// <summary>Enforces what was saved.</summary>
    public void Open() => Loop.Start(HostLinks.None, "test", "simulated");

    /// <summary>Takes what is asked, if it does not yet.</summary>
    public void Run() => run = run.IsCompleted ? Loop.RunAsync(stop.Token) : run;

    public void Start()
    {
        Open();
        Run();
    }

    /// <summary>The kernel takes no table beside those that enforce.</summary>
    public void RefuseToStage(string reason) =>
        Kernel.Refuses = op => op is NftOp.AddChain { Table: var table } && table == StagedTable ? reason : null;

    /// <summary>The state file in the folder of its own, as it is now.</summary>
    public Task<byte[]> SavedAsync() =>
        File.ReadAllBytesAsync(Path.Combine(own!, "state"), TestContext.Current.CancellationToken);

    public async Task<double> MetricAsync(string name)
    {
        using var page = new MemoryStream();
        await Metrics.Registry.CollectAndExportAsTextAsync(page, TestContext.Current.CancellationToken);
        string line = Encoding.UTF8.GetString(page.ToArray()).Split('\n')
            .Single(one => one.StartsWith($"{name} ", StringComparison.Ordinal));
        return double.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        if (isOver)
        {
            return;
        }

        isOver = true;
        await stop.CancelAsync();
        await run;
        stop.Dispose();
        file.Dispose();
        if (own is not null)
        {
            Directory.Delete(own, recursive: true);
        }
    }
}
