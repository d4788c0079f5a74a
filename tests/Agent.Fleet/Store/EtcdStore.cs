using System.Runtime.CompilerServices;
using Agent.Fleet.Etcd;
using Agent.TestNet;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Agent.Fleet.Store;

/// <summary>A key that is written, or (null) removed.</summary>
internal sealed record Write(string Key, ByteString? Value);

/// <summary>Events of one answer of a watch, and the revision that they lead to.</summary>
internal sealed record Batch(long Revision, IReadOnlyList<Event> Events);

/// <summary>etcd, as far as a controller needs it. Every revision is of the whole store, and only grows.</summary>
internal sealed class EtcdStore(string socket) : IDisposable
{
    /// <summary>etcd's own limit on the operations of a transaction.</summary>
    public const int MostWrites = 128;

    private const int PageSize = 10_000;

    private readonly GrpcChannel channel = DaemonProcess.OpenChannel(socket);

    private KV.KVClient Keys => new(channel);

    private Lease.LeaseClient Leases => new(channel);

    /// <summary>All keys of a prefix, as they are at one revision.</summary>
    public async Task<(IReadOnlyList<KeyValue> Keys, long Revision)> ListAsync(string prefix, CancellationToken cancel)
    {
        var found = new List<KeyValue>();
        var ask = new RangeRequest { Key = Utf8(prefix), RangeEnd = EndOf(prefix), Limit = PageSize };
        while (true)
        {
            RangeResponse page = await Keys.RangeAsync(ask, cancellationToken: cancel);
            found.AddRange(page.Kvs);
            ask.Revision = ask.Revision == 0 ? page.Header.Revision : ask.Revision;
            if (!page.More)
            {
                return (found, ask.Revision);
            }

            ask.Key = ByteString.CopyFrom([.. page.Kvs[^1].Key.Span, 0]);
        }
    }

    /// <summary>All of it or nothing.</summary>
    /// <returns>The revision at which it is so.</returns>
    public async Task<long> WriteAsync(IEnumerable<Write> writes, CancellationToken cancel) =>
        (await Keys.TxnAsync(new TxnRequest { Success = { writes.Select(OpOf) } }, cancellationToken: cancel))
            .Header.Revision;

    /// <summary>What changes below a prefix from a revision on, until the call ends.</summary>
    /// <exception cref="RpcException">The connection ended, or what is asked for has been compacted.</exception>
    public async IAsyncEnumerable<Batch> WatchAsync(
        string prefix, long from, [EnumeratorCancellation] CancellationToken cancel)
    {
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call =
            new Watch.WatchClient(channel).Watch(cancellationToken: cancel);
        await call.RequestStream.WriteAsync(
            new WatchRequest
            {
                CreateRequest = new WatchCreateRequest
                {
                    Key = Utf8(prefix),
                    RangeEnd = EndOf(prefix),
                    StartRevision = from,
                },
            }, cancel);
        await foreach (WatchResponse response in call.ResponseStream.ReadAllAsync(cancel))
        {
            if (response.Canceled)
            {
                throw new RpcException(new Status(StatusCode.OutOfRange, response.CancelReason));
            }

            if (response.Events.Count > 0)
            {
                yield return new Batch(response.Events[^1].Kv.ModRevision, response.Events);
            }
        }
    }

    public async Task<long> GrantAsync(TimeSpan life, CancellationToken cancel) => (await Leases.LeaseGrantAsync(
        new LeaseGrantRequest { TTL = (long)life.TotalSeconds }, cancellationToken: cancel)).ID;

    /// <summary>Asks for a lease's life three times in it. Ends when it has ended.</summary>
    /// <exception cref="RpcException">So has the connection, or for a whole life nobody has answered.</exception>
    public async Task KeepAliveAsync(long lease, TimeSpan life, CancellationToken cancel)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call =
            Leases.LeaseKeepAlive(cancellationToken: patience.Token);
        while (true)
        {
            patience.CancelAfter(life);
            await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = lease }, CancellationToken.None);
            if (!await call.ResponseStream.MoveNext(CancellationToken.None) || call.ResponseStream.Current.TTL <= 0)
            {
                return;
            }

            await Task.Delay(life / 3, cancel);
        }
    }

    /// <summary>Makes a key that goes with a lease, if it is not there.</summary>
    /// <returns>The revision at which it was made, or null.</returns>
    public async Task<long?> TryMakeAsync(string key, string value, long lease, CancellationToken cancel)
    {
        TxnResponse done = await Keys.TxnAsync(
            new TxnRequest
            {
                Compare =
                {
                    new Compare
                    {
                        Result = Compare.Types.CompareResult.Equal,
                        Target = Compare.Types.CompareTarget.Create,
                        Key = Utf8(key),
                        CreateRevision = 0,
                    },
                },
                Success =
                {
                    new RequestOp
                    {
                        RequestPut = new PutRequest { Key = Utf8(key), Value = Utf8(value), Lease = lease },
                    },
                },
            }, cancellationToken: cancel);
        return done.Succeeded ? done.Header.Revision : null;
    }

    public void Dispose() => channel.Dispose();

    private static RequestOp OpOf(Write write) => write.Value is null
        ? new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = Utf8(write.Key) } }
        : new RequestOp { RequestPut = new PutRequest { Key = Utf8(write.Key), Value = write.Value } };

    private static ByteString Utf8(string text) => ByteString.CopyFromUtf8(text);

    private static ByteString EndOf(string prefix)
    {
        byte[] end = Utf8(prefix).ToByteArray();
        end[^1]++;
        return ByteString.CopyFrom(end);
    }
}
