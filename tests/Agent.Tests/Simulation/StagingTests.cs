using Agent.Compiler;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Microsoft.Extensions.Logging.Abstractions;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>The life of a staged policy in the real loop, beside a simulated kernel.</summary>
public sealed class StagingTests : IAsyncDisposable
{
    private static readonly string Table = StagedRuleset.TableOf(CompilerSettings.Default);

    private readonly string folder = Directory.CreateTempSubdirectory("sg-stage").FullName;
    private readonly SimulatedFirewall kernel = new();
    private readonly CancellationTokenSource stop = new();
    private readonly AgentMetrics metrics = new(Prometheus.Metrics.NewCustomRegistry(), "test", "simulated");
    private readonly StateFile file;
    private readonly Reconciler loop;
    private Task run = Task.CompletedTask;

    public StagingTests()
    {
        file = new StateFile(folder);
        var enforcer = new Enforcer(
            kernel, CompilerSettings.Default, PolicySettings.Default, TimeProvider.System, NullLogger.Instance);
        loop = new Reconciler(enforcer, file, new DaemonConfig(), TimeProvider.System, NullLogger.Instance, metrics);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await run;
        stop.Dispose();
        file.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task What_is_staged_stands_beside_what_enforces_and_changes_nothing_of_it()
    {
        await StartAsync();
        Ruleset before = Enforcing();
        Accepted(await StageAsync(Opened(8)));
        Assert.Equal(before, Enforcing());
        Assert.Equal(loop.State.Staged!.Shadow.Ruleset, kernel.ReadAside(Table));
        Assert.Equal((7ul, 7ul, 8ul), (loop.State.Desired.Revision, loop.State.AppliedRevision,
            loop.State.Staged.Policy.Revision));
        Assert.Equal(kernel.ReadGeneration(), loop.State.Generation);

        // A second one takes the place of the first.
        Accepted(await StageAsync(Opened(9)));
        Assert.Equal(9ul, loop.State.Staged!.Policy.Revision);
        Assert.Equal(loop.State.Staged!.Shadow.Ruleset, kernel.ReadAside(Table));
    }

    [Fact]
    public async Task Our_own_commit_beside_is_nobody_elses()
    {
        await StartAsync();
        Accepted(await StageAsync(Opened(8)));
        int commits = kernel.Committed.Count;
        await loop.Requests.WriteAsync(new AgentRequest.AuditDue(), Cancel);
        await IdleAsync();
        Assert.Equal(commits, kernel.Committed.Count);
        Assert.Equal(0, metrics.DriftRepairs.Value);
        Assert.Equal(VerifyOutcome.Verified, (await loop.VerifyAsync(Cancel)).Result.Outcome);
        Assert.Equal(commits, kernel.Committed.Count);
    }

    [Fact]
    public async Task A_commit_is_the_same_as_applying_it()
    {
        await StartAsync();
        Accepted(await StageAsync(Opened(8)));
        ApplyOutcome.Accepted done = Accepted(await CommitAsync(8));
        Assert.Empty(done.Warnings.Where(text => text.Contains("staged", StringComparison.Ordinal)));
        Assert.Equal((8ul, 8ul), (loop.State.Desired.Revision, loop.State.AppliedRevision));
        Assert.Null(loop.State.Staged);
        Assert.Empty(kernel.ReadAside(Table).Tables);
        await IdleAsync();
        Ruleset staged = kernel.Ruleset;
        Accepted(await ApplyAsync(Opened(9)));
        await IdleAsync();
        Assert.Equal(staged, kernel.Ruleset);
    }

    [Fact]
    public async Task A_discard_leaves_no_trace_and_may_come_twice()
    {
        await StartAsync();
        Ruleset before = kernel.Ruleset;
        Accepted(await StageAsync(Opened(8)));
        Assert.Equal(8ul, (await loop.DiscardStagedAsync(Claim.None, Cancel)).Gone!.Policy.Revision);
        Assert.Equal(before, kernel.Ruleset);
        Assert.Null(loop.State.Staged);
        Assert.Null((await loop.DiscardStagedAsync(Claim.None, Cancel)).Gone);
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
        Accepted(await loop.ApplyAsync(answer => new AgentRequest.ApplyDelta(delta, answer), Cancel));
        Assert.Equal((8ul, 20ul, 7ul), (loop.State.AppliedRevision, loop.State.Staged!.Policy.Revision,
            loop.State.Staged!.OnRevision));
        Assert.Equal(loop.State.Staged!.Shadow.Ruleset, kernel.ReadAside(Table));

        Snapshot faulty = Opened(21);
        faulty.Rule("r1").Protocol = "nothing";
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(faulty));
        Assert.NotNull(loop.State.Staged);
        ApplyOutcome.Accepted done = Accepted(await ApplyAsync(Opened(21)));
        Assert.Contains(
            done.Warnings, text => text.StartsWith("revision 20, which was staged", StringComparison.Ordinal));
        Assert.Null(loop.State.Staged);
        Assert.Empty(kernel.ReadAside(Table).Tables);
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

        kernel.Refuses = op => op is NftOp.AddChain { Table: var table } && table == Table ? "no memory" : null;
        Assert.Equal("NotStaged", Code(await StageAsync(Opened(8))));
        Assert.Empty(kernel.ReadAside(Table).Tables);
        Assert.Null(loop.State.Staged);
        kernel.Refuses = _ => null;

        Accepted(await StageAsync(Opened(8)));
        Assert.Equal("AnotherIsStaged", Code(await CommitAsync(9)));
        var delta = new Delta { BaseRevision = 7, Revision = 8 };
        Accepted(await loop.ApplyAsync(answer => new AgentRequest.ApplyDelta(delta, answer), Cancel));
        Assert.Equal("StaleRevision", Code(await CommitAsync(0)));
        Assert.NotNull(loop.State.Staged);
    }

