using Agent.Contract;
using Agent.Policy;
using Agent.V1;
using Google.Protobuf;
using Grpc.Core;

namespace Agent.KernelTests.Daemon;

/// <summary>A controller's side of a Sync stream.</summary>
internal sealed class SyncClient : IAsyncDisposable
{
    private readonly AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call;

    private SyncClient(AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call) => this.call = call;

    public static SyncClient Open(DaemonLab lab) => new(lab.Client.Sync());

    public Task SendAsync(SyncRequest request) => call.RequestStream.WriteAsync(request);

    public async Task<SyncResponse> AskAsync(SyncRequest request)
    {
        await SendAsync(request);
        return await AnswerAsync();
    }

    public async Task<SyncResponse> AnswerAsync()
    {
        Assert.True(await call.ResponseStream.MoveNext(), "the stream ended without an answer");
        return call.ResponseStream.Current;
    }

    /// <summary>The next answer; null: the stream has ended.</summary>
    public async Task<SyncResponse?> NextAsync() =>
        await call.ResponseStream.MoveNext() ? call.ResponseStream.Current : null;

    public async Task<Held> HelloAsync() =>
        (await AskAsync(new SyncRequest { Hello = new SyncHello { Controller = "test" } })).Held;

    public async Task<Accepted> AcceptedAsync(Delta delta)
    {
        SyncResponse answer = await AskAsync(new SyncRequest { Delta = delta });
        Assert.True(answer.Accepted is not null, $"refused: {answer.Refused}");
        return answer.Accepted;
    }

    public async Task<Refused> RefusedAsync(Delta delta)
    {
        SyncResponse answer = await AskAsync(new SyncRequest { Delta = delta });
        Assert.True(answer.Refused is not null, $"accepted: {answer.Accepted}");
        return answer.Refused;
    }

    /// <summary>Sends a snapshot in chunks; members of large groups over several of them.</summary>
    public async Task<SyncResponse> SnapshotAsync(Snapshot snapshot, Action<SnapshotEnd>? alter = null)
    {
        var begin = new SnapshotBegin { Revision = snapshot.Revision, IssuedAt = snapshot.IssuedAt };
        await SendAsync(new SyncRequest { SnapshotBegin = begin });
        foreach (SnapshotChunk chunk in ChunksOf(snapshot))
        {
            await SendAsync(new SyncRequest { SnapshotChunk = chunk });
        }

        SnapshotEnd end = EndOf(snapshot);
        alter?.Invoke(end);
        return await AskAsync(new SyncRequest { SnapshotEnd = end });
    }

    public static IEnumerable<SnapshotChunk> ChunksOf(Snapshot snapshot, int membersPerChunk = 10_000)
    {
        foreach (V1.SecurityGroup group in snapshot.Groups)
        {
            V1.SecurityGroup head = group.Clone();
            head.Members.Clear();
            yield return new SnapshotChunk { Groups = { head } };
            foreach (string[] members in group.Members.Chunk(membersPerChunk))
            {
                yield return new SnapshotChunk
                {
                    Groups = { new V1.SecurityGroup { Id = group.Id, Members = { members } } },
                };
            }
        }

        yield return new SnapshotChunk { PrefixLists = { snapshot.PrefixLists }, PortLists = { snapshot.PortLists } };
        foreach (V1.Vnic[] vnics in snapshot.Vnics.Chunk(100))
        {
            yield return new SnapshotChunk { Vnics = { vnics } };
        }
    }

    public static SnapshotEnd EndOf(Snapshot snapshot)
    {
        SnapshotResult read = SnapshotReader.Read(snapshot, PolicyLimits.Unlimited);
        Assert.True(read.Policy is not null, string.Join('\n', read.Faults));
        return new SnapshotEnd
        {
            GroupCount = (uint)snapshot.Groups.Count,
            PrefixListCount = (uint)snapshot.PrefixLists.Count,
            PortListCount = (uint)snapshot.PortLists.Count,
            VnicCount = (uint)snapshot.Vnics.Count,
            MemberCount = (ulong)read.Policy.Groups.Values.Sum(g => (long)g.Members.Count),
            StateHash = ByteString.CopyFrom(StateHash.Of(read.Policy)),
        };
    }

    /// <summary>Says that this was all, and hears what is left to hear.</summary>
    public async Task FinishAsync()
    {
        await call.RequestStream.CompleteAsync();
        try
        {
            while (await NextAsync() is not null)
            {
            }
        }
        catch (RpcException)
        {
            // It was ended for what was sent.
        }
    }

    /// <summary>The connection breaks.</summary>
    public void Cut() => call.Dispose();

    public async ValueTask DisposeAsync()
    {
        await call.RequestStream.CompleteAsync();
        call.Dispose();
    }
}
