using System.Globalization;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>The daemon dies at any moment: what was acknowledged holds, nothing opens, nothing is cut.</summary>
public sealed class CrashTests(ITestOutputHelper output)
{
    /// <summary>Each costs a start of the daemon; SG_TEST_CRASHES makes them more.</summary>
    private static readonly int Rounds =
        int.TryParse(Environment.GetEnvironmentVariable("SG_TEST_CRASHES"), CultureInfo.InvariantCulture, out int asked)
            ? asked : 20;

    [Fact]
    public async Task Whenever_it_is_killed_the_last_acknowledged_revision_is_in_force_and_no_packet_notices()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        PolicyChurn churn = new() { Acknowledged = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision };
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 100);
        for (int round = 0; round < Rounds; round++)
        {
            ulong before = churn.Acknowledged;
            Task driving = churn.DriveAsync(lab, CancellationToken.None);
            await DaemonLab.UntilAsync("a step", () => churn.Acknowledged > before);
            await Task.Delay(5 + round * 37 % 150, TestContext.Current.CancellationToken);
            bool gently = round % 5 == 4; // SIGTERM, in the same storm
            _ = gently ? await lab.Daemon.StopAsync() : await lab.Daemon.KillAsync();
            await driving;
            await lab.Daemon.LaunchAsync();
            AgentStatus status = await lab.StatusAsync();
            Assert.Equal(status.DesiredRevision, status.AppliedRevision);
            Assert.True(
                status.AppliedRevision == churn.Acknowledged || status.AppliedRevision == churn.InFlight,
                $"round {round}: {status.AppliedRevision} is in force, "
                + $"acknowledged {churn.Acknowledged}, in flight {churn.InFlight}");
            Assert.Empty(status.Alarms);
            Assert.Equal(SyncClient.EndOf(await lab.StateAsync()).StateHash, status.StateHash);
            churn.Acknowledged = status.AppliedRevision;
        }

        output.WriteLine($"{Rounds} rounds, revision {churn.Acknowledged}, {allowed.Forward.Sent} datagrams");
        await allowed.StopAsync();
        await denied.StopAsync();
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        Assert.Equal(0, denied.Forward.Received);
        Assert.True(churn.Acknowledged > (ulong)Rounds);
    }
}
