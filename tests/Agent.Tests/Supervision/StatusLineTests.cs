using Agent.Daemon.Enforcement;
using Agent.Daemon.Ownership;
using Agent.Daemon.Supervision;
using Agent.Policy;

namespace Agent.Tests.Supervision;

/// <summary>The line of <c>systemctl status</c>.</summary>
public sealed class StatusLineTests
{
    private static readonly Presence Nobody = new(Lease.None, IsHeld: false, TimeSpan.Zero);

    private static readonly PolicySnapshot Policy = Contract.DeltaTests.Read(Contract.Messages.Valid());

    [Fact]
    public void It_says_what_is_in_force_and_who_is_there()
    {
        AgentState state = AgentState.Initial;
        Assert.Equal(
            "no policy yet: managed interfaces are closed; 0 vNICs; no controller", StatusLine.Of(state, Nobody));
        state = state with { Desired = Policy, AppliedRevision = Policy.Revision };
        Presence named = Nobody with { ConnectedFor = TimeSpan.FromSeconds(1), Name = "east" };
        Assert.Equal(
            $"revision {Policy.Revision} enforced; {Policy.Vnics.Count} vNICs; controller east",
            StatusLine.Of(state, named));
    }

    [Fact]
    public void What_is_wrong_is_in_it()
    {
        AgentState state = AgentState.Initial with
        {
            Desired = Policy,
            AppliedRevision = 0,
            Failed = AgentState.Initial.Failed.Add("v1", "refused"),
            Alarms = ["the disk is full", "another"],
        };
        Assert.Equal(
            $"revision {Policy.Revision} is not in force, 0 is; {Policy.Vnics.Count} vNICs, 1 failed; no controller;"
            + " 2 alarms, first: the disk is full",
            StatusLine.Of(state, Nobody));
        Assert.EndsWith(
            "; alarm: another", StatusLine.Of(state with { Alarms = ["another"] }, Nobody), StringComparison.Ordinal);
    }
}
