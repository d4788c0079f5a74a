using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>The same beside the bridge table: a packet is counted where its vNIC is judged.</summary>
public sealed class StagedBridgeTests
{
    [Fact]
    public async Task Ports_of_a_bridge_are_counted_at_the_bridge()
    {
        KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        await using DaemonLab lab = await DaemonLab.StartAsync(topology: Topology.Bridged);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        StageResponse answer = await lab.Client.StageSnapshotAsync(
            new StageSnapshotRequest { Snapshot = StagedTests.TheOtherWay(), NextRevision = true },
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(answer.Staged is not null, $"refused: {answer.Refused}");
        Assert.Contains("table bridge sg_agent_staged", lab.Listing(), StringComparison.Ordinal);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.Network.Outsider, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.Network.Outsider, lab.E2, expected: false));
        StagedReport report = await lab.Client.GetStagedAsync(
            new GetStagedRequest(), cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(
            [
                "eni-e1 Egress Accept default : 1 seen, 1 passed, 1 opened, 0 changed",
                "eni-e2 Ingress Accept rule sg-b/r1: 1 seen, 0 passed, 0 opened, 1 changed",
                "eni-e2 Ingress Drop default : 2 seen, 1 passed, 1 opened, 1 changed",
                "eni-e3 Egress Accept default : 1 seen, 0 passed, 0 opened, 1 changed",
            ],
            report.Rules.Select(StagedTests.Text).Order(StringComparer.Ordinal));
        Assert.Equal(0ul, report.MarkedPackets);
    }
}
