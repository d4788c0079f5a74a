using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Agent.Netlink.Nflog;

namespace Agent.Daemon.Drops;

/// <summary>Receives what the kernel reports, on a thread of its own, and publishes it.</summary>
/// <remarks>
/// Nothing waits for it: the kernel drops what its socket cannot hold, and counts it. If the group cannot be bound, or
/// is lost, it says so once and tries again.
/// </remarks>
internal sealed class DropWatch : IDisposable
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(5);

    private readonly ushort group;
    private readonly NflogSettings settings;
    private readonly DropReader reader;
    private readonly DropHub hub;
    private readonly DropMetrics metrics;
    private readonly ILogger log;
    private readonly Thread thread;
    private readonly ManualResetEventSlim stop = new();
    private readonly Lock gate = new();
    private NflogConnection? connection;

    private DropWatch(
        ushort group, NflogSettings settings, DropReader reader, DropHub hub, DropMetrics metrics, ILogger log)
    {
        (this.group, this.settings, this.reader, this.hub, this.metrics, this.log) =
            (group, settings, reader, hub, metrics, log);
        thread = new Thread(Run) { IsBackground = true, Name = "nflog" };
    }

    public static DropWatch Start(
        ushort group, NflogSettings settings, DropReader reader, DropHub hub, DropMetrics metrics, ILogger log)
    {
        var watch = new DropWatch(group, settings, reader, hub, metrics, log);
        watch.thread.Start();
        return watch;
    }

    /// <summary>Tells the reader each state, until cancelled.</summary>
    public static async Task FollowAsync(
        DropReader reader, Func<long, CancellationToken, Task<AgentState>> next, CancellationToken cancel)
    {
        try
        {
            for (AgentState state = AgentState.Initial; ;)
            {
                state = await next(state.Version, cancel).ConfigureAwait(false);
                reader.Follow(state);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    public void Dispose()
    {
        stop.Set();
        lock (gate)
        {
            connection?.Interrupt();
        }

        thread.Join();
        stop.Dispose();
    }

    private void Run()
    {
        string said = "";
        while (!stop.IsSet)
        {
            try
            {
                using NflogConnection open = NflogConnection.Open(group, settings);
                Attach(open);
                said = "";
                Receive(open);
            }
            catch (NetlinkException e)
            {
                if (e.Message != said)
                {
                    log.DropsUnread(group, said = e.Message);
                }
            }
            finally
            {
                Attach(null);
            }

            stop.Wait(RetryInterval);
        }
    }

    private void Attach(NflogConnection? open)
    {
        lock (gate)
        {
            connection = open;
        }

        metrics.Bound(open is not null);
    }

    private void Receive(NflogConnection open)
    {
        (long lost, long unreadable) = (0, 0);
        while (!stop.IsSet)
        {
            if (open.Receive(Timeout.InfiniteTimeSpan, Show) == ReceiveResult.Overrun)
            {
                metrics.Overrun();
            }

            metrics.Lost(DropMetrics.Socket, open.Lost - lost);
            metrics.Lost(DropMetrics.Unreadable, open.Unreadable - unreadable);
            (lost, unreadable) = (open.Lost, open.Unreadable);
        }
    }

    private void Show(LoggedPacket packet)
    {
        if (reader.Read(packet) is not { } record)
        {
            metrics.Lost(DropMetrics.Unreadable, 1);
            return;
        }

        metrics.Recorded(record.IsAccepted);
        hub.Publish(record);
    }
}