    [Fact]
    public async Task What_a_dead_process_left_is_removed_at_the_start()
    {
        kernel.Foreign(new NftOp.AddTable(NftFamily.Inet, Table),
            new NftOp.AddChain(NftFamily.Inet, Table, "all_forward", new BaseHook(NftHook.Forward, -1)));
        await StartAsync();
        Assert.Empty(kernel.ReadAside(Table).Tables);
    }

    private Ruleset Enforcing() =>
        new(kernel.Ruleset.Tables.Where(table => table.Name != Table).ToValueArray());

    private static Snapshot Opened(ulong revision)
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Revision = revision;
        snapshot.Rule("r1").PortRange = "80/81";
        return snapshot;
    }

    private async Task StartAsync()
    {
        loop.Start(HostLinks.None, "test", "simulated");
        run = loop.RunAsync(stop.Token);
        Accepted(await ApplyAsync(Messages.Valid()));
        await IdleAsync();
    }

    private static string Code(ApplyOutcome outcome) => Assert.IsType<ApplyOutcome.Refused>(outcome).Faults[0].Code;

    private static ApplyOutcome.Accepted Accepted(ApplyOutcome outcome)
    {
        Assert.True(outcome is ApplyOutcome.Accepted, $"{(outcome as ApplyOutcome.Refused)?.Faults.FirstOrDefault()}");
        return (ApplyOutcome.Accepted)outcome;
    }

    private Task<ApplyOutcome> StageAsync(Snapshot snapshot) => loop.ApplyAsync(
        answer => new AgentRequest.Stage(snapshot.Clone(), NextRevision: false, answer), Cancel);

    private Task<ApplyOutcome> CommitAsync(ulong revision) =>
        loop.ApplyAsync(answer => new AgentRequest.CommitStaged(revision, answer), Cancel);

    private Task<ApplyOutcome> ApplyAsync(Snapshot snapshot, bool dry = false) => loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(snapshot.Clone(), dry, NextRevision: dry, answer), Cancel);

    /// <summary>One request after the other, cleaning up included: an answer says that all before is done.</summary>
    private async Task IdleAsync() => await ApplyAsync(Messages.Valid(), dry: true);
}
