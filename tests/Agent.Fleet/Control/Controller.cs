using System.Threading.Channels;
using Agent.Client;
using Agent.Fleet.Etcd;
using Agent.Fleet.Store;
using Grpc.Core;

namespace Agent.Fleet.Control;

/// <summary>
/// One replica of the reference controller. It keeps nothing: the store says what is wanted, the agents what they hold.
/// </summary>
/// <remarks>
/// Whoever makes the leader's key leads as long as its lease lives; the others wait for the key to go. Revisions of
/// states are the store's, so a leader that has been deposed without noticing is behind, and agents refuse what is
/// behind. The key's create revision is the term, for agents that compare terms.
/// </remarks>
/// <param name="store">etcd.</param>
/// <param name="name">Of the replica.</param>
/// <param name="say">Gets a line about each thing that happens.</param>
internal sealed class Controller(EtcdStore store, string name, Action<string> say)
{
    private const int SnapshotsAtATime = 32;

    /// <summary>How long a dead leader leads on.</summary>
    public static readonly TimeSpan LeaseLife = TimeSpan.FromSeconds(3);

    /// <summary>First connections to many agents are spread over this per agent.</summary>
    private static readonly TimeSpan StartPerAgent = TimeSpan.FromMilliseconds(2);

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(500);

    public async Task RunAsync(CancellationToken cancel)
    {
        while (!cancel.IsCancellationRequested)
        {
            using var reign = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            Task leading = Task.CompletedTask;
            try
            {
                long lease = await store.GrantAsync(LeaseLife, cancel);
                Task alive = store.KeepAliveAsync(lease, LeaseLife, reign.Token);
                long term = await ElectAsync(lease, alive, cancel);
                say($"{name} leads, term {term}");
                leading = LeadAsync((ulong)term, reign.Token);
                await await Task.WhenAny(alive, leading);
                say($"{name} leads no more");
            }
            catch (RpcException e) when (!cancel.IsCancellationRequested)
            {
                say($"{name}: {e.Status.Detail}");
            }
            finally
            {
                await reign.CancelAsync();
                await leading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            await Task.Delay(RetryDelay, cancel);
        }
    }

    /// <returns>The term.</returns>
    private async Task<long> ElectAsync(long lease, Task alive, CancellationToken cancel)
    {
        while (true)
        {
            (_, long now) = await store.ListAsync(Keys.Leader, cancel);
            if (await store.TryMakeAsync(Keys.Leader, name, lease, cancel) is { } term)
            {
                return term;
            }

            using var watching = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            Task gone = GoneAsync(now + 1, watching.Token);
            await await Task.WhenAny(gone, alive);
            await watching.CancelAsync();
            if (alive.IsCompleted)
            {
                throw new RpcException(new Status(StatusCode.Aborted, "the lease ended while another led"));
            }
        }
    }

    private async Task GoneAsync(long from, CancellationToken cancel)
    {
        await foreach (Batch batch in store.WatchAsync(Keys.Leader, from, cancel))
        {
            if (batch.Events.Any(one => one.Type == Event.Types.EventType.Delete))
            {
                return;
            }
        }
    }

    private async Task LeadAsync(ulong term, CancellationToken cancel)
    {
        (IReadOnlyList<KeyValue> keys, long revision) = await store.ListAsync(Keys.Root, cancel);
        using var slots = new SemaphoreSlim(SnapshotsAtATime);
        var streams = new Dictionary<string, PolicyStream>(StringComparer.Ordinal);
        try
        {
            Region region = Region.Load(keys, revision);
            int hosts = keys.Count(pair => Keys.Parse(pair.Key.ToStringUtf8()).Kind == "hosts");
            var options = new PolicyStreamOptions
            {
                Controller = name,
                Term = term,
                SnapshotSlots = slots,
                StartWithin = hosts * StartPerAgent,
                MaxDelay = TimeSpan.FromSeconds(5),
            };
            say($"{name} has loaded {keys.Count} keys at revision {revision}");
            Publish(region, streams, options);
            Channel<Batch> batches = Channel.CreateBounded<Batch>(256);
            Task watching = WatchAsync(revision + 1, batches.Writer, cancel);
            while (await batches.Reader.WaitToReadAsync(cancel))
            {
                // What has come meanwhile goes out together.
                while (batches.Reader.TryRead(out Batch? batch))
                {
                    region.Take(batch, DateTimeOffset.UtcNow);
                }

                Publish(region, streams, options);
            }

            await watching;
        }
        catch (InvalidPolicyException e)
        {
            say($"{name}: what the store holds is no policy: {e.Message}");
            await ChangeAsync(cancel);
        }
        finally
        {
            await Task.WhenAll(streams.Values.Select(stream => stream.DisposeAsync().AsTask()));
        }
    }

    private async Task WatchAsync(long from, ChannelWriter<Batch> batches, CancellationToken cancel)
    {
        try
        {
            await foreach (Batch batch in store.WatchAsync(Keys.Root, from, cancel))
            {
                await batches.WriteAsync(batch, cancel);
            }

            batches.Complete();
        }
        catch (Exception e)
        {
            batches.Complete(e);
        }
    }

    /// <summary>Ends with the next change of the store: before that, nothing is better.</summary>
    private async Task ChangeAsync(CancellationToken cancel)
    {
        (_, long now) = await store.ListAsync(Keys.Leader, cancel);
        await foreach (Batch _ in store.WatchAsync(Keys.Root, now + 1, cancel))
        {
            return;
        }
    }

    private void Publish(Region region, Dictionary<string, PolicyStream> streams, PolicyStreamOptions options)
    {
        foreach ((string host, string socket, DesiredState state) in region.TakeChanged())
        {
            if (!streams.TryGetValue(host, out PolicyStream? stream))
            {
                stream = PolicyStream.Open(new AgentAddress.Unix(socket), options with
                {
                    Random = new Random(),
                    OnState = now =>
                    {
                        if (now is StreamState.Refused)
                        {
                            say($"{host}: {now}");
                        }
                    },
                });
                streams.Add(host, stream);
            }

            stream.Want(state);
        }
    }
}
