using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Nftables;
using Agent.Tests.Contract;
using Delta = Agent.V1.Delta;
using MemberChange = Agent.V1.MemberChange;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Simulation;

/// <summary>Steps that remove too much, in the real loop beside a simulated kernel.</summary>
public sealed class HeldStepTests : IAsyncDisposable
{
    private readonly RunningLoop here = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => here.DisposeAsync();

    [Fact]
    public async Task A_snapshot_is_held_staged_and_not_persisted_and_its_commit_enforces_it()
    {
        await StartAsync();
        Ruleset before = here.Kernel.Ruleset;
        byte[] saved = await here.SavedAsync();
        ApplyOutcome.Held held = Held(await ApplyAsync(Without(8, 12)));
        Assert.Equal("would remove 12 of 20 members (60 %)", held.Change.Summary);
        Assert.Equal((7ul, 7ul, 8ul), (here.Loop.State.Desired.Revision, here.Loop.State.AppliedRevision,
            here.Loop.State.Staged!.Policy.Revision));
        Assert.Equal(before.Tables, here.Kernel.Ruleset.Tables.Where(table => table.Name != RunningLoop.StagedTable));
        Assert.Equal(here.Loop.State.Staged.Shadow.Ruleset, here.Kernel.ReadAside(RunningLoop.StagedTable));
        Assert.Equal(saved, await here.SavedAsync());
        await AssertCountsAsync(held: 1, confirmed: 0, discarded: 0, waits: 1);

        // Whoever commits what is there must have seen it.
        Assert.Equal("MassChangeHeld", Code(await CommitAsync(0)));
        Assert.Equal("AnotherIsStaged", Code(await CommitAsync(9)));
        Accepted(await CommitAsync(8));
        AgentState state = here.Loop.State;
        Assert.Equal((8ul, 8ul, null), (state.Desired.Revision, state.AppliedRevision, state.Staged));
        Assert.Equal(8, here.Loop.State.Desired.Groups["peers"].Members.Count);
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
        await AssertCountsAsync(held: 1, confirmed: 1, discarded: 0, waits: 0);
    }

    [Fact]
    public async Task The_same_step_again_goes_on_waiting_and_with_a_confirmation_it_is_enforced()
    {
        await StartAsync();
        Held(await ApplyAsync(Without(8, 12)));
        StagedPolicy waiting = here.Loop.State.Staged!;
        Held(await ApplyAsync(Without(8, 12)));
        Assert.Same(waiting, here.Loop.State.Staged);
        await AssertCountsAsync(held: 1, confirmed: 0, discarded: 0, waits: 1);

        ApplyOutcome.Accepted done = Accepted(await ApplyAsync(Without(8, 12), confirms: true));
        Assert.Empty(done.Warnings);
        Assert.Equal((8ul, null), (here.Loop.State.AppliedRevision, here.Loop.State.Staged));
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
        await AssertCountsAsync(held: 1, confirmed: 1, discarded: 0, waits: 0);

        // One that comes confirmed is never held.
        Snapshot empty = new() { Revision = 9 };
        Accepted(await ApplyAsync(empty, confirms: true));
        await AssertCountsAsync(held: 1, confirmed: 2, discarded: 0, waits: 0);
    }

    [Fact]
    public async Task A_delta_is_held_and_those_that_build_on_it_are_refused()
    {
        await StartAsync();
        Held(await DeltaAsync(7, 8, 12));
        Assert.Equal("MassChangeHeld", Code(await DeltaAsync(8, 9, 0)));
        Assert.Equal("MassChangeHeld", Code(await DeltaAsync(9, 10, 0)));
        Assert.Equal("StaleBaseRevision", Code(await DeltaAsync(6, 10, 0)));
        Assert.Equal(8ul, here.Loop.State.Staged!.Policy.Revision);
        Accepted(await CommitAsync(8));
        Assert.Equal(8, here.Loop.State.Desired.Groups["peers"].Members.Count);
        Accepted(await DeltaAsync(8, 9, 13));
        Assert.Equal(7, here.Loop.State.Desired.Groups["peers"].Members.Count);
        Assert.Equal(9ul, here.Loop.State.AppliedRevision);
    }

    [Fact]
    public async Task What_is_discarded_or_overtaken_is_forgotten()
    {
        await StartAsync();
        Held(await DeltaAsync(7, 8, 12));
        Assert.Equal(8ul, (await here.Loop.DiscardStagedAsync(Claim.None, Cancel)).Gone!.Policy.Revision);
        await AssertCountsAsync(held: 1, confirmed: 0, discarded: 1, waits: 0);
        Assert.Equal("StaleBaseRevision", Code(await DeltaAsync(8, 9, 0)));

        // A delta leaves what somebody staged, but not what was held on its own ground.
        Held(await DeltaAsync(7, 8, 12));
        ApplyOutcome.Accepted done = Accepted(await DeltaAsync(7, 9, 1));
        Assert.Equal(["revision 8, which was held as a mass change, is forgotten"], done.Warnings);
        Assert.Null(here.Loop.State.Staged);
        await AssertCountsAsync(held: 2, confirmed: 0, discarded: 2, waits: 0);

        Held(await ApplyAsync(Without(10, 15)));
        Held(await ApplyAsync(Without(10, 16))); // another step takes its place
        await AssertCountsAsync(held: 4, confirmed: 0, discarded: 3, waits: 1);
        Accepted(await ApplyAsync(Without(10, 0)));
        await AssertCountsAsync(held: 4, confirmed: 0, discarded: 4, waits: 0);
    }

