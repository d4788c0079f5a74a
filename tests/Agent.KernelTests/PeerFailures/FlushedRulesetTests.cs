using System.Diagnostics;
using System.Net;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 3. `nft flush ruleset`, a restart of nftables.service, a reload of firewalld: some stay open for minutes, some
/// restore a part.
/// </summary>
public sealed class FlushedRulesetTests(ITestOutputHelper output)
{
    private const int Flushes = 15;
    private const string Repairs = "sg_agent_drift_repairs_total";

    /// <summary>Bytes: more than any window of a session between two guests.</summary>
    private const int Beyond = 32 << 20;

    /// <summary>
    /// From the flush to the last forbidden packet that passes: an agent looks ten times a second, the rest is for a
    /// busy machine.
    /// </summary>
    private static readonly TimeSpan OpenBound = Pace.Scaled(TimeSpan.FromSeconds(2));

    [Fact]
    public async Task A_ruleset_that_somebody_flushes_in_a_loop_is_closed_again_within_two_seconds_each_time()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        List<double> open = [];
        for (int i = 0; i < Flushes; i++)
        {
            double repairs = await lab.MetricAsync(Repairs);
            long from = Stopwatch.GetTimestamp();
            lab.Network.Host.Exec("nft", "flush", "ruleset");
            long flushed = Stopwatch.GetTimestamp();
            await DaemonLab.UntilAsync("a repair", async () => await lab.MetricAsync(Repairs) > repairs);
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true), "what is allowed is lost");
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
            FloodArrival[] passed = denied.Forward.SentAfter(from);
            open.Add(passed.Length == 0 ? 0 : Stopwatch.GetElapsedTime(flushed, passed[^1].SentAt).TotalMilliseconds);
        }

        await denied.StopAsync();
        output.WriteLine($"open for {open.Average():0} ms on average, {open.Max():0} ms at most, of {Flushes} flushes");
        Assert.True(open.Max() < OpenBound.TotalMilliseconds, $"open for {open.Max()} ms");
        Assert.True(open.Max() > 0, "no flush has opened anything: nothing was measured");
    }

    /// <summary>
    /// While nobody closes the host, packets are tracked outside of their VPC's zone: what the zone knows of a TCP
    /// session is of the past when the agent comes back, and would be taken for an attack.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Live_sessions_of_a_listed_VPC_go_on_after_a_ruleset_that_was_flushed_while_the_daemon_was_dead(
        bool others)
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = DaemonLab.OneWayIn();
        state.Vpcs.Add(new Vpc { Id = States.Vpc });
        await lab.ApplyAsync(state);
        using TcpStream? session = await Probe.ConnectAsync(
            new TcpRoute(lab.E1, new IPEndPoint(lab.E2.V4, 22), lab.E2), Probe.PassWait);
        Assert.NotNull(session);
        await session.CarryAsync(1 << 16);
        await lab.Daemon.KillAsync();
        lab.Network.Host.Nft("flush ruleset\n" + (others ? "table inet other { chain c { "
            + "type filter hook forward priority 10; ct state established counter accept; }\n}\n" : ""));
        await session.CarryAsync(Beyond);
        await lab.Daemon.LaunchAsync();
        await session.CarryAsync(Beyond);
        Assert.True(await session.ServerSendsAsync(Probe.PassWait));
        Assert.Null(await Probe.ConnectAsync(
            new TcpRoute(lab.E3, new IPEndPoint(lab.E2.V4, 22), lab.E2), Probe.DropWait));
        Assert.Contains("TCP sessions of listed VPCs are tracked", lab.Daemon.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_ruleset_that_belongs_to_the_daemon_is_not_opened_by_flushes_in_a_loop_nor_by_reloads()
    {
        KernelNeeds.Feature(KernelFeature.OwnerPersist);
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();
        string before = RestartTests.WithoutCounters(lab.Listing());
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 100);
        for (int i = 0; i < Flushes; i++)
        {
            lab.Network.Host.Exec("nft", "flush", "ruleset");
            lab.Network.Host.Nft("table inet other { chain c { type filter hook forward priority 10; }\n}\n");
        }

        await allowed.StopAsync();
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        lab.Network.Host.Exec("nft", "flush", "ruleset");
        Assert.Equal(before, RestartTests.WithoutCounters(lab.Listing()));
    }
}
