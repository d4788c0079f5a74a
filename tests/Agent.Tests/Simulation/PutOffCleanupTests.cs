using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Nftables;
using Agent.Tests.Contract;
using Agent.Tests.State;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>What a change left, and could not be removed, does not stay until something else changes.</summary>
public sealed class PutOffCleanupTests : IAsyncDisposable
{
    private readonly JumpingClock clock = new(TimeProvider.System);
    private readonly SimulatedFirewall kernel = new();
    private readonly RunningLoop here;

    public PutOffCleanupTests() => here = new RunningLoop(kernel: kernel, clock: clock);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => here.DisposeAsync();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task It_is_tried_again_until_it_is_gone(bool throws)
    {
        here.Start();
        await ApplyAsync(Messages.Valid());
        await here.Loop.SettledAsync(Cancel);
        Snapshot fewer = Messages.Valid();
        fewer.Revision = 8;
        fewer.Vnics.Clear();
        kernel.Refuses = op => op is NftOp.DeleteChain
            ? throws ? throw new InvalidOperationException("the socket is gone") : "in use" : null;
        await ApplyAsync(fewer);
        await here.Loop.SettledAsync(Cancel);
        Assert.NotEqual(here.Loop.State.Enforced!.Ruleset, kernel.Ruleset);

        kernel.Refuses = _ => null;
        clock.Passed = TimeSpan.FromMinutes(2);
        await here.Loop.Requests.WriteAsync(new AgentRequest.AuditDue(), Cancel);
        await here.Loop.SettledAsync(Cancel);
        Assert.Equal(here.Loop.State.Enforced!.Ruleset, kernel.Ruleset);
    }

    [Fact]
    public async Task A_staged_table_that_could_not_be_removed_is_tried_again()
    {
        here.Start();
        await ApplyAsync(Messages.Valid());
        Assert.IsType<ApplyOutcome.Accepted>(await here.Loop.ApplyAsync(
            answer => new AgentRequest.Stage(Messages.Valid(), NextRevision: true, answer), Cancel));
        kernel.Refuses = op => op is NftOp.DeleteTable ? "busy" : null;
        Assert.NotNull((await here.Loop.DiscardStagedAsync(Claim.None, Cancel)).Gone);
        Assert.NotEmpty(kernel.ReadAside(RunningLoop.StagedTable).Tables);

        kernel.Refuses = _ => null;
        clock.Passed = TimeSpan.FromMinutes(2);
        await here.Loop.Requests.WriteAsync(new AgentRequest.AuditDue(), Cancel);
        await here.Loop.SettledAsync(Cancel);
        Assert.Empty(kernel.ReadAside(RunningLoop.StagedTable).Tables);
    }

    private async Task ApplyAsync(Snapshot snapshot) => Assert.IsType<ApplyOutcome.Accepted>(
        await here.Loop.ApplyAsync(
            answer => new AgentRequest.ApplySnapshot(snapshot, DryRun: false, NextRevision: false, answer)
            {
                ConfirmsMassChange = true,
            }, Cancel));
}