    [Fact]
    public async Task An_empty_snapshot_is_held_and_the_first_state_and_a_dry_run_are_not()
    {
        await StartAsync();
        Assert.True(Held(await ApplyAsync(new Snapshot { Revision = 8 })).Change.Empties);
        ApplyOutcome.Accepted dry = Accepted(await ApplyAsync(Without(8, 12), dry: true));
        Assert.Contains("would be held: it would remove 12 of 20 members (60 %)", dry.Warnings);
        Assert.True(here.Loop.State.Staged!.MassChange!.Empties); // still the other one
        await AssertCountsAsync(held: 1, confirmed: 0, discarded: 0, waits: 1);
    }

    [Fact]
    public async Task Where_it_cannot_be_staged_it_is_held_all_the_same()
    {
        await StartAsync();
        here.RefuseToStage("no memory");
        Held(await ApplyAsync(Without(8, 12)));
        Assert.Empty(here.Kernel.ReadAside(RunningLoop.StagedTable).Tables);
        Assert.Equal(7ul, here.Loop.State.AppliedRevision);
        Assert.Contains("no memory", here.Loop.State.Staged!.Uncounted, StringComparison.Ordinal);
        Accepted(await CommitAsync(8));
        Assert.Equal(8ul, here.Loop.State.AppliedRevision);
    }

    private static Snapshot Without(ulong revision, int removed)
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Revision = revision;
        foreach (V1.SecurityGroup group in snapshot.Groups)
        {
            group.Members.Clear();
        }

        snapshot.Group("peers").Members.Add(Members().Skip(removed));
        return snapshot;
    }

    private static IEnumerable<string> Members() => Enumerable.Range(1, 20).Select(i => $"10.0.9.{i}");

    private async Task StartAsync()
    {
        here.Start();
        Accepted(await ApplyAsync(Without(7, 0)));
        await IdleAsync();
    }

    private async Task AssertCountsAsync(int held, int confirmed, int discarded, int waits)
    {
        using var page = new MemoryStream();
        await here.Metrics.Registry.CollectAndExportAsTextAsync(page, Cancel);
        string[] lines = System.Text.Encoding.UTF8.GetString(page.ToArray()).Split('\n');
        foreach (string expected in (string[])[$"s_total{{result=\"held\"}} {held}",
            $"s_total{{result=\"confirmed\"}} {confirmed}", $"s_total{{result=\"discarded\"}} {discarded}",
            $"_held {waits}"])
        {
            Assert.Contains($"sg_agent_mass_change{expected}", lines);
        }
    }

    private static string Code(ApplyOutcome outcome) => Assert.IsType<ApplyOutcome.Refused>(outcome).Faults[0].Code;

    private static ApplyOutcome.Held Held(ApplyOutcome outcome) => Assert.IsType<ApplyOutcome.Held>(outcome);

    private static ApplyOutcome.Accepted Accepted(ApplyOutcome outcome)
    {
        Assert.True(outcome is ApplyOutcome.Accepted,
            $"{outcome.GetType().Name} {(outcome as ApplyOutcome.Refused)?.Faults.FirstOrDefault()}");
        return (ApplyOutcome.Accepted)outcome;
    }

    private Task<ApplyOutcome> CommitAsync(ulong revision) =>
        here.Loop.ApplyAsync(answer => new AgentRequest.CommitStaged(revision, answer), Cancel);

    private Task<ApplyOutcome> DeltaAsync(ulong from, ulong to, int removed) => here.Loop.ApplyAsync(
        answer => new AgentRequest.ApplyDelta(
            new Delta
            {
                BaseRevision = from,
                Revision = to,
                Members = { new MemberChange { GroupId = "peers", Remove = { Members().Take(removed) } } },
            }, answer), Cancel);

    private Task<ApplyOutcome> ApplyAsync(Snapshot snapshot, bool dry = false, bool confirms = false) =>
        here.Loop.ApplyAsync(
            answer => new AgentRequest.ApplySnapshot(snapshot.Clone(), dry, NextRevision: dry, answer)
            {
                ConfirmsMassChange = confirms,
            }, Cancel);

    /// <summary>One request after the other, cleaning up included: an answer says that all before is done.</summary>
    private async Task IdleAsync() => await ApplyAsync(Without(7, 0), dry: true);
}
