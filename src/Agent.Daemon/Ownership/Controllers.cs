using Agent.Daemon.Config;
using Agent.V1;
using Grpc.Core;
using Prometheus;

namespace Agent.Daemon.Ownership;

/// <summary>The streams of controllers: who is there, who was replaced, and since when nobody is.</summary>
internal sealed class Controllers
{
    private readonly Lock gate = new();
    private readonly List<ControllerStream> open = []; // the oldest first
    private readonly TimeProvider clock;
    private readonly ILogger log;
    private readonly OwnershipMetrics metrics;
    private long heardAt; // 0: never
    private long? absentSince;

    public Controllers(LeaseKeeper keeper, TimeProvider clock, ILogger log, OwnershipMetrics metrics)
    {
        (Keeper, this.clock, this.log, this.metrics) = (keeper, clock, log, metrics);
        absentSince = clock.GetTimestamp();
        keeper.OnTaken = Replaced;
        metrics.Follow(Look);
    }

    public static Controllers Of(DaemonConfig config, CollectorRegistry registry, ILogger log)
    {
        var metrics = new OwnershipMetrics(registry);
        var keeper = new LeaseKeeper(
            new LeaseFile(config.StateDirectory), config.Grpc.LeaseLife, TimeProvider.System, log, metrics);
        return new Controllers(keeper, TimeProvider.System, log, metrics);
    }

    public LeaseKeeper Keeper { get; }

    /// <summary>Told when somebody comes after nobody was there, and the reverse.</summary>
    public Action OnChanged { get; set; } = () => { };

    /// <summary>A Sync call begins; it ends with the result.</summary>
    /// <param name="requests">What its client sends.</param>
    /// <param name="answers">What it gets.</param>
    /// <param name="caller">Whom its connection shows.</param>
    /// <param name="gone">Cancelled when the client is gone.</param>
    public ControllerStream Open(
        IAsyncStreamReader<SyncRequest> requests, IServerStreamWriter<SyncResponse> answers, string caller,
        CancellationToken gone)
    {
        var stream = new ControllerStream(this, requests, answers, clock, caller, gone);
        lock (gate)
        {
            open.Add(stream);
        }

        return stream;
    }

    /// <summary>Who is there now.</summary>
    public Presence Look()
    {
        ControllerStream? writer = null;
        bool changed;
        Presence seen;
        lock (gate)
        {
            foreach (ControllerStream stream in open)
            {
                if (stream.HeardAt > 0 && Keeper.Admits(stream.Claim))
                {
                    heardAt = Math.Max(heardAt, stream.HeardAt);
                    writer = stream;
                }
            }

            long now = clock.GetTimestamp();
            changed = (writer is null) != (absentSince is not null);
            absentSince = writer is null ? absentSince ?? now : null;
            Lease lease = Keeper.Lease;
            seen = new Presence(lease, lease.IsHeld(Keeper.Now), Keeper.Left(lease))
            {
                Name = writer?.Claim.Controller ?? "",
                ConnectedFor = writer is null ? null : clock.GetElapsedTime(writer.OpenedAt, now),
                HeardBefore = heardAt > 0 ? clock.GetElapsedTime(heardAt, now) : null,
                AbsentFor = absentSince is long since ? clock.GetElapsedTime(since, now) : TimeSpan.Zero,
            };
        }

        if (changed)
        {
            Tell(writer);
        }

        return seen;
    }

    public void Left(ControllerStream stream, StreamEnd end)
    {
        metrics.Ended(end);
        if (end == StreamEnd.Silent)
        {
            log.ControllerSilent(stream.Claim.Controller, stream.Claim.Caller, stream.Patience.TotalSeconds);
        }

        Look(); // while it is there: what was heard of it counts
        lock (gate)
        {
            open.Remove(stream);
        }

        Look();
    }

    private void Tell(ControllerStream? writer)
    {
        if (writer is null)
        {
            log.NoController();
        }
        else
        {
            log.ControllerConnected(writer.Claim.Controller, writer.Claim.Caller, writer.Claim.Term);
        }

        OnChanged();
    }

    private void Replaced(Lease newer)
    {
        lock (gate)
        {
            open.ForEach(stream => stream.Replaced(newer)); // one that has left hears nothing more
        }
    }
}
