using System.Text;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>What the kernel refuses for one vNIC is that vNIC's own trouble.</summary>
public sealed class OneBadVnicTests
{
    /// <summary>net/netfilter/core.c MAX_HOOK_COUNT: one device takes no more hooks, and answers E2BIG.</summary>
    private const int HooksPerDevice = 1024;

    [Fact]
    public async Task A_vNIC_that_the_kernel_refuses_is_closed_and_reported_and_holds_up_no_other()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(before: network => network.Host.Nft(HooksOn("tap-e3")));
        Snapshot state = DaemonLab.OneWayIn();
        state.Groups[1] = Scenarios.States.Isolating("sg-b", "in 1 accept udp 1/65535 0.0.0.0/0");
        Accepted answer = await lab.ApplyAsync(state);

        VnicStatus bad = Assert.Single(answer.FailedVnics);
        Assert.Equal("eni-e3", bad.VnicId);
        Assert.Contains("E2BIG", bad.Reason, StringComparison.Ordinal);
        Assert.Contains("guard_tap-e3", bad.Reason, StringComparison.Ordinal);
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal(answer.Revision, status.AppliedRevision);
        Assert.Equal(
            [("eni-e1", VnicState.Enforced), ("eni-e2", VnicState.Enforced), ("eni-e3", VnicState.Failed)],
            status.Vnics.Select(v => (v.VnicId, v.State)));
        Assert.Equal(1, await lab.MetricAsync("sg_agent_failed_vnics"));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Assert.False(await lab.UdpArrivesAsync(lab.Network.Outsider, lab.E3, expected: false));

        // The others can still change.
        state.Groups[1] = Scenarios.States.Isolating("sg-b");
        Assert.Equal("eni-e3", Assert.Single((await lab.ApplyAsync(state)).FailedVnics).VnicId);
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        state.Groups[1] = Scenarios.States.Isolating("sg-b", "in 1 accept udp 1/65535 0.0.0.0/0");
        await lab.ApplyAsync(state);

        lab.Network.Host.Exec("nft", "delete", "table", "netdev", "crowd");
        await DaemonLab.UntilAsync(
            "e3 enforced", async () => (await lab.VnicAsync("tap-e3")).State == VnicState.Enforced);
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true));
    }

    internal static string HooksOn(string device)
    {
        StringBuilder script = new("table netdev crowd {\n");
        for (int i = 0; i < HooksPerDevice; i++)
        {
            script.Append($"  chain c{i} {{ type filter hook ingress device \"{device}\" priority {i}; }}\n");
        }

        return script.Append("}\n").ToString();
    }
}
