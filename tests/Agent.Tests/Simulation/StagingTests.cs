using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Nftables;
using Agent.Tests.Contract;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>The life of a staged policy in the real loop, beside a simulated kernel.</summary>
public sealed class StagingTests : IAsyncDisposable
{
    private readonly RunningLoop here = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => here.DisposeAsync();

    [Fact]
    public async Task What_is_staged_stands_beside_what_enforces_and_changes_nothing_of_it()
    {
        await StartAsync();
        Ruleset before = Enforcing();
        Accepted(await StageAsync(Opened(8)));
        Assert.Equal(before, Enforcing());
        Assert.Equal(here.Loop.State.Staged!.Shadow.Ruleset, here.Kernel.ReadAside(RunningLoop.StagedTable));
        Assert.Equal((7ul, 7ul, 8ul), (here.Loop.State.Desired.Revision, here.Loop.State.AppliedRevision,
            here.Loop.State.Staged.Policy.Revision));
        Assert.Equal(here.Kernel.ReadGeneration(), here.Loop.State.Generation);

        // A second one takes the place of the first.
        Accepted(await StageAsync(Opened(9)));
        Assert.Equal(9ul, here.Loop.State.Staged!.Policy.Revision);
        Assert.Equal(here.Loop.State.Staged!.Shadow.Ruleset, here.Kernel.ReadAside(RunningLoop.StagedTable));
    }

    [Fact]
    public async Task Our_own_commit_beside_is_nobody_elses()
    {
        await StartAsync();
        Accepted(await StageAsync(Opened(8)));
        int commits = here.Kernel.Committed.Count;
        await here.Loop.Requests.WriteAsync(new AgentRequest.AuditDue(), Cancel);
        await IdleAsync();
        Assert.Equal(commits, here.Kernel.Committed.Count);
        Assert.Equal(0, here.Metrics.DriftRepairs.Value);
        Assert.Equal(VerifyOutcome.Verified, (await here.Loop.VerifyAsync(Cancel)).Result.Outcome);
        Assert.Equal(commits, here.Kernel.Committed.Count);
    }

    [Fact]
    public async Task A_commit_is_the_same_as_applying_it()
    {
        await StartAsync();
        Accepted(await StageAsync(Opened(8)));
        ApplyOutcome.Accepted done = Accepted(await CommitAsync(8));
        Assert.Empty(done.Warnings.Where(text => text.Contains("staged", StringComparison.Ordinal)));
        Assert.Equal((8ul, 8ul), (here.Loop.State.Desired.Revision, here.Loop.State.AppliedRevision));
        Assert.Null(here.Loop.State.Staged);
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
        await IdleAsync();
        Ruleset staged = here.Kernel.Ruleset;
        Accepted(await ApplyAsync(Opened(9)));
        await IdleAsync();
        Assert.Equal(staged, here.Kernel.Ruleset);
    }

    [Fact]
    public async Task A_discard_leaves_no_trace_and_may_come_twice()
    {
        await StartAsync();
        Ruleset before = here.Kernel.Ruleset;
        Accepted(await StageAsync(Opened(8)));
        Assert.Equal(8ul, (await here.Loop.DiscardStagedAsync(Claim.None, Cancel)).Gone!.Policy.Revision);
        Assert.Equal(before, here.Kernel.Ruleset);
        Assert.Null(here.Loop.State.Staged);
        Assert.Null((await here.Loop.DiscardStagedAsync(Claim.None, Cancel)).Gone);
    }

