using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>The proof of what is in force, on demand.</summary>
public sealed class VerifyTests : IAsyncLifetime
{
    private DaemonLab lab = null!;

    public async ValueTask InitializeAsync()
    {
        lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    public ValueTask DisposeAsync() => lab.DisposeAsync();

    [Fact]
    public async Task What_is_in_force_is_proved_for_every_vnic_and_for_traffic_of_none()
    {
        VerifyResponse answer = await VerifyAsync();
        Assert.All(answer.Vnics, vnic => Assert.Equal(("proved", ""), (vnic.Result, vnic.Detail)));
        Assert.Equal(("proved", 1ul), (answer.Result, answer.Revision));
        Assert.Equal(
            ["", "eni-e1", "eni-e2", "eni-e3"],
            answer.Vnics.Select(vnic => vnic.VnicId).Order(StringComparer.Ordinal));
        VerifyResponse one = await VerifyAsync(lab.E2.HostDevice);
        Assert.Equal("eni-e2", Assert.Single(one.Vnics).VnicId);
    }

    [Fact]
    public async Task A_change_is_proved_before_it_is_acknowledged_and_a_restart_proves_what_it_finds()
    {
        Snapshot next = DaemonLab.OneWayIn();
        next.Groups[0].Members.Add("10.77.0.1");
        Accepted accepted = await lab.ApplyAsync(next);
        Assert.Equal(("proved", 3u, 0u, accepted.Revision), (accepted.Proof.Result, accepted.Proof.ProvedVnics,
            accepted.Proof.UnprovedVnics, accepted.Proof.Revision));
        Assert.True(accepted.Timings.Prove.ToTimeSpan() > TimeSpan.Zero);
        Assert.True(await lab.MetricAsync("sg_agent_proofs_total{result=\"proved\"}") >= 1);

        await lab.Daemon.RestartAsync();
        await DaemonLab.UntilAsync("a proof", async () => (await lab.StatusAsync()).LastProof.Result == "proved");
        Proof proof = (await lab.StatusAsync()).LastProof;
        Assert.Equal((accepted.Revision, 3u), (proof.Revision, proof.ProvedVnics));
    }

    /// <summary>
    /// Before it is repaired, which is a matter of a tenth of a second: asked again until the question comes in time.
    /// </summary>
    [Fact]
    public async Task What_somebody_else_opened_is_refuted_by_a_packet_that_would_pass()
    {
        string rule = $"insert rule inet sg_agent sg_forward iifname \"{lab.E3.HostDevice}\" udp dport 7777 accept";
        VerifyResponse? found = null;
        await DaemonLab.UntilAsync("a question in time", async () =>
        {
            lab.Network.Host.Exec("nft", rule);
            VerifyResponse answer = await VerifyAsync();
            found = answer.Result == "mismatch" ? answer : null;
            return found is not null;
        });
        VnicProof opened = Assert.Single(found!.Vnics, vnic => vnic.VnicId == "eni-e3");
        Assert.Equal("refuted", opened.Result);
        Assert.Contains(":7777: expected Dropped", opened.Detail, StringComparison.Ordinal);
        await DaemonLab.UntilAsync("a repair", async () => (await VerifyAsync()).Result == "proved");
    }

    private async Task<VerifyResponse> VerifyAsync(params string[] vnics) =>
        await lab.Client.VerifyAsync(new VerifyRequest { Vnics = { vnics } });
}
