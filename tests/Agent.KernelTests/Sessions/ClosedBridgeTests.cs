using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// Bridge ports where bridges are not enforced, by setting or for want of the kernel's help: closed, and said so.
/// </summary>
public sealed class ClosedBridgeTests
{
    [Fact]
    public async Task A_bridge_port_is_closed_and_reported_where_bridges_are_not_enforced()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            c => c["enforce_bridges"] = false, topology: Topology.Bridged);
        Accepted answer = await lab.ApplyAsync(SessionLab.CallsInto(
            "in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0"));
        Assert.Equal(3, answer.FailedVnics.Count);
        Assert.All(answer.FailedVnics, v => Assert.Contains("port of a bridge", v.Reason, StringComparison.Ordinal));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E3, expected: false));
        Assert.False(await lab.UdpArrivesAsync(lab.Network.Outsider, lab.E1, expected: false));
    }

    [Fact]
    public async Task A_routed_vNIC_that_becomes_a_port_is_closed_from_its_first_frame_on()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["enforce_bridges"] = false);
        lab.Network.Host.IpBatch(["link add br9 type bridge", "link set br9 up"]);
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0"));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        using Flood flood = DaemonLab.StartFlood(lab.E1, lab.E2, 2000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => flood.Forward.Received > 50);
        // Both ends of the flood on one segment, which would carry it without asking anybody.
        string e2Mac = lab.Network.Guests["e2"].Spec.Mac;
        lab.E1.Place.IpBatch([
            $"route replace {lab.E2.V4}/32 dev eth0",
            $"neigh replace {lab.E2.V4} lladdr {e2Mac} dev eth0 nud permanent"]);
        long before = flood.Forward.Received;
        lab.Network.Host.IpBatch(
            [$"link set {lab.E1.HostDevice} master br9", $"link set {lab.E2.HostDevice} master br9"]);
        long moved = System.Diagnostics.Stopwatch.GetTimestamp();
        await DaemonLab.UntilAsync(
            "reported", async () => (await lab.VnicAsync(lab.E1.HostDevice)).State == VnicState.Failed);
        await flood.StopAsync();
        Assert.Empty(flood.Forward.SentAfter(moved));
        Assert.True(before > 0);
        lab.Network.Host.IpBatch([$"link set {lab.E1.HostDevice} nomaster", $"link set {lab.E2.HostDevice} nomaster"]);
    }
}
