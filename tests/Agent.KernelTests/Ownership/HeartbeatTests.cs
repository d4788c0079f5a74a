using Agent.KernelTests.Daemon;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.KernelTests.Ownership;

/// <summary>Each side shows the other that it is alive, and finds out when it is not.</summary>
public sealed class HeartbeatTests
{
    private static readonly Duration Often = Duration.FromTimeSpan(TimeSpan.FromSeconds(1));

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Heartbeats_are_answered_and_sent_and_tell_what_is_held()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await using SyncClient client = SyncClient.Open(lab);
        Heartbeat answer = (await client.AskAsync(Beat(7))).Heartbeat; // before any hello
        Assert.Equal((7ul, 0ul), (answer.Number, answer.HeldRevision));

        await HelloAsync(client, Often);
        HashSet<ulong> seen = [];
        Heartbeat last = answer;
        for (ulong i = 1; seen.Count < 4; i++)
        {
            await client.SendAsync(Beat(100 + (i % 3)));
            last = (await client.AnswerAsync()).Heartbeat;
            seen.Add(last.Number); // 0 for the agent's own
        }

        Assert.Equal([0ul, 100ul, 101ul, 102ul], seen.Order());
        Assert.Equal((1ul, 1ul), (last.HeldRevision, last.AppliedRevision));
        Assert.InRange((DateTime.UtcNow - last.Time.ToDateTime()).Duration(), TimeSpan.Zero, TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_stream_whose_heartbeats_stay_away_is_ended_and_status_and_metrics_say_so()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Assert.NotNull((await lab.StatusAsync()).Controller.FailStaticSince);
        await using SyncClient client = SyncClient.Open(lab);
        await HelloAsync(client, Often);
        ControllerStatus status = (await lab.StatusAsync()).Controller;
        Assert.Equal(
            ("ctl-a", "ctl-a", 5ul, true), (status.Name, status.LeaseHolder, status.Term, status.LeaseHeld));
        Assert.NotNull(status.ConnectedSince);
        Assert.NotNull(status.LastHeard);
        Assert.Null(status.LeaseExpires);
        Assert.Null(status.FailStaticSince);

        RpcException ended = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while ((await client.AnswerAsync()).Heartbeat is { Number: 0 })
            {
            }
        });
        Assert.Equal(StatusCode.DeadlineExceeded, ended.StatusCode);
        Assert.Contains("for 3 s", ended.Status.Detail, StringComparison.Ordinal);
        await DaemonLab.UntilAsync("an account of it", async () =>
            await lab.MetricAsync("sg_agent_controller_streams_ended_total{how=\"silent\"}") == 1);
        Assert.Equal(0, await lab.MetricAsync("sg_agent_controller_connected"));
        Assert.True(await lab.MetricAsync("sg_agent_fail_static_seconds") > 0);
        Assert.InRange(await lab.MetricAsync("sg_agent_lease_remaining_seconds"), 0.1, 30);
        status = (await lab.StatusAsync()).Controller;
        Assert.NotNull(status.FailStaticSince);
        Assert.NotNull(status.LeaseExpires);
        Assert.Contains("the stream of controller ctl-a (uid 0) is ended: no heartbeat for 3 s", lab.Daemon.Log,
            StringComparison.Ordinal);
        Assert.Contains("no controller is connected any more", lab.Daemon.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_watches_status_hears_of_a_controller_that_comes_and_goes()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        using AsyncServerStreamingCall<AgentStatus> watch =
            lab.Client.WatchStatus(new GetStatusRequest(), cancellationToken: Cancel);
        await UntilAsync(connected: false);
        SyncClient client = SyncClient.Open(lab);
        await HelloAsync(client, heartbeat: null);
        await UntilAsync(connected: true);
        client.Cut();
        await UntilAsync(connected: false);
        await DaemonLab.UntilAsync("an account of it", async () =>
            await lab.MetricAsync("sg_agent_controller_streams_ended_total{how=\"lost\"}") == 1);

        async Task UntilAsync(bool connected)
        {
            while (await watch.ResponseStream.MoveNext(Cancel)
                && watch.ResponseStream.Current.Controller.ConnectedSince is not null != connected)
            {
            }
        }
    }

    /// <summary>A leader that was replaced and does not leave is no controller that anybody has.</summary>
    [Fact]
    public async Task Only_a_stream_whose_changes_would_be_taken_counts_as_connected()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using SyncClient plain = SyncClient.Open(lab);
        await DaemonLab.UntilAsync("nobody", async () =>
            await lab.MetricAsync("sg_agent_controller_connected") == 0); // it has said nothing yet
        await plain.HelloAsync();
        Assert.Equal("test", (await lab.StatusAsync()).Controller.Name);
        Assert.Equal(1, await lab.MetricAsync("sg_agent_controller_connected"));
        using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> leader = lab.Client.Sync(cancellationToken: Cancel);
        await leader.RequestStream.WriteAsync(
            new SyncRequest { Hello = new SyncHello { Controller = "ctl-a", Term = 5 } }, Cancel);
        Assert.True(await leader.ResponseStream.MoveNext(Cancel));
        Assert.Equal("ctl-a", (await lab.StatusAsync()).Controller.Name);
        await leader.RequestStream.CompleteAsync();
        Assert.False(await leader.ResponseStream.MoveNext(Cancel));
        await DaemonLab.UntilAsync("nobody", async () =>
            await lab.MetricAsync("sg_agent_controller_connected") == 0); // the lease keeps the other one out
        await DaemonLab.UntilAsync("an account of it", async () =>
            await lab.MetricAsync("sg_agent_controller_streams_ended_total{how=\"closed\"}") == 1);
    }

    [Fact]
    public async Task Intervals_that_make_no_sense_are_refused()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        foreach (Duration wrong in (Duration[])[new() { Nanos = 99_999_999 }, new() { Seconds = 601 },
            new() { Seconds = -1 }, new() { Seconds = long.MaxValue }, new() { Seconds = 1, Nanos = int.MinValue }])
        {
            await using SyncClient client = SyncClient.Open(lab);
            SyncResponse answer = await client.AskAsync(new SyncRequest
            {
                Hello = new SyncHello { Controller = "ctl-a", Term = 5, Heartbeat = wrong },
            });
            Assert.Equal("hello.heartbeat", Assert.Single(answer.Refused.Faults).Path);
        }

        Assert.Equal(0ul, (await lab.StatusAsync()).Controller.Term);
    }

    private static SyncRequest Beat(ulong number) => new()
    {
        Heartbeat = new Heartbeat { Number = number, Time = DateTime.UtcNow.ToTimestamp() },
    };

    private static async Task HelloAsync(SyncClient client, Duration? heartbeat)
    {
        await client.SendAsync(new SyncRequest
        {
            Hello = new SyncHello { Controller = "ctl-a", Term = 5, Heartbeat = heartbeat },
        });
        while ((await client.AnswerAsync()).Held is null)
        {
        }
    }
}
