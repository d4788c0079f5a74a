using Agent.Netlink.Conntrack;
using Agent.TestNet;

namespace Agent.KernelTests.Daemon;

/// <summary><c>sg-agentd --remove-ruleset</c>: the one way to end enforcement.</summary>
public sealed class RemovalTests
{
    [Fact]
    public async Task All_that_the_agent_left_in_the_kernel_goes_and_nothing_of_others()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            c => c["conntrack"] = new System.Text.Json.Nodes.JsonObject { ["accounting"] = true },
            before: network =>
            {
                network.Host.Exec("nft", "add table inet others; add chain inet others c; add table inet sg_agent_not");
                network.Host.Exec("sysctl", "-qw", "net.netfilter.nf_conntrack_generic_timeout=123");
            });
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.Equal("30", Sysctl(lab, "generic_timeout"));
        await lab.Client.StageSnapshotAsync(
            new V1.StageSnapshotRequest { Snapshot = DaemonLab.OneWayIn(), NextRevision = true },
            cancellationToken: TestContext.Current.CancellationToken);
        await lab.Daemon.KillAsync();
        Assert.NotEmpty(Marked(lab));
        Assert.Contains("sg_agent_staged", lab.Listing(), StringComparison.Ordinal);

        CommandOutcome outcome = Remove(lab);
        Assert.True(outcome.ExitCode == 0, outcome.Error + outcome.Output);
        Assert.Contains("removed table inet sg_agent", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("no longer enforced", outcome.Output, StringComparison.Ordinal);
        Assert.Equal("table inet others {\n\tchain c {\n\t}\n}\ntable inet sg_agent_not {\n}",
            lab.Network.Host.Exec("nft", "list", "ruleset").Trim());
        Assert.Empty(Marked(lab));
        Assert.Equal(
            ("123", "0", "0"), (Sysctl(lab, "generic_timeout"), Sysctl(lab, "acct"), Sysctl(lab, "timestamp")));
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true));

        CommandOutcome again = Remove(lab);
        Assert.Equal(0, again.ExitCode);
        Assert.Equal("there was no table\n", again.Output);

        // The saved state is not part of it: a start enforces it again.
        await lab.Daemon.LaunchAsync();
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)] // also where the kernel cannot tell: by the lock of the state directory
    public async Task While_a_daemon_runs_nothing_is_removed(bool protect)
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["protect_tables"] = protect);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        string before = RestartTests.WithoutCounters(lab.Listing());
        CommandOutcome outcome = Remove(lab);
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("stop it first", outcome.Error, StringComparison.Ordinal);
        Assert.Equal("", outcome.Output);
        Assert.Equal(before, RestartTests.WithoutCounters(lab.Listing()));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
    }

    [Fact]
    public async Task Tables_that_a_program_with_another_state_directory_owns_are_left_alone()
    {
        KernelNeeds.Feature(KernelFeature.OwnerPersist);
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        CommandOutcome outcome = lab.Network.Host.TryExec(
            BuiltProgram.Find("SG_AGENTD", "Agent.Daemon", "sg-agentd"),
            "--set", $"state_directory={lab.Daemon.Directory}/other", "--remove-ruleset");
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("belongs to another program", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("table inet sg_agent", lab.Listing(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_daemon_with_the_same_state_does_not_start_and_the_first_goes_on()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        CommandOutcome second = lab.Network.Host.TryExec(
            BuiltProgram.Find("SG_AGENTD", "Agent.Daemon", "sg-agentd"), "--config", lab.Daemon.ConfigurationPath,
            "--set", $"grpc.socket={lab.Daemon.Directory}/second.sock", "--set", "metrics.listen=");
        Assert.Equal(1, second.ExitCode);
        Assert.Contains("another sg-agentd is running", second.Error, StringComparison.Ordinal);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    private static CommandOutcome Remove(DaemonLab lab) => lab.Network.Host.TryExec(
        BuiltProgram.Find("SG_AGENTD", "Agent.Daemon", "sg-agentd"),
        "--config", lab.Daemon.ConfigurationPath, "--set", "log.journal_socket=/nowhere", "--remove-ruleset");

    private static IReadOnlyList<Flow> Marked(DaemonLab lab) => lab.Network.Host.Run(() =>
    {
        using var sessions = new ConntrackConnection();
        return (IReadOnlyList<Flow>)[.. sessions.Read().Where(flow => (flow.Mark & 0xffff0000) != 0)];
    });

    private static string Sysctl(DaemonLab lab, string name) =>
        lab.Network.Host.Exec("sysctl", "-n", "net.netfilter.nf_conntrack_" + name).Trim();
}
