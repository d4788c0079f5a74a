using Agent.KernelTests.Daemon;
using Agent.V1;

namespace Agent.KernelTests.Upgrade;

/// <summary>
/// A downgrade across a change of the state file's format, with traffic running: this version cannot read the file, and
/// neither loses nor opens anything until the version that can is back, or a controller speaks.
/// </summary>
public sealed class NewerFormatTests
{
    private const string Unread = "sg_agent_state_unread";
    private const int VersionAt = 7;

    [Fact]
    public async Task What_is_enforced_and_the_file_stay_and_the_next_upgrade_goes_on_from_them()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        await lab.SettledAsync();
        string listing = RestartTests.WithoutCounters(lab.Listing());
        using RunningTraffic traffic = await RunningTraffic.StartAsync(lab);
        await lab.Daemon.StopAsync();
        byte[] newer = Alter(lab, 1);

        for (int start = 0; start < 2; start++)
        {
            await lab.Daemon.LaunchAsync();
            AgentStatus status = await lab.StatusAsync();
            Assert.Equal((0ul, 0ul), (status.DesiredRevision, status.AppliedRevision));
            Assert.Contains("newer version", Assert.Single(status.Alarms), StringComparison.Ordinal);
            Assert.Equal(1, await lab.MetricAsync(Unread));
            Assert.Contains("error 103 ", lab.Daemon.Log, StringComparison.Ordinal);

            // To look at it is not to replace it; neither is a device that comes.
            VerifyResponse looked = await lab.Client.VerifyAsync(
                new VerifyRequest(), cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal("unknown", looked.Result);
            lab.Network.Host.IpBatch(
                ["link add tap-new type veth peer name far", "link set tap-new up", "link del tap-new"]);
            Assert.Equal("StaleBaseRevision", await RefusedDeltaAsync(lab, held));
            await traffic.GoesOnAsync(lab);
            Assert.Equal(listing, RestartTests.WithoutCounters(lab.Listing()));
            await lab.Daemon.KillAsync();
            Assert.Equal(newer, File.ReadAllBytes(StateOf(lab)));
        }

        Alter(lab, -1); // whoever wrote it reads it
        await lab.Daemon.LaunchAsync();
        AgentStatus back = await lab.StatusAsync();
        Assert.Equal((held, held), (back.DesiredRevision, back.AppliedRevision));
        Assert.Empty(back.Alarms);
        Assert.Equal(0, await lab.MetricAsync(Unread));
        await traffic.GoesOnAsync(lab);
        Assert.Equal(listing, RestartTests.WithoutCounters(lab.Listing()));
        await traffic.AssertWholeAsync();
    }

    [Fact]
    public async Task A_state_that_a_controller_sends_meanwhile_takes_the_place_of_the_file()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using RunningTraffic traffic = await RunningTraffic.StartAsync(lab);
        await lab.Daemon.StopAsync();
        Alter(lab, 1);
        await lab.Daemon.LaunchAsync();
        ulong sent = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        await traffic.GoesOnAsync(lab);
        Assert.Empty((await lab.StatusAsync()).Alarms);
        Assert.Equal(0, await lab.MetricAsync(Unread));
        Assert.Contains("warn  104 ", lab.Daemon.Log, StringComparison.Ordinal);
        await lab.Daemon.RestartAsync();
        Assert.Equal(sent, (await lab.StatusAsync()).AppliedRevision);
        await traffic.AssertWholeAsync();
    }

    private static async Task<string> RefusedDeltaAsync(DaemonLab lab, ulong held)
    {
        await using SyncClient sync = SyncClient.Open(lab);
        Refused answer = await sync.RefusedAsync(new Delta { BaseRevision = held, Revision = held + 1 });
        return Assert.Single(answer.Faults).Code;
    }

    private static byte[] Alter(DaemonLab lab, int by)
    {
        byte[] bytes = File.ReadAllBytes(StateOf(lab));
        bytes[VersionAt] = (byte)(bytes[VersionAt] + by);
        File.WriteAllBytes(StateOf(lab), bytes);
        return bytes;
    }

    private static string StateOf(DaemonLab lab) => Path.Combine(lab.Daemon.StateDirectory, "state");
}
