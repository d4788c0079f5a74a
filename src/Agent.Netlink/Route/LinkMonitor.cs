using System.Threading.Channels;

namespace Agent.Netlink.Route;

/// <summary>The devices of this network namespace: all of them now, and what happens to them from now on.</summary>
/// <remarks>
/// Start first, then <see cref="ReadAll"/>: what changes in between arrives as an event. Events are hints; the newest
/// state of a device wins. After <see cref="LinkEvent.Overrun"/> read all again.
/// </remarks>
public sealed class LinkMonitor : IDisposable
{
    /// <summary>How long a full channel is left alone before the thread offers the overrun again.</summary>
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(50);

    private readonly NetlinkSocket socket;
    private readonly ChannelWriter<LinkEvent> events;
    private readonly Thread thread;
    private volatile bool stopping;

    private LinkMonitor(ChannelWriter<LinkEvent> events)
    {
        this.events = events;
        socket = new NetlinkSocket(NetlinkProtocol.Route);
        try
        {
            socket.Join(Rtnlgrp.Link);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        thread = new Thread(Run) { IsBackground = true, Name = "rtnetlink links" };
    }

    /// <summary>Subscribes, then feeds the channel from a thread of its own until disposed.</summary>
    /// <param name="events">Completed when the monitor ends; with the exception if it ends by one.</param>
    /// <param name="cancel">Ends the monitor as <see cref="Dispose"/> does, without waiting for it.</param>
    public static LinkMonitor Start(ChannelWriter<LinkEvent> events, CancellationToken cancel = default)
    {
        var monitor = new LinkMonitor(events);
        monitor.thread.Start();
        cancel.Register(monitor.Stop);
        return monitor;
    }

    /// <summary>Every device, in the order of its index.</summary>
    /// <exception cref="NetlinkException">The kernel refused, or the list kept changing under the read.</exception>
    public static IReadOnlyList<LinkState> ReadAll()
    {
        var links = new List<LinkState>();
        RouteDump.Read("list links", LinkCodec.WriteDump, links.Clear, message =>
        {
            if (LinkCodec.Read(message) is LinkEvent.Changed changed)
            {
                links.Add(changed.Link);
            }
        });
        links.Sort((a, b) => a.Index.CompareTo(b.Index));
        return links;
    }

    public void Dispose()
    {
        Stop();
        if (thread != Thread.CurrentThread)
        {
            thread.Join();
        }
    }

    private void Stop()
    {
        if (!stopping)
        {
            stopping = true;
            socket.Interrupt();
        }
    }

    private void Run()
    {
        Exception? fault = null;
        try
        {
            bool overrunDue = false;
            while (!stopping)
            {
                overrunDue = Step(overrunDue);
            }
        }
        catch (Exception e) when (e is NetlinkException or NetlinkFormatException)
        {
            fault = e;
        }
        finally
        {
            socket.Dispose();
            events.TryComplete(fault);
        }
    }

    /// <returns>Whether the consumer has yet to be told that events were lost.</returns>
    private bool Step(bool overrunDue)
    {
        if (overrunDue && events.TryWrite(new LinkEvent.Overrun()))
        {
            overrunDue = false;
        }

        switch (socket.Receive(overrunDue ? RetryInterval : Timeout.InfiniteTimeSpan))
        {
            case ReceiveResult.Overrun:
                return true;
            case ReceiveResult.Datagram:
                foreach (NlMessage message in new NlMessages(socket.Received))
                {
                    if (LinkCodec.Read(message) is { } happened)
                    {
                        overrunDue = overrunDue || !events.TryWrite(happened);
                    }
                }

                return overrunDue;
            default:
                return overrunDue;
        }
    }
}
