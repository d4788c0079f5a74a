using System.Threading.Channels;
using Agent.Daemon.Sessions;
using Agent.Evaluator.Explaining;
using Agent.Evaluator.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Agent.V1;
using Grpc.Core;

namespace Agent.Daemon.Service;

/// <summary>Streams the sessions of vNICs, judged, while the kernel's table is read.</summary>
internal sealed class SessionLister(SessionWatch watch, SessionReading read) : IDisposable
{
    /// <summary>Sessions read ahead of a slow client; the kernel waits with the rest.</summary>
    private const int ReadAhead = 256;

    /// <summary>Readings at a time: each costs a thread and walks the kernel's whole table.</summary>
    private const int Readers = 2;

    private readonly SemaphoreSlim readers = new(Readers, Readers);

    /// <exception cref="RpcException">The request is none, or the table cannot be read.</exception>
    public async Task ListAsync(
        ListSessionsRequest request, IServerStreamWriter<SessionStatus> to, CancellationToken cancel)
    {
        if (watch.Judge is not { } judge)
        {
            return; // no policy, no vNICs
        }

        SessionChoice choice = SessionChoice.Of(request, judge);
        await readers.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            Channel<SessionStatus> channel = Channel.CreateBounded<SessionStatus>(ReadAhead);
            Task reading = Task.Run(() => Read(judge, choice, channel.Writer, enough.Token), CancellationToken.None);
            try
            {
                await foreach (SessionStatus session in
                    channel.Reader.ReadAllAsync(cancel).ConfigureAwait(false))
                {
                    await to.WriteAsync(session, cancel).ConfigureAwait(false);
                }
            }
            finally
            {
                await enough.CancelAsync().ConfigureAwait(false);
                await reading.ConfigureAwait(false);
            }
        }
        finally
        {
            readers.Release();
        }
    }

    public void Dispose() => readers.Dispose();

    // On a thread of its own: netlink is read synchronously, and waits for whoever takes the sessions.
    private void Read(
        SessionJudge judge, SessionChoice choice, ChannelWriter<SessionStatus> to, CancellationToken cancel)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var shown = new HashSet<uint>();
        Exception? failure = null;
        try
        {
            read.Whole(choice.Filter, () => Show, enough.Token);
        }
        catch (OperationCanceledException)
        {
            // Enough were shown, or nobody listens any more.
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The edge of this thread: whatever it was, the client must not wait for more.
            StatusCode code = e is NetlinkException ? StatusCode.FailedPrecondition : StatusCode.Internal;
            failure = new RpcException(new Status(code, $"the session table cannot be read: {e.Message}"));
        }

        to.Complete(failure);

        void Show(Flow flow)
        {
            if (enough.IsCancellationRequested || !choice.Fits(flow)
                || judge.Judge(flow.Tracked()) is not { } session || !choice.Fits(session) || !shown.Add(flow.Id))
            {
                return;
            }

            SessionStatus message = SessionMessages.Of(flow, session);
            while (!to.TryWrite(message))
            {
                to.WaitToWriteAsync(enough.Token).AsTask().GetAwaiter().GetResult();
            }

            if (shown.Count == choice.Limit)
            {
                enough.Cancel();
            }
        }
    }
}

/// <summary>Which sessions a request asks for.</summary>
internal sealed record SessionChoice
{
    /// <summary>What the kernel can sort out itself.</summary>
    public FlowFilter Filter { get; private init; } = FlowFilter.All;

    /// <summary>At most so many; 0: all.</summary>
    public int Limit { get; private init; }

    private string? VnicId { get; init; }

    private bool StaleOnly { get; init; }

    private byte? Protocol { get; init; }

    private IpPrefix? Remote { get; init; }

    /// <exception cref="RpcException">It names what is not there.</exception>
    public static SessionChoice Of(ListSessionsRequest request, SessionJudge judge)
    {
        Policy.Vnic? vnic = request.Vnic.Length == 0 ? null
            : judge.FindVnic(request.Vnic) ?? throw SessionMessages.NoVnic(request.Vnic);
        return new SessionChoice
        {
            Filter = vnic is null ? FlowFilter.All : new FlowFilter { Zone = judge.ZoneOf(vnic) },
            Limit = (int)Math.Min(request.Limit, int.MaxValue),
            VnicId = vnic?.Id,
            StaleOnly = request.StaleOnly,
            Protocol = request.Protocol.ToUpperInvariant() is "" or "ALL" ? null
                : PacketText.ProtocolOf(request.Protocol) ?? throw Wrong($"'{request.Protocol}' is not a protocol"),
            Remote = request.Remote.Length == 0 ? null
                : IpPrefix.TryParse(request.Remote, out IpPrefix prefix, out _) ? prefix
                : throw Wrong($"'{request.Remote}' is not an address or a prefix"),
        };
    }

    public bool Fits(Flow flow) => (Protocol is null || flow.Original.Protocol == Protocol)
        && (Remote is not { } remote || remote.Contains(IpPrefix.Host(flow.Original.Source))
            || remote.Contains(IpPrefix.Host(flow.Original.Destination)));

    public bool Fits(JudgedSession session) => (VnicId is null || session.Ends.Any(end => end.Vnic.Id == VnicId))
        && (!StaleOnly || session.Age != Evaluator.Sessions.SessionAge.Live);

    private static RpcException Wrong(string what) => new(new Status(StatusCode.InvalidArgument, what));
}
