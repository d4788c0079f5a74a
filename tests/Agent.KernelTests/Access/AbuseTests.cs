using System.IO.Compression;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;
using Grpc.Net.Client;
using static Agent.KernelTests.Access.RawCalls;
using Rpc = Agent.V1.SecurityGroupAgent.SecurityGroupAgentClient;

namespace Agent.KernelTests.Access;

/// <summary>Clients that mean no good. Whatever they do, an honest one is answered soon, and memory stays bounded.
/// </summary>
public sealed class AbuseTests(ITestOutputHelper output)
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_message_that_is_too_large_is_refused_before_it_arrives()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc => grpc["max_message_bytes"] = 1_000_000);
        Rpc client = access.Lab.Client;
        Snapshot large = DaemonLab.OneWayIn();
        large.Groups[0].Description = new string('x', 1_100_000);
        await TooLargeAsync(async () => await client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = large }, cancellationToken: Cancel));
        await TooLargeAsync(async () => await client.VerifyAsync(
            new VerifyRequest { Vnics = { new string('x', 100_000) } }, cancellationToken: Cancel));
        await TooLargeAsync(async () =>
        {
            using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call = client.Sync(cancellationToken: Cancel);
            try
            {
                await call.RequestStream.WriteAsync(
                    new SyncRequest { SnapshotChunk = new SnapshotChunk { Groups = { large.Groups } } }, Cancel);
            }
            catch (RpcException)
            {
                // Why it ended is said when it is read.
            }

            await call.ResponseStream.MoveNext(Cancel);
        });
        Assert.Equal(3, await access.RefusalsAsync("socket", "message_size"));
        Assert.NotNull((await access.Lab.ApplyAsync(DaemonLab.OneWayIn())));

        static async Task TooLargeAsync(Func<Task> call)
        {
            RpcException refused = await Assert.ThrowsAsync<RpcException>(call);
            Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        }
    }

    /// <summary>Kestrel's own limit is 30 MB, below ours.</summary>
    [Fact]
    public async Task A_message_as_large_as_is_allowed_arrives()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        Snapshot large = DaemonLab.OneWayIn();
        large.Groups[0].Description = new string('x', 40_000_000);
        ApplyResponse answer = await access.Lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = large, NextRevision = true }, cancellationToken: Cancel);
        Assert.NotEqual(ApplyResponse.ResultOneofCase.None, answer.ResultCase);
    }

    [Fact]
    public async Task What_unpacks_to_more_than_it_is_stays_packed()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        using var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            byte[] zeros = new byte[1 << 20];
            for (int i = 0; i < 1024; i++)
            {
                await gzip.WriteAsync(zeros, Cancel);
            }
        }

        using HttpClient http = RawClient(access);
        long before = access.ResidentBytes();
        using HttpResponseMessage answer = await AskAsync(
            http, "ApplySnapshot", Framed(packed.ToArray(), compressed: true), "gzip");
        await answer.Content.ReadAsByteArrayAsync(Cancel);
        Assert.Equal("12", Status(answer)); // unimplemented
        Assert.InRange(access.ResidentBytes() - before, long.MinValue, 200L << 20);
        await access.Lab.StatusAsync();
    }

    [Fact]
    public async Task A_snapshot_that_does_not_end_is_forgotten_and_others_are_taken()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc =>
        {
            grpc["max_snapshot_bytes"] = 8_000_000;
            grpc["snapshot_timeout_seconds"] = 2;
        });
        await using SyncClient idle = SyncClient.Open(access.Lab);
        await idle.HelloAsync();

        // Bytes without an end: refused at the bound, again and again.
        await using SyncClient endless = SyncClient.Open(access.Lab);
        long before = access.ResidentBytes();
        for (int round = 0; round < 5; round++)
        {
            await endless.SendAsync(new SyncRequest { SnapshotBegin = new SnapshotBegin { Revision = 1 } });
            SyncResponse? answer = null;
            for (int i = 0; i < 10; i++)
            {
                await endless.SendAsync(new SyncRequest { SnapshotChunk = Chunk(i) });
            }

            answer = await endless.AnswerAsync();
            Assert.Equal("LimitExceeded", Assert.Single(answer.Refused.Faults).Code);
            answer = await endless.AnswerAsync(); // the part after it belongs to nothing
            Assert.Equal("UnexpectedMessage", Assert.Single(answer.Refused.Faults).Code);
        }

        Assert.InRange(access.ResidentBytes() - before, long.MinValue, 200L << 20);

        // Time without an end.
        await using SyncClient slow = SyncClient.Open(access.Lab);
        await slow.SendAsync(new SyncRequest { SnapshotBegin = new SnapshotBegin { Revision = 1 } });
        RpcException ended = await Assert.ThrowsAsync<RpcException>(slow.AnswerAsync);
        Assert.Equal(StatusCode.DeadlineExceeded, ended.StatusCode);
        Assert.Equal(1, await access.RefusalsAsync("socket", "timeout"));

        // A stream that sends nothing at all is nobody's business, and a snapshot that ends is taken.
        Held held = await idle.HelloAsync();
        Snapshot snapshot = DaemonLab.OneWayIn();
        snapshot.Revision = held.Revision + 1;
        Assert.NotNull((await idle.SnapshotAsync(snapshot)).Accepted);

        static SnapshotChunk Chunk(int i) => new()
        {
            Groups = { new SecurityGroup { Id = $"g{i}", Description = new string('x', 950_000) } },
        };
    }

    [Fact]
    public async Task Who_does_not_read_answers_is_cut_off_and_holds_no_memory()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc =>
        {
            grpc["max_costly"] = 4;
            grpc["answer_timeout_seconds"] = 3;
        });
        await access.Lab.ApplyAsync(Large());
        long before = access.ResidentBytes();
        using HttpClient http = RawClient(access);
        List<HttpResponseMessage> unread = [];
        try
        {
            for (int i = 0; i < 20; i++)
            {
                unread.Add(await AskAsync(http, "GetState", Framed([]), "identity"));
            }

            // Four at a time are being answered, the others were turned away.
            int refused = unread.Count(one => Status(one) == "8");
            Assert.InRange(refused, 8, 16);
            Assert.Equal(refused, await access.RefusalsAsync("socket", "calls"));
            await access.Lab.StatusAsync();
            await DaemonLab.UntilAsync("their end", async () =>
                await access.Lab.MetricAsync("sg_agent_calls{kind=\"costly\"}") == 0);
            Assert.Equal(20 - refused, await access.RefusalsAsync("socket", "timeout"));
            output.WriteLine($"unread states: {(access.ResidentBytes() - before) >> 20} MiB");
            Assert.InRange(access.ResidentBytes() - before, long.MinValue, 300L << 20);
            await access.Lab.StateAsync();
        }
        finally
        {
            unread.ForEach(one => one.Dispose());
        }
    }

    [Fact]
    public async Task Who_watches_and_does_not_read_gets_the_newest_or_is_cut_off()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        await access.Lab.ApplyAsync(DaemonLab.OneWayIn());
        using HttpClient http = RawClient(access);
        List<HttpResponseMessage> unread = [];
        try
        {
            for (int i = 0; i < 60; i++)
            {
                unread.Add(await AskAsync(http, "WatchStatus", Framed([]), "identity"));
                Assert.Null(Status(unread[^1]));
            }

            long before = access.ResidentBytes();
            Snapshot state = DaemonLab.OneWayIn();
            for (int i = 0; i < 100; i++)
            {
                state.Groups[0].Description = $"change {i}";
                await access.Lab.ApplyAsync(state);
            }

            output.WriteLine($"unread statuses: {(access.ResidentBytes() - before) >> 20} MiB");
            Assert.InRange(access.ResidentBytes() - before, long.MinValue, 150L << 20);
            await access.Lab.StatusAsync();
        }
        finally
        {
            unread.ForEach(one => one.Dispose());
        }
    }

    [Fact]
    public async Task Garbage_is_answered_with_the_end_of_the_connection()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        Random random = new(5);
        for (int i = 0; i < 50; i++)
        {
            byte[] garbage = new byte[random.Next(100, 100_000)];
            random.NextBytes(garbage);
            await EndsAsync(await access.OpenAsync(Cancel), garbage, "bytes instead of TLS");
            await EndsAsync(await UnixAsync(access), garbage, "bytes instead of HTTP/2");
            SslStream secure = await access.OpenTlsAsync(honest);
            await EndsAsync(secure, i % 2 == 0 ? garbage : [.. Http2Preface, .. garbage], "bytes within TLS");
        }

        Assert.True(await access.RefusalsAsync("tcp", "handshake") >= 50);
        await access.AnswersPromptlyAsync(honest);
        await access.Lab.StatusAsync();
        await DaemonLab.UntilAsync("their end", async () => await access.ConnectionsAsync("tcp") <= 1);
    }

    [Fact]
    public async Task Thousands_of_connections_keep_nobody_out()
    {
        await using AccessLab access = await AccessLab.StartAsync();
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        using GrpcChannel early = access.Connect(honest);
        await new Rpc(early).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel);
        long before = access.ResidentBytes();
        List<Stream> flood = [];
        try
        {
            for (int i = 0; i < 2000; i++)
            {
                flood.Add(await access.OpenAsync(Cancel));
                flood.Add(await UnixAsync(access));
                if (i % 500 == 499)
                {
                    await access.AnswersPromptlyAsync(honest);
                    using GrpcChannel local = DaemonProcess.OpenChannel(access.Lab.Daemon.SocketPath);
                    await AccessLab.AnswersPromptlyAsync(local);
                }
            }

            Assert.InRange(await access.ConnectionsAsync("tcp"), 1, 256);
            Assert.InRange(await access.ConnectionsAsync("socket"), 1, 256);
            Assert.True(await access.RefusalsAsync("tcp", "connections") > 1500);
            Assert.True(await access.RefusalsAsync("socket", "connections") > 1500);
            output.WriteLine($"4000 connections: {(access.ResidentBytes() - before) >> 20} MiB");
            Assert.InRange(access.ResidentBytes() - before, long.MinValue, 100L << 20);
            await AccessLab.AnswersPromptlyAsync(early);
        }
        finally
        {
            flood.ForEach(one => one.Dispose());
        }

        Assert.True(access.Lab.Daemon.Log.Split("refused (Connections)").Length < 20, "a line for each");
    }

    [Fact]
    public async Task A_certificate_with_many_busy_connections_leaves_room_for_others()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc =>
        {
            grpc["max_connections"] = 8;
            grpc["max_connections_per_client"] = 5;
            grpc["tls"]!["controllers"] = new JsonArray("ctl.example");
            grpc["tls"]!["observers"] = new JsonArray("greedy.example");
        });
        using X509Certificate2 greedy = access.Authority.Issue("greedy.example");
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        List<GrpcChannel> channels = [];
        try
        {
            for (int i = 0; i < 5; i++)
            {
                channels.Add(access.Connect(greedy));
                await new Rpc(channels[^1]).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel);
            }

            RpcException refused = await access.RefusedAsync(greedy, async client =>
                await client.GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel));
            Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
            Assert.Contains("has 5 connections already", refused.Status.Detail, StringComparison.Ordinal);
            await access.AnswersPromptlyAsync(honest);
        }
        finally
        {
            channels.ForEach(channel => channel.Dispose());
        }
    }

    [Fact]
    public async Task Who_asks_too_often_waits_and_others_do_not()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc =>
        {
            grpc["calls_per_second"] = 5;
            grpc["calls_burst"] = 20;
        });
        using X509Certificate2 eager = access.Authority.Issue("eager.example");
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        using GrpcChannel channel = access.Connect(eager);
        int answered = 0;
        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (answered < 100)
            {
                await new Rpc(channel).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel);
                answered++;
            }
        });
        Assert.InRange(answered, 20, 40);
        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        Assert.InRange(
            int.Parse(refused.Trailers.GetValue("grpc-retry-pushback-ms")!, null), 1, 200);
        Assert.Equal(1, await access.RefusalsAsync("tcp", "rate"));
        await access.AnswersPromptlyAsync(honest);
        await DaemonLab.UntilAsync("his turn", async () =>
        {
            await Task.Delay(200, Cancel);
            try
            {
                await new Rpc(channel).GetStatusAsync(new GetStatusRequest(), cancellationToken: Cancel);
                return true;
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.ResourceExhausted)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task Observers_never_take_the_last_streams()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc =>
        {
            grpc["max_watches"] = 4;
            grpc["tls"]!["controllers"] = new JsonArray("ctl.example");
            grpc["tls"]!["observers"] = new JsonArray("mon.example");
        });
        using X509Certificate2 observer = access.Authority.Issue("mon.example");
        using X509Certificate2 controller = access.Authority.Issue("ctl.example");
        using GrpcChannel theirs = access.Connect(observer);
        using GrpcChannel ours = access.Connect(controller);
        List<AsyncServerStreamingCall<AgentStatus>> open = [];
        try
        {
            Assert.Equal((2, 2), (await OpenAsync(theirs), await OpenAsync(ours)));
            Assert.Equal(2, await access.RefusalsAsync("tcp", "calls"));
        }
        finally
        {
            open.ForEach(call => call.Dispose());
        }

        async Task<int> OpenAsync(GrpcChannel channel)
        {
            for (int i = 0; ; i++)
            {
                AsyncServerStreamingCall<AgentStatus> call =
                    new Rpc(channel).WatchStatus(new GetStatusRequest(), cancellationToken: Cancel);
                open.Add(call);
                try
                {
                    await call.ResponseStream.MoveNext(Cancel);
                }
                catch (RpcException e) when (e.StatusCode == StatusCode.ResourceExhausted)
                {
                    return i;
                }
            }
        }
    }

    [Fact]
    public async Task A_client_that_vanished_is_noticed_within_seconds()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc => grpc["keepalive_seconds"] = 1);
        using X509Certificate2 honest = access.Authority.Issue("ctl.example");
        await DaemonLab.UntilAsync("nobody", async () => await access.ConnectionsAsync("tcp") == 0);
        await using SslStream vanished = await access.OpenTlsAsync(honest);
        await vanished.WriteAsync(Http2Preface, Cancel); // and no word more: no answer to a ping either
        await DaemonLab.UntilAsync("a connection", async () => await access.ConnectionsAsync("tcp") == 1);
        await DaemonLab.UntilAsync("its end", async () => await access.ConnectionsAsync("tcp") == 0);
    }

    /// <summary>RFC 9113, 3.4: the client's first words, and settings that set nothing.</summary>
    private static readonly byte[] Http2Preface =
        [.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0];

    private static Snapshot Large()
    {
        Snapshot state = DaemonLab.OneWayIn();
        foreach (SecurityGroup group in state.Groups)
        {
            group.Members.AddRange(
                Enumerable.Range(0, 60_000).Select(i => $"10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"));
        }

        return state;
    }

    /// <summary>Sends, and reads until the other side has closed.</summary>
    private static async Task EndsAsync(Stream stream, byte[] bytes, string what)
    {
        await using (stream)
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
            patience.CancelAfter(Pace.Scaled(TimeSpan.FromSeconds(20)));
            byte[] answer = new byte[4096];
            try
            {
                await stream.WriteAsync(bytes, patience.Token);
                while (await stream.ReadAsync(answer, patience.Token) > 0)
                {
                }
            }
            catch (IOException)
            {
                // Reset: an end as well.
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"{what}: the connection stays open");
            }
        }
    }
}
