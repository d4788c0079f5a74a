using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 9. The clock is set, and ages are negative or huge, leases end, and a watchdog kills who is only busy.
/// </summary>
public sealed class ClockStepTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Watchdog = Pace.Scaled(TimeSpan.FromSeconds(2));
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_clock_that_jumps_by_a_year_either_way_wakes_no_watchdog_ends_no_lease_and_changes_no_age()
    {
        using WallClock clock = new();
        using NotifySocket manager = new(clock.FileBeside("notify"));
        Dictionary<string, string> environment = new(clock.Environment)
        {
            ["NOTIFY_SOCKET"] = manager.Path,
            ["WATCHDOG_USEC"] = $"{(long)Watchdog.TotalMicroseconds}",
        };
        await using DaemonLab lab = await DaemonLab.StartAsync(
            c => c["grpc"]!["lease_seconds"] = 2, adapt: options => options with { Environment = environment });
        ulong revision = (await lab.ApplyAsync(DaemonLab.OneWayIn())).Revision;
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 500, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 50);
        await using SyncClient controller = SyncClient.Open(lab);
        Duration often = Duration.FromTimeSpan(Pace.Scaled(TimeSpan.FromSeconds(5)));
        await controller.SendAsync(
            new SyncRequest { Hello = new SyncHello { Controller = "ctl-a", Term = 5, Heartbeat = often } });
        int daemon = lab.Daemon.ProcessId;
        foreach (TimeSpan ahead in (TimeSpan[])[Year, -Year, TimeSpan.FromHours(-1), Year, TimeSpan.Zero])
        {
            clock.Set(ahead);
            TimeSpan from = manager.Now;
            TimeSpan longest = await LiveAsync(lab, controller, manager, ++revision);
            AgentStatus status = await lab.StatusAsync();
            // It does live by that clock; what it reckons with is another one.
            TimeSpan shown = status.AppliedAt.ToDateTime() - DateTime.UtcNow;
            Assert.InRange((shown - ahead).Duration(), TimeSpan.Zero, TimeSpan.FromMinutes(1));
            Assert.InRange(status.DesiredAge.ToTimeSpan(), TimeSpan.Zero, TimeSpan.FromMinutes(1));
            Assert.InRange(await lab.MetricAsync("sg_agent_desired_age_seconds"), 0, 60);
            Assert.Equal(
                ("ctl-a", true, revision),
                (status.Controller.Name, status.Controller.LeaseHeld, status.AppliedRevision));
            Assert.Empty(status.Alarms);
            output.WriteLine($"{ahead}: signs of life at most {longest.TotalMilliseconds:0} ms apart");
            Assert.True(longest < Watchdog, $"{ahead}: no sign of life for {longest} since {from}");
        }

        Assert.Equal((daemon, true), (lab.Daemon.ProcessId, lab.Daemon.IsRunning));
        await allowed.StopAsync();
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
    }

    /// <summary>One change, and as long as a watchdog waits.</summary>
    /// <returns>The longest time between two signs of life.</returns>
    private static async Task<TimeSpan> LiveAsync(
        DaemonLab lab, SyncClient controller, NotifySocket manager, ulong revision)
    {
        await controller.SendAsync(new SyncRequest
        {
            Delta = new Delta
            {
                BaseRevision = revision - 1,
                Revision = revision,
                Members = { new MemberChange { GroupId = "sg-a", Add = { $"10.9.0.{revision}" } } },
            },
        });
        while ((await controller.AnswerAsync()) is var answer && answer.Accepted is null)
        {
            Assert.True(answer.Refused is null, $"{answer}");
        }

        TimeSpan from = manager.Now;
        TimeSpan last = from;
        TimeSpan longest = TimeSpan.Zero;
        while (manager.Now < from + 1.2 * Watchdog)
        {
            await Task.Delay(10, Cancel);
            TimeSpan sign = manager.Last("WATCHDOG=1") ?? from;
            last = sign > last ? sign : last;
            longest = manager.Now - last > longest ? manager.Now - last : longest;
        }

        Assert.True(lab.Daemon.IsRunning);
        return longest;
    }
}
