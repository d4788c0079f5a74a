using System.Globalization;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Supervision;

/// <summary>What systemd hears of the daemon: real datagrams, real signals, a loop that really is stuck.</summary>
public sealed class NotifyTests
{
    private static readonly string Erring =
        BuiltProgram.Find("SG_ERRING_AGENTD", "Agent.ErringDaemon", "Agent.ErringDaemon");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ready_is_what_has_restored_enforcement_and_the_status_line_is_current()
    {
        await using ServiceLab service = await ServiceLab.StartAsync();
        DaemonLab lab = service.Lab;
        await service.Manager.WaitAsync("READY", line => line == "READY=1");
        await service.Manager.WaitAsync("a line", line =>
            line.StartsWith("STATUS=no policy yet: managed interfaces are closed; 0 vNICs; no controller",
                StringComparison.Ordinal));
        ulong revision = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        await service.Manager.WaitAsync("the change", line => line.StartsWith(
            $"STATUS=revision {revision} enforced; 3 vNICs; no controller", StringComparison.Ordinal));

        // A boot: the ruleset is gone, the state is there.
        await lab.Daemon.KillAsync();
        lab.Network.Host.Exec("nft", "flush", "ruleset");
        int before = service.Manager.Lines.Count;
        Task launched = lab.Daemon.LaunchAsync();
        await service.Manager.WaitAsync("READY again", line => line == "READY=1", before);
        Assert.Contains("table inet sg_agent", lab.Listing(), StringComparison.Ordinal);
        Assert.Equal(revision, (await lab.StatusAsync()).AppliedRevision);
        Assert.Contains("EXTEND_TIMEOUT_USEC=30000000", service.Manager.Lines.Skip(before).TakeWhile(
            line => line != "READY=1"));
        await launched;
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));

        before = service.Manager.Lines.Count;
        Assert.Equal(0, await lab.Daemon.StopAsync());
        Assert.Contains("STOPPING=1", service.Manager.Lines.Skip(before));
        Assert.Contains("table inet sg_agent", lab.Listing(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Signs_of_life_go_on_through_a_long_step_and_stop_when_it_hangs()
    {
        TimeSpan watchdog = Pace.Scaled(TimeSpan.FromSeconds(2));
        await using ServiceLab service = await ServiceLab.StartAsync(watchdog, binary: Erring);
        DaemonLab lab = service.Lab;
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        int idle = service.Manager.Count("WATCHDOG=1");
        await Task.Delay(3 * watchdog, Cancel);
        Assert.InRange(service.Manager.Count("WATCHDOG=1") - idle, 3, 12); // three in the time, if nothing is late

        Snapshot hanging = DaemonLab.OneWayIn();
        hanging.Groups.Add(States.Isolating("sg-hanging"));
        hanging.Vnics[0].GroupIds.Add("sg-hanging");
        TimeSpan asked = service.Manager.Now;
        _ = lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = hanging, NextRevision = true, ConfirmMassChange = true },
            cancellationToken: Cancel).ResponseAsync.ContinueWith(answer => answer.Exception, TaskScheduler.Default);
        await DaemonLab.UntilLongAsync("a loop that is stuck", () => lab.Daemon.Log.Contains(
            "the loop is stuck at compile", StringComparison.Ordinal), 10 * watchdog);
        TimeSpan last = service.Manager.Last("WATCHDOG=1")!.Value;
        Assert.True(last - asked > 4 * watchdog, $"signs of life ended {last - asked} after the step began");
        await Task.Delay(2 * watchdog, Cancel);
        Assert.Equal(last, service.Manager.Last("WATCHDOG=1"));

        // What is in force stays, and the daemon can be looked at until it is killed.
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        Assert.Equal(3u, (uint)(await lab.StatusAsync()).Vnics.Count);
    }

    [Fact]
    public async Task A_reload_is_told_with_the_time_of_the_managers_clock()
    {
        await using ServiceLab service = await ServiceLab.StartAsync();
        await service.Manager.WaitAsync("READY", line => line == "READY=1");
        int before = service.Manager.Lines.Count;
        service.Lab.Daemon.HangUp();
        await service.Manager.WaitAsync("the end of it", line => line == "READY=1", before);
        string[] lines = [.. service.Manager.Lines.Skip(before)];
        int at = Array.IndexOf(lines, "RELOADING=1");
        Assert.True(at >= 0 && at < Array.IndexOf(lines, "READY=1"), string.Join('\n', lines));
        long told = long.Parse(lines[at + 1]["MONOTONIC_USEC=".Length..], CultureInfo.InvariantCulture);
        string uptime = (await File.ReadAllTextAsync("/proc/uptime", Cancel)).Split(' ')[0];
        Assert.InRange(told / 1e6, 1, double.Parse(uptime, CultureInfo.InvariantCulture) + 1);
    }
}
