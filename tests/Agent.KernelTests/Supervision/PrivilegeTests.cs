using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Supervision;

/// <summary>
/// The daemon as a user without any right but what systemd/sg-agentd.service gives it does all of its work.
/// </summary>
public sealed class PrivilegeTests
{
    private const int User = 64_999;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Everything_works_with_the_capabilities_of_the_unit_and_no_more()
    {
        Assert.Equal(["CAP_NET_ADMIN"], UnitFile.Values("CapabilityBoundingSet"));
        Assert.Equal(UnitFile.Values("CapabilityBoundingSet"), UnitFile.Values("AmbientCapabilities"));
        Assert.Equal(["sg-agent"], UnitFile.Values("User"));
        AgentStatus root;
        await using (DaemonLab other = await DaemonLab.StartAsync(Demanding))
        {
            root = await other.StatusAsync();
        }

        DirectoryInfo folder = ScratchDirectory.Create("filter");
        string wrapper = $"{UnitFile.SetPrivileges(User)} {UnitFile.CompileFilter(folder.FullName)}";
        SystemCommand.Run("chmod", "-R", "o+rx", folder.FullName);
        await using DaemonLab lab = await DaemonLab.StartAsync(
            Demanding,
            adapt: options => options with { Wrapper = wrapper, Owner = User });
        string status = await File.ReadAllTextAsync($"/proc/{lab.Daemon.ProcessId}/status", Cancel);
        Assert.Contains($"Uid:\t{User}\t{User}\t{User}\t{User}\n", status, StringComparison.Ordinal);
        Assert.Contains("CapEff:\t0000000000001000\n", status, StringComparison.Ordinal);
        Assert.Contains("CapBnd:\t0000000000001000\n", status, StringComparison.Ordinal);
        Assert.Contains("NoNewPrivs:\t1\n", status, StringComparison.Ordinal);
        Assert.Contains("Seccomp:\t2\n", status, StringComparison.Ordinal);

        // Rules, proofs, counters, sessions, reports of drops, sysctls, the state file, the socket's mode.
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await using DropStream drops = DropStream.On(lab, verdict: V1.Policy.Drop);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Assert.Equal("eni-e2", (await drops.NextAsync(record => record.Reason is not ("" or "closed"))).VnicId);
        AgentStatus agent = await lab.StatusAsync();
        Assert.Equal(root.KernelFeatures, agent.KernelFeatures);
        Assert.Equal(root.Alarms, agent.Alarms);
        await DaemonLab.UntilAsync(
            "a proof", async () => (await lab.StatusAsync()).LastProof.Result == "proved", TimeSpan.FromMinutes(1));
        Assert.Equal("1\n", lab.Network.Host.Exec("cat", "/proc/sys/net/netfilter/nf_conntrack_acct"));
        Assert.Equal("30\n", lab.Network.Host.Exec("cat", "/proc/sys/net/netfilter/nf_conntrack_generic_timeout"));
        using AsyncServerStreamingCall<SessionStatus> sessions =
            lab.Client.ListSessions(new ListSessionsRequest(), cancellationToken: Cancel);
        Assert.True(await sessions.ResponseStream.MoveNext(Cancel));
        Assert.True(await lab.MetricAsync("sg_agent_drop_reader_bound") > 0);
        Assert.Equal("660\n", SystemCommand.Run("stat", "-c", "%a", lab.Daemon.SocketPath));

        await lab.Daemon.RestartAsync();
        Assert.Equal(agent.AppliedRevision, (await lab.StatusAsync()).AppliedRevision);
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        folder.Delete(recursive: true);
    }

    private static void Demanding(JsonObject config)
    {
        config["conntrack"] = new JsonObject { ["accounting"] = true };
        config["metrics"]!["rule_hits"] = new JsonArray("all");
    }

    [Fact]
    public void What_the_filter_does_not_let_through_is_refused()
    {
        DirectoryInfo folder = ScratchDirectory.Create("filter");
        string filter = UnitFile.CompileFilter(folder.FullName);
        Assert.Equal(0, SystemCommand.TryRun(filter, null, ["/bin/true"]).ExitCode);
        string[] mount = ["/bin/mount", "-t", "tmpfs", "x", folder.FullName];
        Assert.NotEqual(0, SystemCommand.TryRun(filter, null, mount).ExitCode);
        Assert.NotEqual(0, SystemCommand.TryRun(filter, null, ["/usr/bin/nice", "-n", "-5", "/bin/true"]).Error.Length);
        folder.Delete(recursive: true);
    }

    [Fact]
    public async Task A_group_that_may_not_be_given_leaves_the_socket_closed_and_the_daemon_at_work()
    {
        string group = File.ReadLines("/etc/group").Select(line => line.Split(':'))
            .First(parts => parts[2] is not "0")[0];
        await using DaemonLab lab = await DaemonLab.StartAsync(
            config => config["grpc"]!["socket_group"] = group,
            adapt: options => options with
            {
                Wrapper = UnitFile.SetPrivileges(User),
                Owner = User,
            });
        await DaemonLab.UntilAsync("the event", () =>
            lab.Daemon.Log.Contains("is open to its owner alone", StringComparison.Ordinal));
        Assert.Equal("600\n", SystemCommand.Run("stat", "-c", "%a", lab.Daemon.SocketPath));
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }
}
