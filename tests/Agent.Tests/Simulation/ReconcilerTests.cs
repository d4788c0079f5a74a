using Agent.Compiler;
using Agent.Contract;
using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>The real loop, a real state file, and a simulated kernel.</summary>
public sealed class ReconcilerTests : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("sg-loop").FullName;
    private readonly SimulatedFirewall kernel = new();
    private RunningLoop? running;

    private RunningLoop Now => running ?? throw new InvalidOperationException("not started");

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_snapshot_is_persisted_enforced_and_published()
    {
        Start();
        ApplyOutcome.Accepted done = await AcceptedAsync(Messages.Valid());
        Assert.Equal((7ul, 7ul), (done.State.AppliedRevision, done.State.Desired.Revision));
        Assert.NotNull(done.Report);
        Assert.False(done.Unchanged);
        Assert.Empty(done.State.Failed);
        await AssertSettledAsync();
        await StopAsync();
        using var file = new StateFile(folder);
        Assert.Equal(Messages.Valid(), Snapshot.Parser.ParseFrom(Assert.Single(file.Load()).Payload));
    }

    [Fact]
    public async Task The_same_snapshot_again_is_accepted_and_changes_nothing()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        int commits = kernel.Committed.Count;
        ApplyOutcome.Accepted again = await AcceptedAsync(Messages.Valid());
        Assert.True(again.Unchanged);
        Assert.Equal(commits, kernel.Committed.Count);
    }

    [Fact]
    public async Task An_older_revision_is_refused_and_another_state_under_the_same_one_too()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        Snapshot older = Messages.Valid();
        older.Revision = 6;
        Snapshot other = Messages.Valid();
        other.Rule("r1").PortRange = "81/81";
        foreach (Snapshot snapshot in (Snapshot[])[older, other])
        {
            ApplyOutcome.Refused refused = await RefusedAsync(snapshot);
            Assert.Equal(("revision", "StaleRevision"), (refused.Faults[0].Path, refused.Faults[0].Code));
            Assert.Equal(7ul, refused.State.Desired.Revision);
        }

        await AssertSettledAsync();
    }

    [Fact]
    public async Task A_faulty_snapshot_changes_nothing_and_tells_everything()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        Ruleset before = kernel.Ruleset;
        byte[] file = await File.ReadAllBytesAsync(
            Path.Combine(folder, "state"), TestContext.Current.CancellationToken);
        Snapshot bad = Messages.Valid();
        bad.Revision = 8;
        bad.Rule("r1").Priority = 101;
        bad.Vnic("v1").Mac = "no";
        ApplyOutcome.Refused refused = await RefusedAsync(bad);
        Assert.Equal(["groups[web].rules[r1].priority", "vnics[v1].mac"], refused.Faults.Select(fault => fault.Path));
        Assert.Equal(before, kernel.Ruleset);
        Assert.Equal(
            file, await File.ReadAllBytesAsync(Path.Combine(folder, "state"), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task What_was_read_on_its_way_to_the_loop_is_not_read_again()
    {
        Start();
        SnapshotResult read = SnapshotReader.Read(Messages.Valid(), PolicyLimits.Default);
        Snapshot unreadable = Messages.Valid();
        unreadable.Vnic("v1").Mac = "no";
        ApplyOutcome outcome = await Now.Loop.ApplyAsync(
            answer => new AgentRequest.ApplySnapshot(unreadable, DryRun: false, NextRevision: false, answer)
            {
                Read = (read, TimeSpan.FromSeconds(7)),
            }, TestContext.Current.CancellationToken);
        ApplyOutcome.Accepted accepted = Assert.IsType<ApplyOutcome.Accepted>(outcome);
        Assert.Same(read.Policy, accepted.After);
        Assert.InRange(accepted.Validate, TimeSpan.FromSeconds(7), TimeSpan.FromSeconds(17));
    }

    [Fact]
    public async Task A_dry_run_writes_nothing_anywhere()
    {
        Start();
        ApplyOutcome.Accepted dry = Assert.IsType<ApplyOutcome.Accepted>(await Now.Loop.ApplyAsync(
            answer =>
                new AgentRequest.ApplySnapshot(Messages.Valid(), DryRun: true, NextRevision: false, answer),
                TestContext.Current.CancellationToken));
        Assert.Equal(7ul, dry.After.Revision);
        Assert.Equal(0ul, Now.Loop.State.Desired.Revision);
        Assert.False(File.Exists(Path.Combine(folder, "state")));
        await AssertSettledAsync();
    }

    [Fact]
    public async Task The_next_revision_is_the_agents_to_choose()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        Snapshot next = Messages.Valid();
        next.Revision = 0;
        next.Rule("r1").PortRange = "81/81";
        ApplyOutcome outcome = await Now.Loop.ApplyAsync(
            answer =>
                new AgentRequest.ApplySnapshot(next, DryRun: false, NextRevision: true, answer),
                TestContext.Current.CancellationToken);
        Assert.Equal(8ul, Assert.IsType<ApplyOutcome.Accepted>(outcome).State.AppliedRevision);
    }

    [Fact]
    public async Task Deltas_are_appended_and_found_again_after_a_restart()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        ApplyOutcome.Accepted done = await AcceptedAsync(Member(7, 8, "10.0.9.77"));
        await AssertSettledAsync();
        byte[] hash = done.State.DesiredHash;
        int commits = kernel.Committed.Count;

        await StopAsync();
        Start();
        Assert.Equal((8ul, 8ul), (Now.Loop.State.AppliedRevision, Now.Loop.State.Desired.Revision));
        Assert.Equal(hash, Now.Loop.State.DesiredHash);
        Assert.Equal(commits, kernel.Committed.Count); // adopted: nothing is written
        Assert.Empty(Now.Loop.State.Alarms);
        await AssertSettledAsync();
    }

    [Fact]
    public async Task A_delta_on_another_base_tells_what_the_agent_holds()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        ApplyOutcome outcome = await Now.Loop.ApplyAsync(
            answer =>
                new AgentRequest.ApplyDelta(Member(3, 9, "10.0.9.77"), answer), TestContext.Current.CancellationToken);
        ApplyOutcome.Refused refused = Assert.IsType<ApplyOutcome.Refused>(outcome);
        Assert.Equal("StaleBaseRevision", Assert.Single(refused.Faults).Code);
        Assert.Equal(7ul, refused.State.Desired.Revision);
        Assert.NotEmpty(refused.State.DesiredHash);
    }

    [Fact]
    public async Task What_cannot_be_persisted_is_refused_and_not_enforced()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        Ruleset before = kernel.Ruleset;
        int commits = kernel.Committed.Count;
        Directory.CreateDirectory(Path.Combine(folder, "state.new")); // a directory where the file is to be written
        Snapshot next = Messages.Valid();
        next.Revision = 8;
        next.Group("web").Rules.Clear();
        ApplyOutcome.Refused refused = await RefusedAsync(next);
        Assert.Equal(("state", "NotPersisted"), (refused.Faults[0].Path, refused.Faults[0].Code));
        Assert.Equal((before, commits), (kernel.Ruleset, kernel.Committed.Count));
        Assert.Equal((7ul, 7ul), (Now.Loop.State.Desired.Revision, Now.Loop.State.AppliedRevision));

        Directory.Delete(Path.Combine(folder, "state.new"));
        await AcceptedAsync(next);
        await AssertSettledAsync();
    }

    [Fact]
    public async Task A_damaged_state_leaves_the_ruleset_that_is_there_and_raises_an_alarm()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        await StopAsync();
        Ruleset before = kernel.Ruleset;
        string path = Path.Combine(folder, "state");
        byte[] bytes = await File.ReadAllBytesAsync(path, TestContext.Current.CancellationToken);
        bytes[100] ^= 1;
        await File.WriteAllBytesAsync(path, bytes, TestContext.Current.CancellationToken);

        Start();
        Assert.Equal(0ul, Now.Loop.State.Desired.Revision);
        Assert.Contains("kept as", Assert.Single(Now.Loop.State.Alarms));
        await SendAsync(new AgentRequest.LinksChanged(new HostLinks(HostLinks.None.Indexes.Add("tap1", 7))));
        await SendAsync(new AgentRequest.AuditDue());
        await IdleAsync();
        Assert.Equal(before, kernel.Ruleset);

        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
    }

    [Fact]
    public async Task A_damaged_state_without_a_ruleset_closes_the_managed_names()
    {
        await File.WriteAllTextAsync(Path.Combine(folder, "state"), "rubbish", TestContext.Current.CancellationToken);
        Start();
        await IdleAsync();
        NftChain forward = kernel.Ruleset.Tables[0].Chains.Single(chain => chain.Name == "sg_forward");
        Assert.Contains(
            "iifname \"tap*\" goto drop_from_closed",
            forward.Rules.Select(rule => NftText.Print(kernel.Ruleset.Tables[0], rule)));
    }

    [Fact]
    public async Task Drift_is_found_by_the_audit_and_repaired()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        kernel.Foreign(new NftOp.FlushChain(NftFamily.Inet, "sg_agent", "sg_forward"));
        await SendAsync(new AgentRequest.AuditDue());
        await AssertSettledAsync();
        Assert.Equal(1, Now.Metrics.DriftRepairs.Value);

        // A commit of others to their own tables is looked at once.
        kernel.Foreign();
        await SendAsync(new AgentRequest.AuditDue());
        await SendAsync(new AgentRequest.AuditDue());
        await AssertSettledAsync();
        Assert.Equal(1, Now.Metrics.DriftRepairs.Value);
        Assert.Equal(kernel.ReadGeneration(), Now.Loop.State.Generation);
    }

    [Fact]
    public async Task A_failed_commit_keeps_the_old_rules_and_the_next_audit_or_policy_brings_the_new()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        Ruleset before = kernel.Ruleset;
        kernel.Refuses = op => op.ObjectName is "live" or "stamp" ? "no" : null;
        Snapshot next = Messages.Valid();
        next.Revision = 8;
        next.Rule("r1").PortRange = "81/81";
        ApplyOutcome.Accepted done = await AcceptedAsync(next);
        Assert.Null(done.Report);
        Assert.Equal((8ul, 7ul), (done.State.Desired.Revision, done.State.AppliedRevision));
        Assert.Equal(["v1", "v2"], done.State.Failed.Keys);
        Assert.Equal(before.Tables[0].Chains.Single(chain => chain.Name == "live"),
            kernel.Ruleset.Tables[0].Chains.Single(chain => chain.Name == "live"));

        kernel.Refuses = _ => null;
        next.Revision = 9;
        done = await AcceptedAsync(next);
        Assert.Equal(9ul, done.State.AppliedRevision);
        Assert.Empty(done.State.Failed);
        await AssertSettledAsync();
    }

    [Fact]
    public async Task An_unexpected_error_is_answered_and_the_loop_goes_on()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        kernel.BeforeCommit = () => throw new CrashException();
        Snapshot next = Messages.Valid();
        next.Revision = 8;
        next.Group("web").Rules.Clear();
        ApplyOutcome.Refused refused = await RefusedAsync(next);
        Assert.Equal("InternalError", refused.Faults[0].Code);
        kernel.BeforeCommit = () => { };
        next.Revision = 9;
        await AcceptedAsync(next);
        await AssertSettledAsync();
    }

    [Fact]
    public async Task A_cleaning_up_that_fails_does_not_end_the_loop()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        await AssertSettledAsync();
        kernel.BeforeCommit = () =>
        {
            if (kernel.Ruleset.Tables[0].Sets.Single(set => set.Name == "vnic_from").Elements.Count == 1)
            {
                throw new CrashException(); // after the switch
            }
        };
        Snapshot next = Messages.Valid();
        next.Revision = 8;
        next.Vnics.RemoveAt(1);
        await AcceptedAsync(next);
        await IdleAsync();
        Assert.Equal(1, Now.Metrics.LoopFailures.Value);

        kernel.BeforeCommit = () => { };
        next.Revision = 9;
        await AcceptedAsync(next);
        await AssertSettledAsync();
    }

    [Fact]
    public async Task A_cleaning_up_that_the_kernel_refuses_is_put_off()
    {
        Start();
        await AcceptedAsync(Messages.Valid());
        kernel.Refuses = op => op is NftOp.DeleteChain ? "busy" : null;
        Snapshot next = Messages.Valid();
        for (ulong revision = 8; revision < 11; revision++)
        {
            next.Revision = revision;
            next.Vnics.Clear();
            ApplyOutcome.Accepted done = await AcceptedAsync(next);
            Assert.NotNull(done.Report);
            await IdleAsync();
        }

        kernel.Refuses = _ => null;
        next.Revision = 11;
        await AcceptedAsync(next);
        await AssertSettledAsync();
    }

    [Fact]
    public async Task Watchers_see_a_newer_state()
    {
        Start();
        long version = Now.Loop.State.Version;
        Task<AgentState> newer = Now.Loop.WaitForStateAsync(version, TestContext.Current.CancellationToken);
        await AcceptedAsync(Messages.Valid());
        Assert.True((await newer).Version > version);
        using var cancel = new CancellationTokenSource();
        Task<AgentState> never = Now.Loop.WaitForStateAsync(long.MaxValue, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => never);
    }

    private static Delta Member(ulong from, ulong to, string address) => new()
    {
        BaseRevision = from,
        Revision = to,
        Members = { new MemberChange { GroupId = "peers", Add = { address } } },
    };

    private void Start()
    {
        running = new RunningLoop(new StateFile(folder), kernel);
        running.Start();
    }

    private async Task StopAsync()
    {
        if (running is not null)
        {
            await running.DisposeAsync();
        }

        running = null;
    }

    private async Task<ApplyOutcome.Accepted> AcceptedAsync(Snapshot snapshot)
    {
        ApplyOutcome outcome = await ApplyAsync(snapshot);
        Assert.True(outcome is ApplyOutcome.Accepted, $"{(outcome as ApplyOutcome.Refused)?.Faults.FirstOrDefault()}");
        return (ApplyOutcome.Accepted)outcome;
    }

    private async Task<ApplyOutcome.Accepted> AcceptedAsync(Delta delta) => Assert.IsType<ApplyOutcome.Accepted>(
        await Now.Loop.ApplyAsync(
            answer => new AgentRequest.ApplyDelta(delta, answer), TestContext.Current.CancellationToken));

    private async Task<ApplyOutcome.Refused> RefusedAsync(Snapshot snapshot) =>
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(snapshot));

    private Task<ApplyOutcome> ApplyAsync(Snapshot snapshot) => Now.Loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(snapshot.Clone(), DryRun: false, NextRevision: false, answer),
        TestContext.Current.CancellationToken);

    private async Task SendAsync(AgentRequest request) =>
        await Now.Loop.Requests.WriteAsync(request, TestContext.Current.CancellationToken);

    /// <summary>
    /// The loop serves one request after the other, cleaning up included: an answer says all before is done.
    /// </summary>
    private async Task IdleAsync() => await Now.Loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(Messages.Valid(), DryRun: true, NextRevision: true, answer),
        TestContext.Current.CancellationToken);

    /// <summary>The kernel holds what the desired state compiles to, and nothing else.</summary>
    private async Task AssertSettledAsync()
    {
        await IdleAsync();
        AgentState state = Now.Loop.State;
        Ruleset expected = RulesetCompiler.Compile(new CompileRequest(
            state.Desired, PolicySettings.Default, CompilerSettings.Default, HostFacts.Default, state.Epoch)
        {
            KeptTimes = SessionTimes.Find(kernel.Ruleset, CompilerSettings.Default),
        }).Ruleset;
        Assert.Equal(NftText.Print(expected), NftText.Print(kernel.Ruleset));
        Assert.Equal(expected, kernel.Ruleset);
    }
}
