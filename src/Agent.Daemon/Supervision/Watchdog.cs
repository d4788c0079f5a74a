namespace Agent.Daemon.Supervision;

/// <summary>
/// Tells the service manager that the daemon is alive, as long as its loop gets on: it has left a mark since the last
/// look, or it is at a step that has not taken too long. A loop that waits to be asked is asked, so that one that is
/// stuck there is found, too.
/// </summary>
/// <remarks>
/// A step is a compilation, a proof, a transaction, a reading, a write to the disk. The largest host's take seconds
/// each, so one that takes <see cref="StepTimes"/> times the manager's time (3 minutes with WatchdogSec=30s) hangs. While the
/// daemon starts or stops the same progress extends the time for that.
/// </remarks>
/// <param name="manager">Who is told.</param>
/// <param name="progress">What the loop leaves.</param>
/// <param name="clock">Time.</param>
/// <param name="log">Where a stuck loop is told, once.</param>
internal sealed class Watchdog(ServiceNotifier manager, LoopProgress progress, TimeProvider clock, ILogger log)
{
    /// <summary>How many times the manager's time a step may take.</summary>
    public const int StepTimes = 6;

    /// <summary>Signs of life within the manager's time: two may be lost.</summary>
    private const int SignsInTime = 3;

    private static readonly TimeSpan WithoutWatchdog = TimeSpan.FromSeconds(30);

    private LoopMark seen = progress.Mark;
    private bool isStuck;
    private volatile bool isReady;
    private volatile bool isStopping;

    /// <summary>Asks the loop for a mark; it answers when it gets to it.</summary>
    public Action Ask { get; set; } = () => { };

    private TimeSpan Time => manager.Watchdog ?? WithoutWatchdog;

    /// <summary>What was saved is enforced, and clients may come.</summary>
    public void Ready()
    {
        isReady = true;
        manager.Ready();
    }

    public void Stopping()
    {
        isStopping = true;
        manager.Stopping();
    }

    /// <summary>Looks at the loop and tells, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        if (!manager.IsThere)
        {
            return;
        }

        using var timer = new PeriodicTimer(Time / SignsInTime, clock);
        try
        {
            do
            {
                Look();
            }
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>One look.</summary>
    /// <returns>False: the loop is stuck, and nobody is told that it is alive.</returns>
    public bool Look()
    {
        LoopMark mark = progress.Mark;
        TimeSpan age = clock.GetElapsedTime(mark.At);
        bool isAlive = mark.Number != seen.Number || age < (mark.Step is null ? Time : Time * StepTimes);
        seen = mark;
        if (!isAlive && !isStuck)
        {
            log.LoopStuck(mark.Step ?? "waiting", age.TotalSeconds);
        }

        isStuck = !isAlive;
        if (mark.Step is null)
        {
            Ask();
        }

        if (isAlive)
        {
            Tell();
        }

        return isAlive;
    }

    private void Tell()
    {
        if (isStopping || !isReady)
        {
            manager.Extend(Time);
        }

        if (isReady && manager.Watchdog is not null)
        {
            manager.Alive();
        }
    }
}
