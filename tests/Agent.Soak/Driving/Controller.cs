using System.Diagnostics;
using System.Globalization;
using Agent.Client;
using Agent.V1;

namespace Agent.Soak.Driving;

/// <summary>Brings the agent from state to state with the client library, and is replaced now and then.</summary>
internal sealed class Controller : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly DaemonUnderTest daemon;
    private readonly Tally tally;
    private PolicyStream stream;
    private DesiredState current;
    private ulong term;

    private Controller(DaemonUnderTest daemon, Snapshot first, Tally tally)
    {
        this.daemon = daemon;
        this.tally = tally;
        Snapshot snapshot = first.Clone();
        snapshot.Revision = 1;
        current = DesiredState.Of(snapshot);
        stream = Open();
    }

    public static async Task<Controller> StartAsync(DaemonUnderTest daemon, Snapshot first, Tally tally)
    {
        var controller = new Controller(daemon, first, tally);
        await controller.ApplyAsync();
        return controller;
    }

    /// <summary>Ends when it is in force.</summary>
    public async Task SendAsync(Delta delta, string kind)
    {
        delta.BaseRevision = current.Revision;
        delta.Revision = current.Revision + 1;
        current = current.After(delta);
        await ApplyAsync();
        tally.Count($"change: {kind}");
    }

    /// <summary>Another content, as far as it differs.</summary>
    public async Task ReturnToAsync(Snapshot content)
    {
        Snapshot snapshot = content.Clone();
        snapshot.Revision = current.Revision + 1;
        current = DesiredState.Of(snapshot);
        await ApplyAsync();
    }

    /// <summary>
    /// A newer term, of a controller that does not know what the agent holds: it sends a snapshot, and the old one
    /// loses the lease.
    /// </summary>
    public async Task TakeOverAsync()
    {
        PolicyStream old = stream;
        stream = Open();
        current = current.At(current.Revision + 1);
        await ApplyAsync();
        await old.DisposeAsync();
        tally.Count("change: takeover with a snapshot");
    }

    public ValueTask DisposeAsync() => stream.DisposeAsync();

    private PolicyStream Open() => PolicyStream.Open(
        new AgentAddress.Unix(daemon.Process.SocketPath),
        new PolicyStreamOptions
        {
            Controller = string.Create(CultureInfo.InvariantCulture, $"soak-{++term}"),
            Term = term,
            MaxDelay = TimeSpan.FromMilliseconds(500),
        });

    private async Task ApplyAsync()
    {
        int before = daemon.Disturbances;
        long began = Stopwatch.GetTimestamp();
        using var limit = new CancellationTokenSource(Patience);
        StepOutcome outcome;
        try
        {
            outcome = await stream.ApplyAsync(current, limit.Token);
        }
        catch (OperationCanceledException)
        {
            throw new InvalidOperationException(
                $"no answer to revision {current.Revision} in {Patience}; the stream is {stream.State}");
        }

        switch (outcome)
        {
            case StepOutcome.Accepted accepted:
                foreach (VnicStatus vnic in accepted.Answer?.FailedVnics ?? [])
                {
                    tally.Fault($"revision {current.Revision}: {vnic.VnicId} does not follow: {vnic.Reason}");
                }

                if (daemon.WasThereSince(before))
                {
                    tally.Answered(Stopwatch.GetElapsedTime(began));
                }

                break;
            default:
                throw new InvalidOperationException($"revision {current.Revision} is not accepted: {outcome}");
        }
    }
}
