using Agent.KernelTests.Access;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Daemon;

/// <summary>Deltas that come faster than the kernel takes them: fewer commits, nothing lost, nobody held up.</summary>
public sealed class FlowTests(ITestOutputHelper output)
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Many_at_once_arrive_as_few_commits_in_their_order_and_outlive_a_kill()
    {
        const int Count = 500;
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        await using SyncClient sync = SyncClient.Open(lab);
        Task sending = SendAsync();
        var commits = new Dictionary<ulong, List<Accepted>>();
        for (int i = 0; i < Count; i++)
        {
            Accepted answer = (await sync.AnswerAsync()).Accepted;
            Assert.Equal(held + (ulong)i + 1, answer.Revision);
            Assert.True(answer.CommitRevision >= answer.Revision);
            Assert.Equal((1u, 0u), (answer.Changes.GroupsChanged, answer.Changes.VnicsChanged));
            if (!commits.TryGetValue(answer.CommitRevision, out List<Accepted>? together))
            {
                Assert.True(commits.Keys.All(older => older < answer.CommitRevision));
                commits.Add(answer.CommitRevision, together = []);
            }

            together.Add(answer);
        }

        await sending;
        output.WriteLine($"{commits.Count} commits of {string.Join(' ', commits.Values.Select(one => one.Count))}");
        Assert.InRange(commits.Count, 1, Count / 4);
        Assert.All(commits, commit =>
        {
            Assert.Equal(commit.Key, commit.Value[^1].Revision);
            Assert.All(commit.Value, one => Assert.Equal((uint)commit.Value.Count, one.CommitDeltas));
            Assert.All(commit.Value, one => Assert.Equal(commit.Value[^1].StateHash, one.StateHash));
        });
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal((commits.Keys.Last(), commits.Keys.Last()), (status.AppliedRevision, status.DesiredRevision));
        Snapshot state = await lab.StateAsync();
        Assert.Equal(SyncClient.EndOf(state).StateHash, commits.Values.Last()[^1].StateHash);
        Assert.Equal(Count, await lab.MetricAsync("sg_agent_commit_deltas_sum"));
        Assert.Equal(commits.Count, await lab.MetricAsync("sg_agent_commit_deltas_count"));
        Assert.Equal(Count, await lab.MetricAsync("sg_agent_delta_wait_duration_seconds_count"));
        Assert.Equal(0, await lab.MetricAsync("sg_agent_sync_unanswered_messages"));

        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        Assert.Equal(state, await lab.StateAsync());
        Assert.Equal(held + Count, (await lab.StatusAsync()).AppliedRevision);

        async Task SendAsync()
        {
            for (int i = 0; i < Count; i++)
            {
                await sync.SendAsync(Member(held + (ulong)i, $"10.9.{i / 200}.{i % 200}"));
            }
        }
    }

    [Fact]
    public async Task What_was_acknowledged_before_a_kill_in_mid_stream_is_held_after_it()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        for (int round = 0; round < 3; round++)
        {
            SyncClient sync = SyncClient.Open(lab);
            ulong sent = held;
            ulong acknowledged = held;
            Task sending = Task.Run(async () =>
            {
                for (; sent < held + 5000; sent++)
                {
                    await sync.SendAsync(Member(sent, $"10.{10 + round}.{sent % 250}.{sent / 250 % 250}"));
                }
            }, Cancel);
            try
            {
                while (acknowledged < held + 300)
                {
                    acknowledged = (await sync.AnswerAsync()).Accepted.Revision;
                }
            }
            finally
            {
                await lab.Daemon.KillAsync();
                sync.Cut();
            }

            await Task.WhenAny(sending); // cut off, unless all were under way
            await lab.Daemon.LaunchAsync();
            AgentStatus status = await lab.StatusAsync();
            Assert.Empty(status.Alarms);
            Assert.InRange(status.DesiredRevision, acknowledged, sent + 1);
            Assert.Equal(status.DesiredRevision, status.AppliedRevision);
            held = status.DesiredRevision;
        }
    }

    [Fact]
    public async Task Who_floods_and_takes_no_answers_is_held_up_in_bounded_memory_and_nobody_else_is()
    {
        await using AccessLab access = await AccessLab.StartAsync(grpc => grpc["max_unanswered_bytes"] = 1_000_000);
        DaemonLab lab = access.Lab;
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call = lab.Client.Sync(cancellationToken: Cancel);
        long before = access.ResidentBytes();
        int sent = 0;
        using CancellationTokenSource end = new();
        Task flood = Task.Run(async () =>
        {
            while (!end.IsCancellationRequested)
            {
                await call.RequestStream.WriteAsync(Wrong(held));
                Interlocked.Increment(ref sent);
            }
        }, Cancel);
        await DaemonLab.UntilAsync("a pause", async () => await lab.MetricAsync("sg_agent_sync_pauses_total") > 0);
        int last = await AtRestAsync(() => Volatile.Read(ref sent));
        Assert.InRange(await lab.MetricAsync("sg_agent_sync_unanswered_messages"), 1, 4096);
        long grown = access.ResidentBytes() - before;
        output.WriteLine($"{last} sent, {grown >> 20} MiB more");
        Assert.InRange(grown, long.MinValue, 300L << 20);

        // Others ask, and change things, over the same connection.
        await AccessLab.AnswersPromptlyAsync(lab.Daemon.Channel);
        await using SyncClient other = SyncClient.Open(lab);
        Assert.Equal(held, (await other.HelloAsync()).Revision);
        Assert.Equal(held + 1, (await other.AskAsync(Member(held, "10.9.0.1"))).Accepted.CommitRevision);

        // Each answer says how far the sender is ahead, and what is taken makes room.
        await end.CancelAsync();
        Assert.True(await call.ResponseStream.MoveNext(Cancel));
        Assert.InRange(call.ResponseStream.Current.Unanswered, 1u, 4096u);
        Assert.Equal(1000, call.ResponseStream.Current.Refused.Faults.Count);
        for (int answered = 1; answered < last; answered++)
        {
            Assert.True(await call.ResponseStream.MoveNext(Cancel));
            Assert.NotNull(call.ResponseStream.Current.Refused);
        }

        await flood;
    }

    // Wrong in a thousand ways, and right where order is concerned.
    private static SyncRequest Wrong(ulong at)
    {
        SyncRequest request = Member(at, "x");
        request.Delta.Members[0].Add.AddRange(Enumerable.Repeat("x", 999));
        return request;
    }

    private static async Task<int> AtRestAsync(Func<int> count)
    {
        int last = -1;
        await DaemonLab.UntilAsync("rest", async () =>
        {
            int was = last;
            last = count();
            await Task.Delay(500, Cancel);
            return was == last && last == count();
        });
        return last;
    }

    [Fact]
    public async Task A_stream_that_ends_gets_the_answers_to_all_that_it_sent()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call = lab.Client.Sync(cancellationToken: Cancel);
        await call.RequestStream.WriteAsync(new SyncRequest { Hello = new SyncHello() }, Cancel);
        for (ulong i = 0; i < 50; i++)
        {
            await call.RequestStream.WriteAsync(Member(held + i, $"10.9.0.{i}"), Cancel);
        }

        await call.RequestStream.WriteAsync(new SyncRequest { Hello = new SyncHello() }, Cancel);
        await call.RequestStream.CompleteAsync();
        List<SyncResponse> answers = [];
        await foreach (SyncResponse answer in call.ResponseStream.ReadAllAsync(Cancel))
        {
            answers.Add(answer);
        }

        Assert.Equal(52, answers.Count);
        Assert.Equal((held, 4096u, 8u << 20),
            (answers[0].Held.Revision, answers[0].Held.MaxUnanswered, (uint)answers[0].Held.MaxUnansweredBytes));
        Assert.Equal(held + 50, answers[^1].Held.Revision); // in its turn
        Assert.Equal(0u, answers[^1].Unanswered);
        Assert.All(answers, answer => Assert.True(answer.Took.ToTimeSpan() > TimeSpan.Zero));
    }

    private static SyncRequest Member(ulong at, string add) => new()
    {
        Delta = new Delta
        {
            BaseRevision = at,
            Revision = at + 1,
            Members = { new MemberChange { GroupId = "sg-a", Add = { add } } },
        },
    };
}
