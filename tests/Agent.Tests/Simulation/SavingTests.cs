using System.Text;
using Agent.Contract;
using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Policy;
using Agent.Tests.Contract;
using Agent.Tests.State;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>
/// The real loop on a disk that fails: what cannot be saved is refused, an alarm says so, and ends by itself.
/// </summary>
public sealed class SavingTests : IAsyncDisposable
{
    private readonly SimulatedFirewall kernel = new();
    private readonly TornDisk disk = new();
    private readonly JumpingClock clock = new(TimeProvider.System);
    private readonly List<RunningLoop> lives = [];

    private RunningLoop Now => lives[^1];

    public async ValueTask DisposeAsync()
    {
        foreach (RunningLoop life in lives)
        {
            await life.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("write")]
    [InlineData("sync")]
    [InlineData("create")]
    [InlineData("rename")]
    [InlineData("sync directory")]
    public async Task A_step_that_cannot_be_saved_is_refused_and_an_alarm_stands_until_one_could_be(string call)
    {
        Begin();
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Messages.Valid()));
        await IdleAsync();
        Ruleset before = kernel.Ruleset;
        Fail(call);
        for (int i = 0; i < 2; i++)
        {
            ApplyOutcome.Refused refused = Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(Opened(8)));
            PolicyFault fault = Assert.Single(refused.Faults);
            Assert.Equal(("state", "NotPersisted"), (fault.Path, fault.Code));
            Assert.NotEmpty(fault.Remedy);
            Assert.Equal(7ul, Now.Loop.State.Desired.Revision);
            Assert.Contains("cannot be saved", Assert.Single(Now.Loop.State.Alarms), StringComparison.Ordinal);
        }

        Assert.Equal(before, kernel.Ruleset);
        Assert.Equal(1, await Now.MetricAsync("sg_agent_state_unsaved"));
        Assert.Equal(2, Now.Metrics.PersistFailures.Value);

        // A trial for which it is not time yet, then one that succeeds: nobody has sent anything meanwhile.
        disk.Before = (_, _) => { };
        await AuditAsync();
        Assert.Single(Now.Loop.State.Alarms);
        clock.Jump = TimeSpan.FromHours(-5);
        clock.Passed = TimeSpan.FromMinutes(2);
        await AuditAsync();
        Assert.Empty(Now.Loop.State.Alarms);
        Assert.Equal(0, await Now.MetricAsync("sg_agent_state_unsaved"));

        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Opened(8)));
        Assert.Equal(8ul, Found().Policy.Revision);
    }

    [Fact]
    public async Task A_step_that_is_saved_ends_the_alarm()
    {
        Begin();
        await ApplyAsync(Messages.Valid());
        Fail("write");
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(Member(8)));
        Assert.Single(Now.Loop.State.Alarms);
        disk.Before = (_, _) => { };
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Member(8)));
        Assert.Empty(Now.Loop.State.Alarms);
        Assert.Equal(8ul, Found().Policy.Revision);
    }

    /// <summary>What a full disk took of a delta is gone before the next one comes.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(40)]
    public async Task Half_a_delta_is_cut_off_before_the_next(int arrived)
    {
        Begin();
        await ApplyAsync(Messages.Valid());
        int length = disk.Read("state")!.Length;
        disk.Partial = arrived;
        Fail("write");
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(Member(8)));
        Assert.Equal(length, disk.Read("state")!.Length);
        Fail("write", "cut"); // not even that
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(Member(8)));
        disk.Before = (_, _) => { };
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Opened(9)));
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Member(10)));
        SavedPolicy found = Found();
        Assert.Null(found.Damage);
        Assert.Equal(Now.Loop.State.DesiredHash, StateHash.Of(found.Policy));
    }

    [Fact]
    public async Task With_a_disk_that_takes_nothing_at_the_start_what_is_there_is_enforced_and_the_alarm_stands()
    {
        Begin();
        await ApplyAsync(Messages.Valid());
        await IdleAsync();
        await Now.DisposeAsync();
        Fail("create", "write", "cut", "open", "rename", "delete");
        Begin();
        Assert.Equal((7ul, 7ul), (Now.Loop.State.Desired.Revision, Now.Loop.State.AppliedRevision));
        Assert.Contains("cannot be saved", Assert.Single(Now.Loop.State.Alarms), StringComparison.Ordinal);
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(Opened(8)));
        disk.Before = (_, _) => { };
        clock.Passed = TimeSpan.FromMinutes(2);
        await AuditAsync();
        Assert.Empty(Now.Loop.State.Alarms);
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Opened(8)));
    }

    /// <summary>A file that cannot be used and cannot be moved stops nobody.</summary>
    [Theory]
    [InlineData("SGAGENT\u0000 of no version")]
    [InlineData("rubbish")]
    public async Task What_cannot_be_read_and_not_be_moved_is_told_and_replaced_by_the_next_state(string content)
    {
        TornDisk bad = TornDisk.With("state", Encoding.UTF8.GetBytes(content));
        bad.Before = (call, _) => _ = call == "rename" ? throw new IOException("read-only") : 0;
        Begin(bad);
        Assert.Equal(0ul, Now.Loop.State.Desired.Revision);
        Assert.Contains(
            Now.Loop.State.Alarms, alarm => alarm.Contains("stays where it is", StringComparison.Ordinal));
        Assert.Equal(content, Encoding.UTF8.GetString(bad.Read("state")!));
        bad.Before = (_, _) => { };
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Messages.Valid()));
        Assert.Equal(7ul, SavedPolicy.Load(new StateFile(bad)).Policy.Revision);
    }

    /// <summary>The kernel is asked again when its time has come, whatever the wall clock says.</summary>
    [Theory]
    [InlineData(-5)]
    [InlineData(5)]
    public async Task A_refusing_kernel_is_tried_again_after_real_time(int hours)
    {
        Begin();
        kernel.Refuses = _ => "no";
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Messages.Valid()));
        Assert.Equal(0ul, Now.Loop.State.AppliedRevision);
        kernel.Refuses = _ => null;
        clock.Jump = TimeSpan.FromHours(hours);
        await AuditAsync();
        Assert.Equal(0ul, Now.Loop.State.AppliedRevision);
        clock.Passed = TimeSpan.FromMinutes(2);
        await AuditAsync();
        Assert.Equal(7ul, Now.Loop.State.AppliedRevision);
    }

    [Fact]
    public async Task After_hours_without_a_controller_all_stands_and_the_age_shows()
    {
        Begin();
        await ApplyAsync(Messages.Valid());
        await IdleAsync();
        Ruleset before = kernel.Ruleset;
        clock.Passed = TimeSpan.FromHours(9);
        clock.Jump = TimeSpan.FromHours(-100);
        await AuditAsync();
        Assert.Equal(before, kernel.Ruleset);
        Assert.Equal(7ul, Now.Loop.State.AppliedRevision);
        Assert.InRange(Now.Loop.State.DesiredAt!.Age(clock).TotalHours, 9, 9.5);
        Assert.InRange(await Now.MetricAsync("sg_agent_desired_age_seconds"), 9 * 3600, 9.5 * 3600);
    }

    private void Begin(IStateDisk? other = null)
    {
        lives.Add(new RunningLoop(new StateFile(other ?? disk), kernel, clock));
        Now.Start();
    }

    private void Fail(params string[] calls) =>
        disk.Before = (call, _) => _ = calls.Contains(call) ? throw new IOException($"no {call}") : 0;

    private SavedPolicy Found() => SavedPolicy.Load(new StateFile(disk));

    private static Snapshot Opened(ulong revision)
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Revision = revision;
        snapshot.Rule("r1").PortRange = "81/81";
        return snapshot;
    }

    private Delta Member(ulong revision) => new()
    {
        BaseRevision = Now.Loop.State.Desired.Revision,
        Revision = revision,
        Members = { new MemberChange { GroupId = "web", Add = { $"10.6.0.{revision}" } } },
    };

    private Task<ApplyOutcome> ApplyAsync(Snapshot snapshot) => Now.Loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(snapshot, DryRun: false, NextRevision: false, answer),
        TestContext.Current.CancellationToken);

    private Task<ApplyOutcome> ApplyAsync(Delta delta) => Now.Loop.ApplyAsync(
        answer => new AgentRequest.ApplyDelta(delta, answer), TestContext.Current.CancellationToken);

    private async Task AuditAsync()
    {
        await Now.Loop.Requests.WriteAsync(new AgentRequest.AuditDue(), TestContext.Current.CancellationToken);
        await IdleAsync();
    }

    private async Task IdleAsync() => await Now.Loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(Messages.Valid(), DryRun: true, NextRevision: true, answer),
        TestContext.Current.CancellationToken);
}
