using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.State;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.V1;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Simulation;

/// <summary>The loop takes no step of a controller that was replaced while the step waited.</summary>
public sealed class FencingTests : IAsyncDisposable
{
    private static readonly Claim Old = new("old", 5);
    private static readonly Claim New = new("new", 6);

    private readonly string folder = Directory.CreateTempSubdirectory("sg-fence").FullName;
    private readonly RunningLoop here;
    private readonly LeaseKeeper keeper;
    private readonly Reconciler loop;

    public FencingTests()
    {
        here = new RunningLoop(new StateFile(folder), keeper: metrics => new LeaseKeeper(
            new LeaseFile(folder), TimeSpan.FromSeconds(30), TimeProvider.System, NullLogger.Instance,
            new OwnershipMetrics(metrics.Registry)));
        (loop, keeper) = (here.Loop, here.Loop.Keeper!);
        here.Open();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        await here.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task What_waits_in_the_queue_when_a_newer_term_comes_is_refused_and_named_the_newer_one()
    {
        keeper.Admit(Old, opensStream: true);
        Task<ApplyOutcome>[] steps =
        [
            SnapshotAsync(7, Old),
            .. Enumerable.Range(7, 20).Select(base_ => DeltaAsync((ulong)base_, Old)),
        ];
        keeper.Admit(New, opensStream: true); // the loop has not taken anything yet
        Task<AgentState> settled = loop.SettledAsync(Cancel);
        Task<ApplyOutcome> next = SnapshotAsync(9, New);
        here.Run();
        foreach (Task<ApplyOutcome> step in steps)
        {
            PolicyFault fault = Assert.Single(Assert.IsType<ApplyOutcome.Refused>(await step).Faults);
            Assert.Equal("StaleTerm", fault.Code);
            Assert.Contains("6, which new has", fault.Message, StringComparison.Ordinal);
        }

        Assert.Equal(0ul, (await settled).Desired.Revision);
        Assert.IsType<ApplyOutcome.Accepted>(await next);
        Assert.Equal(9ul, loop.State.AppliedRevision);
    }

    [Fact]
    public async Task A_new_holder_is_told_what_is_held_when_nothing_of_the_old_one_can_come_any_more()
    {
        here.Run();
        keeper.Admit(Old, opensStream: true);
        Assert.IsType<ApplyOutcome.Accepted>(await SnapshotAsync(7, Old));
        ulong told = 0;
        for (ulong round = 0; round < 50; round++)
        {
            Claim before = new($"c{round % 2}", 6 + round);
            keeper.Admit(before, opensStream: true);
            ulong held = loop.State.Desired.Revision;
            Task<ApplyOutcome>[] burst = [.. Enumerable.Range(0, 5).Select(i => DeltaAsync(held + (ulong)i, before))];
            keeper.Admit(new Claim($"c{(round + 1) % 2}", 7 + round), opensStream: true);
            told = (await loop.SettledAsync(Cancel)).Desired.Revision;
            ApplyOutcome[] outcomes = await Task.WhenAll(burst);
            Assert.Equal(held + (ulong)outcomes.Count(one => one is ApplyOutcome.Accepted), told);
            Assert.Equal(told, loop.State.Desired.Revision);
        }
    }

    [Fact]
    public async Task People_are_kept_out_while_a_lease_is_held_unless_they_say_so_and_reading_needs_none()
    {
        here.Run();
        Assert.IsType<ApplyOutcome.Accepted>(await SnapshotAsync(7, Claim.None)); // nobody ever came
        keeper.Admit(Old, opensStream: true);
        Snapshot next = Messages.Valid();
        next.Revision = 8;
        next.Rule("r1").PortRange = "80/81";
        Assert.Equal("LeaseHeld", Code(await SnapshotAsync(8, Claim.None)));
        Assert.Equal("LeaseHeld", Code(await loop.ApplyAsync(
            answer => new AgentRequest.Stage(next, NextRevision: false, answer), Cancel)));
        Assert.Equal("LeaseHeld", (await loop.DiscardStagedAsync(Claim.None, Cancel)).Objection!.Code);
        Assert.Equal("LeaseHeld", Code(await loop.ApplyAsync(
            answer => new AgentRequest.CommitStaged(0, answer), Cancel)));
        Assert.IsType<ApplyOutcome.Accepted>(await loop.ApplyAsync(
            answer => new AgentRequest.ApplySnapshot(next, DryRun: true, NextRevision: false, answer), Cancel));
        Assert.Equal(7ul, loop.State.Desired.Revision);

        Claim over = Claim.None with { Overrides = true };
        Assert.Null((await loop.DiscardStagedAsync(over, Cancel)).Objection);
        ApplyOutcome.Accepted done = Assert.IsType<ApplyOutcome.Accepted>(await SnapshotAsync(8, over));
        Assert.Contains("old holds the lease: its next snapshot takes this back", done.Warnings);
        Assert.Equal(8ul, loop.State.AppliedRevision);
        Assert.Equal((5ul, "old"), (keeper.Lease.Term, keeper.Lease.Holder));
    }

    private Task<ApplyOutcome> SnapshotAsync(ulong revision, Claim claim)
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Revision = revision;
        return loop.ApplyAsync(
            answer => new AgentRequest.ApplySnapshot(snapshot, DryRun: false, NextRevision: false, answer)
            {
                Claim = claim,
            },
            Cancel);
    }

    private Task<ApplyOutcome> DeltaAsync(ulong baseRevision, Claim claim)
    {
        var delta = new Delta
        {
            BaseRevision = baseRevision,
            Revision = baseRevision + 1,
            Members = { new MemberChange { GroupId = "peers", Add = { $"10.0.10.{baseRevision % 250}" } } },
        };
        return loop.ApplyAsync(answer => new AgentRequest.ApplyDelta(delta, answer) { Claim = claim }, Cancel);
    }

    private static string Code(ApplyOutcome outcome) => Assert.IsType<ApplyOutcome.Refused>(outcome).Faults[0].Code;
}