    [Fact]
    public async Task A_snapshot_ends_it_with_a_note_and_a_delta_leaves_it()
    {
        await StartAsync();
        Accepted(await StageAsync(Opened(20)));
        var delta = new Delta
        {
            BaseRevision = 7,
            Revision = 8,
            Members = { new MemberChange { GroupId = "peers", Add = { "10.0.9.77" } } },
        };
        Accepted(await here.Loop.ApplyAsync(answer => new AgentRequest.ApplyDelta(delta, answer), Cancel));
        Assert.Equal((8ul, 20ul, 7ul), (here.Loop.State.AppliedRevision, here.Loop.State.Staged!.Policy.Revision,
            here.Loop.State.Staged!.OnRevision));
        Assert.Equal(here.Loop.State.Staged!.Shadow.Ruleset, here.Kernel.ReadAside(RunningLoop.StagedTable));

        Snapshot faulty = Opened(21);
        faulty.Rule("r1").Protocol = "nothing";
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(faulty));
        Assert.NotNull(here.Loop.State.Staged);
        ApplyOutcome.Accepted done = Accepted(await ApplyAsync(Opened(21)));
        Assert.Contains(
            done.Warnings, text => text.StartsWith("revision 20, which was staged", StringComparison.Ordinal));
        Assert.Null(here.Loop.State.Staged);
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
    }

    [Fact]
    public async Task What_cannot_be_staged_is_refused_and_what_was_staged_and_grew_old_cannot_be_committed()
    {
        await StartAsync();
        Snapshot faulty = Opened(8);
        faulty.Rule("r1").Protocol = "nothing";
        faulty.Rule("r2").Priority = 101;
        Assert.True(Assert.IsType<ApplyOutcome.Refused>(await StageAsync(faulty)).Faults.Length >= 2);
        Assert.Equal("StaleRevision", Code(await StageAsync(Opened(6))));
        Assert.Equal("NothingStaged", Code(await CommitAsync(0)));

        here.RefuseToStage("no memory");
        Assert.Equal("NotStaged", Code(await StageAsync(Opened(8))));
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
        Assert.Null(here.Loop.State.Staged);
        here.Kernel.Refuses = _ => null;

        Accepted(await StageAsync(Opened(8)));
        Assert.Equal("AnotherIsStaged", Code(await CommitAsync(9)));
        var delta = new Delta { BaseRevision = 7, Revision = 8 };
        Accepted(await here.Loop.ApplyAsync(answer => new AgentRequest.ApplyDelta(delta, answer), Cancel));
        Assert.Equal("StaleRevision", Code(await CommitAsync(0)));
        Assert.NotNull(here.Loop.State.Staged);
    }

    [Fact]
    public async Task What_a_dead_process_left_is_removed_at_the_start()
    {
        here.Kernel.Foreign(new NftOp.AddTable(NftFamily.Inet, RunningLoop.StagedTable),
            new NftOp.AddChain(
                NftFamily.Inet, RunningLoop.StagedTable, "all_forward", new BaseHook(NftHook.Forward, -1)));
        await StartAsync();
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
    }

    private Ruleset Enforcing() =>
        new(here.Kernel.Ruleset.Tables.Where(table => table.Name != RunningLoop.StagedTable).ToValueArray());

    private static Snapshot Opened(ulong revision)
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Revision = revision;
        snapshot.Rule("r1").PortRange = "80/81";
        return snapshot;
    }

    private async Task StartAsync()
    {
        here.Start();
        Accepted(await ApplyAsync(Messages.Valid()));
        await IdleAsync();
    }

    private static string Code(ApplyOutcome outcome) => Assert.IsType<ApplyOutcome.Refused>(outcome).Faults[0].Code;

    private static ApplyOutcome.Accepted Accepted(ApplyOutcome outcome)
    {
        Assert.True(outcome is ApplyOutcome.Accepted, $"{(outcome as ApplyOutcome.Refused)?.Faults.FirstOrDefault()}");
        return (ApplyOutcome.Accepted)outcome;
    }

    private Task<ApplyOutcome> StageAsync(Snapshot snapshot) => here.Loop.ApplyAsync(
        answer => new AgentRequest.Stage(snapshot.Clone(), NextRevision: false, answer), Cancel);

    private Task<ApplyOutcome> CommitAsync(ulong revision) =>
        here.Loop.ApplyAsync(answer => new AgentRequest.CommitStaged(revision, answer), Cancel);

    private Task<ApplyOutcome> ApplyAsync(Snapshot snapshot, bool dry = false) => here.Loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(snapshot.Clone(), dry, NextRevision: dry, answer), Cancel);

    /// <summary>One request after the other, cleaning up included: an answer says that all before is done.</summary>
    private async Task IdleAsync() => await ApplyAsync(Messages.Valid(), dry: true);
}
