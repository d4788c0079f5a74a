using System.Diagnostics;
using Agent.Contract;
using Agent.Daemon;
using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Daemon.Tracing;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;

namespace Agent.Tests.Simulation;

/// <summary>
/// Deltas that wait when the loop comes to them: the real loop, a real state file, and a simulated kernel.
/// </summary>
public sealed class CoalescingTests : IAsyncDisposable
{
    private const ulong Held = 7;

    private readonly string folder = Directory.CreateTempSubdirectory("sg-flow").FullName;
    private readonly SimulatedFirewall kernel = new();
    private readonly Clock clock = new();
    private readonly RunningLoop here;
    private readonly AgentMetrics metrics;
    private readonly Reconciler loop;

    public CoalescingTests()
    {
        using (var before = new StateFile(folder))
        {
            before.WriteSnapshot(0, Google.Protobuf.MessageExtensions.ToByteArray(Messages.Valid()));
        }

        here = new RunningLoop(new StateFile(folder), kernel, clock);
        (metrics, loop) = (here.Metrics, here.Loop);
        here.Open();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        await here.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task They_are_one_commit_and_each_answer_is_its_own()
    {
        const int Count = 300;
        int commits = kernel.Committed.Count;
        Task<ApplyOutcome>[] asked = [.. await SendAsync(
            Enumerable.Range(0, Count).Select(i => Member(Held + (ulong)i, add: $"10.7.{i / 200}.{i % 200}")))];
        ApplyOutcome.Accepted[] answers = [.. (await AnswersAsync(asked)).Cast<ApplyOutcome.Accepted>()];

        PolicySnapshot before = DeltaTests.Read(Messages.Valid());
        for (int i = 0; i < Count; i++)
        {
            Assert.Equal(Held + (ulong)i + 1, answers[i].After.Revision);
            Assert.Equal(Held + (ulong)i, answers[i].Before.Revision);
            Assert.Equal(before.Groups["peers"].Members.Count + i + 1, answers[i].After.Groups["peers"].Members.Count);
            Assert.Equal((Count, false), (answers[i].Deltas, answers[i].Unchanged));
            Assert.Same(answers[0].Report, answers[i].Report);
            Assert.Equal(Held + Count, answers[i].State.AppliedRevision);
            Assert.Equal(StateHash.Of(answers[^1].After), answers[i].State.DesiredHash);
        }

        Assert.InRange(kernel.Committed.Count - commits, 1, 3);
        Assert.Equal(2, Records().Count); // the snapshot and they
        AssertSavedIs(answers[^1].After);
    }

    [Fact]
    public async Task One_that_is_refused_stops_those_that_build_on_it_and_no_others()
    {
        Task<ApplyOutcome>[] asked = [.. await SendAsync(
        [
            Member(Held, add: "10.7.0.1"),
            Member(Held + 1, add: "10.7.0.999"),
            Member(Held + 2, add: "10.7.0.3"),
            Member(Held + 1, add: "10.7.0.4"), // of somebody else
            new Delta { BaseRevision = Held + 2, Revision = Held + 3, RemoveGroups = { "peers" } }, // a rule names it
            Member(Held + 2, add: "10.7.0.5"),
        ])];
        ApplyOutcome[] answers = await AnswersAsync(asked);
        Assert.Equal(
            ["8", "InvalidAddress", "StaleBaseRevision", "9", "InvalidSourceGroupId.NotFound", "10"],
            answers.Select(Word));
        Assert.All(answers.OfType<ApplyOutcome.Accepted>(), one => Assert.Equal(3, one.Deltas));
        Assert.All(
            answers.OfType<ApplyOutcome.Refused>(), one => Assert.Equal(Held + 3, one.State.Desired.Revision));
        Assert.Equal(3, metrics.Refusals.Value);
        AssertSavedIs(((ApplyOutcome.Accepted)answers[^1]).After);
    }

    [Fact]
    public async Task What_cannot_be_saved_is_refused_whole_and_changes_nothing()
    {
        Delta large = Member(Held, add: "10.7.0.1");
        large.Members[0].Add.AddRange(Enumerable.Repeat("10.7.0.1", 110_000)); // the file wants a snapshot after it
        Assert.Equal("8", Word(Assert.Single(await AnswersAsync([.. await SendAsync([large])]))));
        Directory.CreateDirectory(Path.Combine(folder, "state.new")); // where it is to be written
        byte[] saved = await File.ReadAllBytesAsync(Path.Combine(folder, "state"), Cancel);
        int commits = kernel.Committed.Count;

        Task<ApplyOutcome>[] asked = [.. await SendAsync(
            [Member(Held + 1, add: "10.7.0.2"), Member(Held + 2, add: "10.7.0.3"), Member(Held + 1, add: "10.7.0.4")])];
        ApplyOutcome[] answers = await AnswersAsync(asked);
        Assert.All(answers, one => Assert.Contains(Word(one), (string[])["NotPersisted", "StaleBaseRevision"]));
        Assert.Equal("NotPersisted", Word(answers[0]));
        Assert.All(answers.Cast<ApplyOutcome.Refused>(), one => Assert.Equal(Held + 1, one.State.Desired.Revision));
        Assert.Equal(saved, await File.ReadAllBytesAsync(Path.Combine(folder, "state"), Cancel));
        Assert.Equal((Held + 1, Held + 1), (loop.State.Desired.Revision, loop.State.AppliedRevision));
        Assert.Equal(commits, kernel.Committed.Count);

        Directory.Delete(Path.Combine(folder, "state.new"));
        answers = await AnswersAsync(
            [.. await SendAsync([Member(Held + 1, add: "10.7.0.2"), Member(Held + 2, add: "10.7.0.3")])]);
        Assert.Equal(["9", "10"], answers.Select(Word));
    }

    [Fact]
    public async Task What_comes_and_goes_within_a_commit_was_never_there()
    {
        int commits = kernel.Committed.Count;
        uint epoch = loop.State.Epoch;
        Task<ApplyOutcome>[] asked = [.. await SendAsync(
        [
            Member(Held, add: "10.7.0.1"),
            Member(Held + 1, remove: "10.7.0.1"),
            Member(Held + 2, remove: "10.0.9.1"),
            Member(Held + 3, add: "10.0.9.1"),
        ])];
        ApplyOutcome[] answers = await AnswersAsync(asked);
        Assert.All(answers, one => Assert.True(Assert.IsType<ApplyOutcome.Accepted>(one).Unchanged));
        Assert.Equal((commits, epoch), (kernel.Committed.Count, loop.State.Epoch));
        Assert.Equal(Held + 4, loop.State.AppliedRevision);
    }

    [Fact]
    public async Task What_they_take_away_in_the_end_is_judged_again()
    {
        uint epoch = loop.State.Epoch;
        Task<ApplyOutcome>[] asked = [.. await SendAsync(
        [
            Member(Held, add: "10.7.0.1"),
            Member(Held + 1, remove: "10.0.9.1"),
            Member(Held + 2, add: "10.7.0.2"),
        ])];
        ApplyOutcome[] answers = await AnswersAsync(asked);
        Assert.All(answers, one => Assert.True(Assert.IsType<ApplyOutcome.Accepted>(one).Report!.Revalidated));
        Assert.NotEqual(epoch, loop.State.Epoch);
    }

    [Fact]
    public async Task A_look_at_the_kernel_does_not_part_them_and_anything_else_does()
    {
        List<Task<ApplyOutcome>> asked = [];
        asked.AddRange(await SendAsync([Member(Held, add: "10.7.0.1")]));
        loop.AskForAudit();
        asked.AddRange(await SendAsync([Member(Held + 1, add: "10.7.0.2")]));
        await loop.Requests.WriteAsync(new AgentRequest.LinksChanged(HostLinks.None), Cancel);
        asked.AddRange(await SendAsync([Member(Held + 2, add: "10.7.0.3")]));
        ApplyOutcome[] answers = await AnswersAsync([.. asked]);
        Assert.Equal([2, 2, 1], answers.Select(one => Assert.IsType<ApplyOutcome.Accepted>(one).Deltas));
    }

    [Fact]
    public async Task Where_they_are_validated_slowly_the_first_does_not_wait_for_all()
    {
        clock.PerLook = TimeSpan.FromMilliseconds(60);
        ApplyOutcome[] answers = await AnswersAsync([.. await SendAsync(
            Enumerable.Range(0, 100).Select(i => Member(Held + (ulong)i, add: $"10.7.0.{i}")))]);
        Assert.Equal(1, Assert.IsType<ApplyOutcome.Accepted>(answers[0]).Deltas);
        int most = answers.Cast<ApplyOutcome.Accepted>().Max(one => one.Deltas); // in the time that a commit takes
        Assert.InRange(most, 2, 20);
        Assert.Equal(Held + 100, loop.State.AppliedRevision);
    }

    [Fact]
    public async Task However_many_there_are_the_kernel_is_looked_at()
    {
        IReadOnlyList<Task<ApplyOutcome>> asked = await SendAsync(
            Enumerable.Range(0, 4096).Select(i => Member(Held + (ulong)i, add: $"10.7.{i / 200}.{i % 200}")));
        kernel.Foreign(new NftOp.FlushChain(NftFamily.Inet, "sg_agent", "sg_forward"));
        loop.AskForAudit(); // finds no place in the queue
        await AnswersAsync([.. asked]);
        await WaitAsync(() => metrics.DriftRepairs.Value == 1);
    }

    [Fact]
    public async Task An_unexpected_error_is_answered_to_all_and_the_loop_goes_on()
    {
        kernel.BeforeCommit = () => throw new CrashException();
        ApplyOutcome[] answers = await AnswersAsync([.. await SendAsync(
            [Member(Held, add: "10.7.0.1"), Member(Held + 1, add: "10.7.0.2")])]);
        Assert.Equal(["InternalError", "InternalError"], answers.Select(Word));
        kernel.BeforeCommit = () => { };
        answers = await AnswersAsync([.. await SendAsync([Member(Held + 2, add: "10.7.0.3")])]);
        Assert.Equal("10", Word(answers[0]));
    }

    [Fact]
    public async Task Each_has_a_span_in_its_own_trace_and_one_carries_the_commit()
    {
        List<Activity> ended = [];
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == Spans.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = span =>
            {
                lock (ended)
                {
                    ended.Add(span);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        string[] traces = ["0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"];
        List<Task<ApplyOutcome>> asked = [];
        for (int i = 0; i < 2; i++)
        {
            TraceOrigin origin = TraceOrigin.Of($"00-{traces[i]}-b7ad6b7169203331-01", tracestate: null);
            asked.Add(await loop.SendAsync(
                answer => new AgentRequest.ApplyDelta(Member(Held + (ulong)i, add: $"10.7.0.{i}"), answer)
                {
                    Origin = origin,
                }, Cancel));
        }

        await AnswersAsync([.. asked]);
        await WaitAsync(() => Of(traces[1]).Any(span => span.OperationName == "apply"));
        Assert.Equal(["apply", "commit", "compile", "persist", "validate"],
            Of(traces[0]).Select(span => span.OperationName).Distinct().Where(name => name is not "clean_up" and not
                "read_back").Order(StringComparer.Ordinal));
        Assert.Equal(
            ["apply", "validate"], Of(traces[1]).Select(span => span.OperationName).Order(StringComparer.Ordinal));
        Activity carrier = Of(traces[0]).Single(span => span.OperationName == "apply");
        Activity other = Of(traces[1]).Single(span => span.OperationName == "apply");
        Assert.Equal(carrier.SpanId, Assert.Single(other.Links).Context.SpanId);
        Assert.Empty(carrier.Links);

        Activity[] Of(string trace)
        {
            lock (ended)
            {
                return [.. ended.Where(span => span.TraceId.ToHexString() == trace)];
            }
        }
    }

    /// <summary>Time passes only where it is looked at.</summary>
    private sealed class Clock : TimeProvider
    {
        private long now;

        public TimeSpan PerLook { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Interlocked.Add(ref now, PerLook.Ticks);
    }

    /// <summary>Puts them into the queue.</summary>
    private async Task<IReadOnlyList<Task<ApplyOutcome>>> SendAsync(IEnumerable<Delta> deltas)
    {
        List<Task<ApplyOutcome>> answers = [];
        foreach (Delta delta in deltas)
        {
            answers.Add(await loop.SendAsync(answer => new AgentRequest.ApplyDelta(delta, answer), Cancel));
        }

        return answers;
    }

    /// <summary>Lets the loop run, if it does not yet.</summary>
    private async Task<ApplyOutcome[]> AnswersAsync(Task<ApplyOutcome>[] asked)
    {
        here.Run();
        return await Task.WhenAll(asked).WaitAsync(Cancel);
    }

    private static async Task WaitAsync(Func<bool> happened)
    {
        while (!happened())
        {
            await Task.Delay(5, Cancel);
        }
    }

    private static Delta Member(ulong at, string? add = null, string? remove = null)
    {
        var change = new MemberChange { GroupId = "peers" };
        change.Add.AddRange(add is null ? [] : [add]);
        change.Remove.AddRange(remove is null ? [] : [remove]);
        return new Delta { BaseRevision = at, Revision = at + 1, Members = { change } };
    }

    private static string Word(ApplyOutcome outcome) => outcome switch
    {
        ApplyOutcome.Accepted accepted => $"{accepted.After.Revision}",
        ApplyOutcome.Refused refused => Assert.Single(refused.Faults).Code,
        _ => throw new UnreachableException(),
    };

    private IReadOnlyList<StateRecord> Records()
    {
        using var again = new StateFile(CopyOfFolder());
        return again.Load();
    }

    private void AssertSavedIs(PolicySnapshot policy)
    {
        using var again = new StateFile(CopyOfFolder());
        var saved = SavedPolicy.Load(again);
        Assert.Null(saved.Damage);
        Assert.Equal(policy.Revision, saved.Policy.Revision);
        Assert.Equal(StateHash.Of(policy), StateHash.Of(saved.Policy));
    }

    private string CopyOfFolder()
    {
        string copy = Directory.CreateDirectory(Path.Combine(folder, "copy")).FullName;
        File.Copy(Path.Combine(folder, "state"), Path.Combine(copy, "state"), overwrite: true);
        return copy;
    }
}
