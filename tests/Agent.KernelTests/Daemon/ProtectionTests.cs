using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>Where the kernel can keep other programs off our tables, it does, from readiness on.</summary>
public sealed class ProtectionTests
{
    private static readonly (NftFamily Family, string Name)[] Tables =
        [(NftFamily.Inet, "sg_agent"), (NftFamily.Netdev, "sg_agent")];

    public ProtectionTests() => KernelNeeds.Feature(KernelFeature.OwnerPersist);

    [Fact]
    public async Task No_other_program_can_remove_or_change_the_tables_before_and_after_a_restart()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        await AttackAsync(lab);
        await lab.Daemon.StopAsync();
        await lab.Daemon.LaunchAsync();
        await AttackAsync(lab);
        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        await AttackAsync(lab);
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
    }

    [Fact]
    public async Task A_ruleset_that_was_left_alone_for_want_of_a_policy_is_protected_too()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.Daemon.KillAsync();
        File.Delete(Path.Combine(lab.Daemon.StateDirectory, "state"));
        await lab.Daemon.LaunchAsync();
        Assert.Contains("found and left alone", lab.Daemon.Log, StringComparison.Ordinal);
        await AttackAsync(lab);
    }

    [Fact]
    public async Task What_was_destroyed_while_nobody_owned_it_is_made_anew_at_start()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.Daemon.KillAsync();
        lab.Network.Host.Exec("nft", "flush", "ruleset");
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true)); // this is what persistence saves from
        await lab.Daemon.LaunchAsync();
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        await AttackAsync(lab);
    }

    [Fact]
    public async Task Tables_that_another_program_owns_are_reported_and_taken_over_when_it_lets_go()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.Daemon.KillAsync();
        using (NftConnection other = lab.Network.Host.Run(() => new NftConnection(TableOwnership.OwnedAndPersistent)))
        {
            Assert.IsType<CommitOutcome.Committed>(other.Commit(
                [.. Tables.Select(t => new NftOp.AddTable(t.Family, t.Name))], other.ReadGeneration()));
            await lab.Daemon.LaunchAsync();
            AgentStatus status = await lab.StatusAsync();
            Assert.Contains("belongs to another program", Assert.Single(status.Alarms), StringComparison.Ordinal);
            Assert.All(status.Vnics, vnic => Assert.Equal(VnicState.Failed, vnic.State));
            Accepted answer = await lab.ApplyAsync(DaemonLab.OneWayIn());
            Assert.Equal(3, answer.FailedVnics.Count);
            Assert.All(answer.FailedVnics, vnic => Assert.Contains("netlink", vnic.Reason, StringComparison.Ordinal));
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        }

        await DaemonLab.UntilAsync("a ruleset in force", async () => (await lab.StatusAsync()).Alarms.Count == 0);
        AgentStatus after = await lab.StatusAsync();
        Assert.Equal(after.DesiredRevision, after.AppliedRevision);
        Assert.All(after.Vnics, vnic => Assert.Equal(VnicState.Enforced, vnic.State));
        await AttackAsync(lab);
    }

    private static async Task AttackAsync(DaemonLab lab)
    {
        string before = RestartTests.WithoutCounters(lab.Listing());
        foreach (string attack in (string[])
        [
            "delete table inet sg_agent",
            "delete table netdev sg_agent",
            "flush table inet sg_agent",
            "flush chain inet sg_agent sg_forward",
            "insert rule inet sg_agent sg_forward accept",
            "delete element inet sg_agent vnic_to { \"tap-e2\" }",
        ])
        {
            CommandOutcome outcome = lab.Network.Host.TryExec("nft", attack);
            Assert.True(outcome.ExitCode != 0, $"nft {attack} was let through");
            Assert.Contains("Operation not permitted", outcome.Error, StringComparison.Ordinal);
        }

        Assert.Equal(0, lab.Network.Host.TryExec("nft", "flush ruleset").ExitCode); // it passes over what others own
        Assert.Equal(before, RestartTests.WithoutCounters(lab.Listing()));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
    }
}
