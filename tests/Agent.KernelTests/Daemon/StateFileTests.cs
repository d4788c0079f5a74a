using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>Nothing is acknowledged that is not on disk, and a damaged file opens nothing.</summary>
public sealed class StateFileTests
{
    [Fact]
    public async Task A_damaged_state_file_is_set_aside_and_what_the_kernel_enforces_goes_on()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 100);
        string listing = RestartTests.WithoutCounters(lab.Listing());
        await lab.Daemon.StopAsync();
        string state = Path.Combine(lab.Daemon.StateDirectory, "state");
        byte[] damaged = Damage(state);
        await lab.Daemon.LaunchAsync();

        AgentStatus status = await lab.StatusAsync();
        Assert.Contains("kept as", Assert.Single(status.Alarms), StringComparison.Ordinal);
        Assert.Equal(damaged, await File.ReadAllBytesAsync($"{state}.damaged", TestContext.Current.CancellationToken));
        Assert.Equal(0ul, status.AppliedRevision);
        Assert.Equal(listing, RestartTests.WithoutCounters(lab.Listing()));
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await allowed.StopAsync();
        await denied.StopAsync();

        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        Assert.Equal(0, denied.Forward.Received);
    }

    [Fact]
    public async Task Without_state_and_ruleset_every_managed_device_is_closed()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.Daemon.StopAsync();
        Damage(Path.Combine(lab.Daemon.StateDirectory, "state"));
        lab.Network.Host.Exec("nft", "flush", "ruleset");
        await lab.Daemon.LaunchAsync();
        await AssertClosedAsync();

        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        Assert.Contains("found and left alone", lab.Daemon.Log, StringComparison.Ordinal);
        await AssertClosedAsync();
        lab.Network.Host.Exec("nft", "flush", "ruleset"); // what it held on to is gone: closed again
        await DaemonLab.UntilAsync(
            "a repair", () => lab.Listing().Contains("table inet sg_agent", StringComparison.Ordinal));
        await AssertClosedAsync();

        async Task AssertClosedAsync()
        {
            Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
            Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.Network.Outsider, expected: false));
            Assert.False(await lab.UdpArrivesAsync(lab.Network.Outsider, lab.E1, expected: false));
        }
    }

    [Fact]
    public async Task What_cannot_be_saved_is_refused_and_the_old_policy_stays()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(stateSizeKiB: 512);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        Snapshot before = await lab.StateAsync();

        Snapshot large = DaemonLab.OneWayIn();
        large.Groups[2].Members.AddRange(Enumerable.Range(0, 60_000).Select(i => $"10.99.{i >> 8}.{i & 255}"));
        large.Groups[1] = Isolating("sg-b", "in 1 accept udp 1/65535 10.0.0.0/24");
        await AssertRefusedAsync(large);
        Assert.Equal("footprint\nstate\n", lab.Daemon.ExecInside("ls", lab.Daemon.StateDirectory).Output);

        lab.Daemon.ExecInside("dd", "if=/dev/zero", $"of={lab.Daemon.StateDirectory}/ballast", "bs=1k", "count=600");
        Snapshot open = DaemonLab.OneWayIn();
        open.Groups[1] = Isolating("sg-b", "in 1 accept udp 1/65535 10.0.0.0/24");
        await AssertRefusedAsync(open);
        await using SyncClient sync = SyncClient.Open(lab);
        Delta delta = new()
        {
            BaseRevision = before.Revision,
            Revision = before.Revision + 1,
            UpsertGroups = { open.Groups[1] },
            Members =
            {
                new MemberChange
                {
                    GroupId = "sg-c",
                    Add = { Enumerable.Range(0, 1000).Select(i => $"10.98.{i >> 8}.{i & 255}") },
                },
            },
        };
        Assert.Equal("NotPersisted", Assert.Single((await sync.RefusedAsync(delta)).Faults).Code);

        lab.Daemon.ExecInside("rm", $"{lab.Daemon.StateDirectory}/ballast");
        // The journal is open, so that nobody can make the file system read-only; the directory can be.
        lab.Daemon.ExecInside("chattr", "+i", lab.Daemon.StateDirectory);
        await AssertRefusedAsync(open);
        lab.Daemon.ExecInside("chattr", "-i", lab.Daemon.StateDirectory);
        await sync.AcceptedAsync(delta);
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true));

        async Task AssertRefusedAsync(Snapshot state)
        {
            ApplyResponse answer = await lab.Client.ApplySnapshotAsync(
                new ApplySnapshotRequest { Snapshot = state, NextRevision = true });
            Assert.Equal("NotPersisted", Assert.Single(answer.Refused.Faults).Code);
            Assert.Equal(before.Revision, answer.Refused.HeldRevision);
            Assert.Equal(before, await lab.StateAsync());
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        }
    }

    private static byte[] Damage(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[40] ^= 0x55;
        File.WriteAllBytes(path, bytes);
        return bytes;
    }
}
