using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>
/// A state directory that is full, read-only, missing or of another version: what is enforced goes on, an alarm and a
/// metric say so, changes are refused, and all ends by itself.
/// </summary>
public sealed class DiskTests
{
    private const string Unsaved = "sg_agent_state_unsaved";

    [Fact]
    public async Task On_a_full_disk_all_goes_on_but_changes_until_there_is_room_again()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(stateSizeKiB: 256);
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        Assert.Equal(0, await lab.MetricAsync(Unsaved));
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 100);
        string ballast = $"{lab.Daemon.StateDirectory}/ballast";
        lab.Daemon.ExecInside("dd", "if=/dev/zero", $"of={ballast}", "bs=1k", "count=600");

        await using SyncClient sync = SyncClient.Open(lab);
        for (int i = 0; i < 3; i++)
        {
            Fault fault = Assert.Single((await sync.RefusedAsync(Large(held))).Faults);
            Assert.Equal("NotPersisted", fault.Code);
            Assert.NotEmpty(fault.Remedy);
        }

        Assert.Contains("cannot be saved", Assert.Single((await lab.StatusAsync()).Alarms), StringComparison.Ordinal);
        Assert.Equal(1, await lab.MetricAsync(Unsaved));
        Assert.Equal(3, await lab.MetricAsync("sg_agent_persist_failures_total"));
        // Counters are read and shown; that their totals cannot be saved is said, and no more.
        await DaemonLab.UntilAsync("a ledger without room", async () =>
        {
            await lab.Daemon.ReadMetricsAsync();
            return lab.Daemon.Log.Contains("counters are not saved", StringComparison.Ordinal);
        });
        Assert.Equal(0, await lab.MetricAsync("sg_agent_loop_failures_total"));
        Assert.Equal(held, (await lab.StatusAsync()).AppliedRevision);

        lab.Daemon.ExecInside("rm", ballast);
        await DaemonLab.UntilAsync("the end of the alarm", async () => (await lab.StatusAsync()).Alarms.Count == 0);
        Assert.Equal(0, await lab.MetricAsync(Unsaved));
        Assert.Contains("can be saved again", lab.Daemon.Log, StringComparison.Ordinal);
        Assert.Equal(held + 1, (await sync.AcceptedAsync(Large(held))).Revision);
        await allowed.StopAsync();
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
    }

    [Fact]
    public async Task A_directory_that_is_read_only_at_the_start_is_enforced_from_and_not_written_to()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        await lab.Daemon.StopAsync();
        lab.Network.Host.Exec("nft", "flush", "ruleset");
        string[] frozen = [.. Directory.EnumerateFiles(lab.Daemon.StateDirectory).Append(lab.Daemon.StateDirectory)];
        SystemCommand.Run("chattr", ["+i", .. frozen]);
        try
        {
            await lab.Daemon.LaunchAsync();
            AgentStatus status = await lab.StatusAsync();
            Assert.Equal((held, held), (status.DesiredRevision, status.AppliedRevision));
            Assert.Contains("cannot be saved", Assert.Single(status.Alarms), StringComparison.Ordinal);
            Assert.Equal(1, await lab.MetricAsync(Unsaved));
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
            Assert.Equal("NotPersisted", await RefusedAsync(lab));
        }
        finally
        {
            SystemCommand.Run("chattr", ["-i", .. frozen]);
        }

        await DaemonLab.UntilAsync("the end of the alarm", async () => (await lab.StatusAsync()).Alarms.Count == 0);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    [Fact]
    public async Task A_directory_that_cannot_be_made_stops_no_start_and_opens_nothing()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["state_directory"] = "/proc/none/sg-agent");
        Assert.Contains("cannot be saved", Assert.Single((await lab.StatusAsync()).Alarms), StringComparison.Ordinal);
        Assert.Equal("NotPersisted", await RefusedAsync(lab));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.Equal(0, await lab.MetricAsync("sg_agent_loop_failures_total"));
    }

    /// <summary>The file's time stands for what nobody can wait for.</summary>
    [Fact]
    public async Task After_hours_without_a_controller_the_last_state_is_enforced_and_its_age_shows()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        ulong held = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        Assert.InRange((await lab.StatusAsync()).DesiredAge.ToTimeSpan(), TimeSpan.Zero, TimeSpan.FromMinutes(10));
        await lab.Daemon.StopAsync();
        File.SetLastWriteTimeUtc(
            Path.Combine(lab.Daemon.StateDirectory, "state"), DateTime.UtcNow - TimeSpan.FromHours(9));
        await lab.Daemon.LaunchAsync();
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal((held, held), (status.DesiredRevision, status.AppliedRevision));
        Assert.InRange(status.DesiredAge.ToTimeSpan().TotalHours, 9, 9.2);
        Assert.InRange(await lab.MetricAsync("sg_agent_desired_age_seconds"), 9 * 3600, 9.2 * 3600);
        Assert.Empty(status.Alarms);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
    }

    private static async Task<string> RefusedAsync(DaemonLab lab)
    {
        Snapshot open = DaemonLab.OneWayIn();
        open.Groups[1] = Isolating("sg-b", "in 1 accept udp 1/65535 10.0.0.0/24");
        ApplyResponse answer = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = open, NextRevision = true });
        return Assert.Single(answer.Refused.Faults).Code;
    }

    private static Delta Large(ulong held) => new()
    {
        BaseRevision = held,
        Revision = held + 1,
        Members =
        {
            new MemberChange
            {
                GroupId = "sg-c",
                Add = { Enumerable.Range(0, 1000).Select(i => $"10.98.{i >> 8}.{i & 255}") },
            },
        },
    };
}
