using Agent.Daemon.Enforcement;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.Daemon.Ownership;

/// <summary>
/// A Sync call as its server reads and writes it: heartbeats are answered on the way and never seen, answers of several
/// writers come one after the other, and a client that is silent for too long is found.
/// </summary>
internal sealed class ControllerStream : IAsyncStreamReader<SyncRequest>, IServerStreamWriter<SyncResponse>,
    IAsyncDisposable
{
    /// <summary>A heartbeat may be late, and one may be lost in a pause of its sender.</summary>
    private const int Misses = 3;

    private static readonly TimeSpan HeartbeatMin = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan HeartbeatMax = TimeSpan.FromMinutes(10);

    private readonly Controllers controllers;
    private readonly IAsyncStreamReader<SyncRequest> requests;
    private readonly IServerStreamWriter<SyncResponse> answers;
    private readonly TimeProvider clock;
    private readonly CancellationToken gone;
    private readonly SemaphoreSlim writing = new(1, 1);
    private readonly CancellationTokenSource ended = new();
    private TimeSpan heartbeat; // zero: none are sent, and none expected
    private Func<AgentState> state = () => AgentState.Initial;
    private ulong openedTerm;
    private Task beating = Task.CompletedTask;
    private Task telling = Task.CompletedTask;
    private long heardAt;
    private int isTold; // 1: that its term is over
    private StreamEnd end = StreamEnd.Refused;

    public ControllerStream(
        Controllers controllers, IAsyncStreamReader<SyncRequest> requests, IServerStreamWriter<SyncResponse> answers,
        TimeProvider clock, string caller, CancellationToken gone)
    {
        (this.controllers, this.requests, this.answers) = (controllers, requests, answers);
        (this.clock, this.gone) = (clock, gone);
        Claim = Claim.None with { Caller = caller };
        OpenedAt = clock.GetTimestamp();
    }

    /// <summary>By what right its changes come.</summary>
    public Claim Claim { get; private set; }

    public long OpenedAt { get; }

    /// <summary>When its last message came; 0: none yet.</summary>
    public long HeardAt => Volatile.Read(ref heardAt);

    /// <summary>How long it may be silent.</summary>
    public TimeSpan Patience => Misses * heartbeat;

    public SyncRequest Current => requests.Current;

    public WriteOptions? WriteOptions
    {
        get => answers.WriteOptions;
        set => answers.WriteOptions = value;
    }

    /// <summary>Says who sends what follows, and takes over if its term is newer.</summary>
    /// <param name="hello">As it came.</param>
    /// <param name="current">What heartbeats tell of.</param>
    /// <returns>Null: what follows is taken, if nobody takes over meanwhile. Otherwise why it is not.</returns>
    public PolicyFault? Hello(SyncHello hello, Func<AgentState> current)
    {
        if (hello.Heartbeat is not null && heartbeat == TimeSpan.Zero)
        {
            return new PolicyFault("hello.heartbeat", "InvalidTimeout",
                $"{hello.Heartbeat.Seconds} s {hello.Heartbeat.Nanos} ns is no interval of heartbeats",
                $"Take {HeartbeatMin.TotalMilliseconds} ms to {HeartbeatMax.TotalMinutes} min, or leave it out.");
        }

        state = current;
        Claim = new Claim(hello.Controller, hello.Term) { Acquires = hello.Acquire, Caller = Claim.Caller };
        LeaseAnswer answer = controllers.Keeper.Admit(Claim, opensStream: true);
        controllers.Keeper.Close(openedTerm);
        openedTerm = 0;
        if (answer is LeaseAnswer.Granted granted)
        {
            Claim = granted.Claim;
            (openedTerm, isTold) = (Claim.Term, 0);
            Replaced(controllers.Keeper.Lease); // between the two, somebody else may have come
        }

        beating = heartbeat > TimeSpan.Zero && beating.IsCompleted ? BeatAsync() : beating;
        controllers.Look();
        return (answer as LeaseAnswer.Refused)?.Fault is { } fault ? fault with { Path = $"hello.{fault.Path}" } : null;
    }

    /// <summary>A newer term is there: says so to its client, once, if that had an older one.</summary>
    public void Replaced(Lease newer)
    {
        if (openedTerm > 0 && openedTerm < newer.Term && Interlocked.Exchange(ref isTold, 1) == 0)
        {
            telling = WriteOrEndAsync(
                new SyncResponse { LeaseLost = new LeaseLost { Term = newer.Term, Controller = newer.Holder } });
        }
    }

    /// <exception cref="RpcException">No heartbeat came in time.</exception>
    public async Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        try
        {
            while (await MoveInTimeAsync(cancellationToken).ConfigureAwait(false))
            {
                Heard(Current);
                if (Current.MessageCase != SyncRequest.MessageOneofCase.Heartbeat)
                {
                    return true;
                }

                await WriteAsync(Beat(Current.Heartbeat.Number), cancellationToken).ConfigureAwait(false);
            }

            end = StreamEnd.Closed;
            return false;
        }
        catch (IOException)
        {
            end = StreamEnd.Lost;
            throw;
        }
    }

    public Task WriteAsync(SyncResponse message) => WriteAsync(message, CancellationToken.None);

    public async Task WriteAsync(SyncResponse message, CancellationToken cancellationToken)
    {
        await writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await answers.WriteAsync(message, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            writing.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        controllers.Keeper.Close(openedTerm);
        controllers.Left(this, end == StreamEnd.Refused && gone.IsCancellationRequested ? StreamEnd.Lost : end);
        await ended.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(beating, telling).ConfigureAwait(false); // nothing is written to a call that has ended
        ended.Dispose();
        writing.Dispose();
    }

    private void Heard(SyncRequest request)
    {
        bool isFirst = HeardAt == 0;
        Volatile.Write(ref heardAt, clock.GetTimestamp());
        if (request.MessageCase == SyncRequest.MessageOneofCase.Hello)
        {
            heartbeat = IntervalOf(request.Hello.Heartbeat);
        }
        else if (isFirst)
        {
            controllers.Look();
        }
    }

    /// <returns>Zero: none, or none that makes sense.</returns>
    private static TimeSpan IntervalOf(Duration? wish)
    {
        if (wish is null || wish.Seconds < 0 || wish.Seconds > HeartbeatMax.TotalSeconds
            || wish.Nanos is < 0 or >= 1_000_000_000)
        {
            return TimeSpan.Zero;
        }

        var interval = wish.ToTimeSpan();
        return interval < HeartbeatMin || interval > HeartbeatMax ? TimeSpan.Zero : interval;
    }

    // Only time in which somebody listens counts: a long commit is no silence of the client.
    private async Task<bool> MoveInTimeAsync(CancellationToken cancel)
    {
        if (heartbeat == TimeSpan.Zero)
        {
            return await requests.MoveNext(cancel).ConfigureAwait(false);
        }

        using var silence = new CancellationTokenSource(Patience, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancel);
        try
        {
            return await requests.MoveNext(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
            when (silence.IsCancellationRequested && !cancel.IsCancellationRequested && !gone.IsCancellationRequested)
        {
            end = StreamEnd.Silent;
            throw new RpcException(new Status(StatusCode.DeadlineExceeded,
                $"no message for {Patience.TotalSeconds} s, though heartbeats were announced; connect again"));
        }
    }

    private async Task BeatAsync()
    {
        try
        {
            while (heartbeat > TimeSpan.Zero)
            {
                await Task.Delay(heartbeat, clock, ended.Token).ConfigureAwait(false);
                await WriteOrEndAsync(Beat(0)).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    // What cannot be written is for the reading side to find: the call ends there.
    private async Task WriteOrEndAsync(SyncResponse message)
    {
        try
        {
            await WriteAsync(message, ended.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (
            e is OperationCanceledException or IOException or InvalidOperationException or RpcException)
        {
        }
    }

    private SyncResponse Beat(ulong number)
    {
        AgentState now = state();
        return new SyncResponse
        {
            Heartbeat = new Heartbeat
            {
                Number = number,
                Time = clock.GetUtcNow().ToTimestamp(),
                HeldRevision = now.Desired.Revision,
                AppliedRevision = now.AppliedRevision,
            },
        };
    }
}
