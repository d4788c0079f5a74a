using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Nftables;
using Agent.Tests.Contract;
using Agent.Tests.State;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>
/// The real loop after a downgrade, or with a damaged file: what the kernel enforces is all that is known, and nothing
/// but a state that is accepted, or its disappearance, puts something else in its place.
/// </summary>
public sealed class UnreadStateTests : IAsyncDisposable
{
    private const string Unread = "sg_agent_state_unread";
    private const int VersionAt = 7;

    private readonly string folder = Directory.CreateTempSubdirectory("sg-unread").FullName;
    private readonly SimulatedFirewall kernel = new();
    private readonly JumpingClock clock = new(TimeProvider.System);
    private RunningLoop? running;

    private RunningLoop Now => running ?? throw new InvalidOperationException("not started");

    private string FileName => Path.Combine(folder, "state");

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_state_of_a_newer_format_and_the_ruleset_stay_until_the_newer_version_is_back()
    {
        Ruleset enforced = await EnforceAndStopAsync();
        byte[] newer = Alter(bytes => bytes[VersionAt]++);
        for (int start = 0; start < 2; start++)
        {
            Start();
            Assert.Equal((0ul, 0ul), (Now.Loop.State.Desired.Revision, Now.Loop.State.AppliedRevision));
            Assert.Contains("stays as it is for a newer version", Assert.Single(Now.Loop.State.Alarms));
            Assert.Null(Now.Loop.State.DesiredAt);
            Assert.Equal(1, await Now.MetricAsync(Unread));
            Assert.Equal(0, await Now.MetricAsync("sg_agent_desired_timestamp_seconds"));
            await DisturbAsync();
            Assert.Equal(enforced, kernel.Ruleset);
            Assert.Single(Now.Loop.State.Alarms);
            await StopAsync();
            Assert.Equal(newer, await File.ReadAllBytesAsync(FileName, TestContext.Current.CancellationToken));
        }

        Alter(bytes => bytes[VersionAt]--); // who wrote it reads it
        int commits = kernel.Committed.Count;
        Start();
        Assert.Equal((7ul, 7ul), (Now.Loop.State.Desired.Revision, Now.Loop.State.AppliedRevision));
        Assert.Empty(Now.Loop.State.Alarms);
        Assert.Equal(0, await Now.MetricAsync(Unread));
        Assert.Equal((enforced, commits), (kernel.Ruleset, kernel.Committed.Count));
    }

    [Fact]
    public async Task A_state_that_is_accepted_takes_the_place_of_the_one_of_a_newer_format()
    {
        await EnforceAndStopAsync();
        Alter(bytes => bytes[VersionAt]++);
        Start();
        Snapshot next = Messages.Valid();
        next.Revision = 3; // of a controller that begins anew: nobody here knows the number that was reached
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(next));
        Assert.Empty(Now.Loop.State.Alarms);
        Assert.Equal(0, await Now.MetricAsync(Unread));
        Assert.Equal((3ul, 3ul), (Now.Loop.State.Desired.Revision, Now.Loop.State.AppliedRevision));
        await StopAsync();
        Assert.Equal([FileName], Directory.GetFiles(folder));
        Start();
        Assert.Equal(3ul, Now.Loop.State.Desired.Revision);
        Assert.Empty(Now.Loop.State.Alarms);
    }

    [Fact]
    public async Task Looking_at_a_ruleset_that_is_held_on_to_does_not_replace_it()
    {
        Ruleset enforced = await EnforceAndStopAsync();
        Alter(bytes => bytes[^1] ^= 1);
        Alter(bytes => bytes[20] ^= 1);
        Start();
        Assert.Equal(1, await Now.MetricAsync(Unread));
        await DisturbAsync();
        Assert.Equal(enforced, kernel.Ruleset);
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Messages.Valid()));
        Assert.Equal(0, await Now.MetricAsync(Unread));
        Assert.Single(Now.Loop.State.Alarms); // there is a file for a person to look at
    }

    [Fact]
    public async Task A_newer_state_without_a_ruleset_closes_the_managed_names_and_stays()
    {
        await File.WriteAllTextAsync(FileName, "SGAGENT\u0003...", TestContext.Current.CancellationToken);
        Start();
        Assert.Contains("newer", Assert.Single(Now.Loop.State.Alarms));
        Assert.Contains(
            "iifname \"tap*\" goto drop_from_closed",
            kernel.Ruleset.Tables[0].Chains.Single(chain => chain.Name == "sg_forward").Rules
                .Select(rule => NftText.Print(kernel.Ruleset.Tables[0], rule)));
        Assert.Equal([FileName], Directory.GetFiles(folder));
    }

    private async Task<Ruleset> EnforceAndStopAsync()
    {
        Start();
        Assert.IsType<ApplyOutcome.Accepted>(await ApplyAsync(Messages.Valid()));
        await StopAsync();
        return kernel.Ruleset;
    }

    /// <summary>All that happens on a host without a controller.</summary>
    private async Task DisturbAsync()
    {
        await SendAsync(new AgentRequest.LinksChanged(new HostLinks(HostLinks.None.Indexes.Add("tap1", 7))));
        await SendAsync(new AgentRequest.AuditDue());
        kernel.Foreign(); // somebody's own tables
        await SendAsync(new AgentRequest.AuditDue());
        ReadBack reading = await Now.Loop.VerifyAsync(TestContext.Current.CancellationToken);
        Assert.Equal(VerifyOutcome.Unknown, reading.Result.Outcome);
        Assert.IsType<ApplyOutcome.Refused>(await ApplyAsync(null)); // a fault of our own: all would be tried again
        clock.Passed += TimeSpan.FromMinutes(2);
        await SendAsync(new AgentRequest.AuditDue());
        await Now.Loop.VerifyAsync(TestContext.Current.CancellationToken);
        Assert.Equal(1, Now.Metrics.LoopFailures.Value);
    }

    private byte[] Alter(Action<byte[]> alter)
    {
        byte[] bytes = File.ReadAllBytes(FileName);
        alter(bytes);
        File.WriteAllBytes(FileName, bytes);
        return bytes;
    }

    private void Start()
    {
        running = new RunningLoop(new StateFile(folder), kernel, clock);
        running.Start();
    }

    private async Task StopAsync()
    {
        if (running is not null)
        {
            await running.DisposeAsync();
        }
    }

    private async Task SendAsync(AgentRequest request) =>
        await Now.Loop.Requests.WriteAsync(request, TestContext.Current.CancellationToken);

    private Task<ApplyOutcome> ApplyAsync(Snapshot? snapshot) => Now.Loop.ApplyAsync(
        answer => new AgentRequest.ApplySnapshot(snapshot?.Clone()!, DryRun: false, NextRevision: false, answer),
        TestContext.Current.CancellationToken);
}
