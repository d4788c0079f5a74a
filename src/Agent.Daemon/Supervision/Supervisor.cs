using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;

namespace Agent.Daemon.Supervision;

/// <summary>
/// Everything between the daemon and whoever runs it as a service: signs of life, sockets, reloading.
/// </summary>
internal sealed class Supervisor : IDisposable
{
    private readonly ServiceNotifier manager;
    private readonly Watchdog watchdog;
    private readonly PosixSignalRegistration hangUp;
    private readonly CancellationTokenSource end = new();
    private readonly Task watching;

    private Supervisor(
        ServiceNotifier manager, Watchdog watchdog, LoopProgress progress, Reloading reloading,
        ImmutableArray<InheritedSocket> sockets)
    {
        (this.manager, this.watchdog, Progress, Reloading, Sockets) =
            (manager, watchdog, progress, reloading, sockets);
        hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true; // it would end the daemon
            reloading.Ask();
        });
        watching = watchdog.RunAsync(end.Token);
    }

    /// <summary>Where the loop leaves its marks.</summary>
    public LoopProgress Progress { get; }

    public Reloading Reloading { get; }

    /// <summary>Open before the daemon was.</summary>
    public ImmutableArray<InheritedSocket> Sockets { get; }

    /// <summary>From now on a start that gets on may take its time.</summary>
    public static Supervisor Start(ConfigResult first, Func<ConfigResult> read, TimeProvider clock, ILogger log)
    {
        var manager = ServiceNotifier.Of(Environment.GetEnvironmentVariable, Environment.ProcessId, clock);
        (ImmutableArray<InheritedSocket> sockets, ImmutableArray<string> others) =
            InheritedSockets.Of(Environment.GetEnvironmentVariable, Environment.ProcessId);
        foreach (string other in others)
        {
            log.SocketUnused(other);
        }

        var progress = new LoopProgress(clock);
        return new Supervisor(
            manager, new Watchdog(manager, progress, clock, log), progress,
            new Reloading(first, read, manager, clock, log), sockets);
    }

    /// <summary>What was saved is enforced, and clients may come.</summary>
    public void Ready(Reconciler reconciler)
    {
        watchdog.Ask = reconciler.AskForAudit;
        watchdog.Ready();
    }

    /// <summary>A stop that gets on may take its time, too.</summary>
    public void Stopping() => watchdog.Stopping();

    /// <summary>Follows the state and serves reloads until cancelled.</summary>
    /// <param name="reconciler">The loop.</param>
    /// <param name="controllers">Who writes.</param>
    /// <param name="apply">Brings settings into force beside the loop.</param>
    /// <param name="cancel">Ends it.</param>
    public Task RunAsync(
        Reconciler reconciler, Controllers controllers, Action<DaemonConfig> apply, CancellationToken cancel) =>
        Task.WhenAll(
            StatusLine.FollowAsync(manager, reconciler, controllers.Look, TimeProvider.System, cancel),
            Reloading.RunAsync(
                async next =>
                {
                    apply(next);
                    var answer = new TaskCompletionSource<AgentState>(
                        TaskCreationOptions.RunContinuationsAsynchronously);
                    await reconciler.Requests.WriteAsync(new AgentRequest.Reconfigure(next, answer), cancel)
                        .ConfigureAwait(false);
                    await answer.Task.WaitAsync(cancel).ConfigureAwait(false);
                },
                cancel));

    public void Dispose()
    {
        end.Cancel();
        watching.Wait();
        hangUp.Dispose();
        end.Dispose();
        manager.Dispose();
    }
}
