using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Metrics;

/// <summary>Counters go on, exactly, whatever becomes of the agent and of its tables.</summary>
public sealed class CarriedCounterTests(ITestOutputHelper output)
{
    private const string Total =
        "sg_agent_vnic_packets_total{vnic=\"eni-e2\",direction=\"ingress\",verdict=\"drop\",reason=\"default\"}";

    [Fact]
    public async Task Under_a_flood_they_are_exact_over_policy_changes_restarts_kills_and_repairs()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        Snapshot state = DaemonLab.OneWayIn();
        await lab.ApplyAsync(state);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 2000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a flood", () => denied.Forward.Sent > 200);
        using CancellationTokenSource done = new();
        Task<int> watching = WatchAsync(lab, done.Token);

        for (int round = 0; round < 3; round++)
        {
            state.Groups[1] = Isolating(
                "sg-b", "in 1 accept udp 1/65535 sg-a", $"in 2 accept tcp {80 + round}/90 sg-a");
            await lab.ApplyAsync(state); // allows
            state.Groups[1] = Isolating("sg-b", "in 1 accept udp 1/65535 sg-a");
            await lab.ApplyAsync(state); // forbids: another epoch
            state.Vnics[0].GroupIds.Add("sg-c");
            await lab.ApplyAsync(state); // another profile
            state.Vnics[0].GroupIds.Remove("sg-c");
            await lab.ApplyAsync(state);
            foreach (string change in (string[])
            [
                "add chain inet sg_agent late { type filter hook forward priority 100; policy accept; }",
                $"flush chain inet sg_agent vnic_{lab.E1.HostDevice}_out",
                "add rule inet sg_agent drop_to_default counter",
            ])
            {
                await lab.SettledAsync(); // what falls into a clean-up is undone with it, and no drift of its own
                double repairs = await RepairsAsync(lab);
                lab.Network.Host.Exec("nft", change);
                await DaemonLab.UntilAsync("a repair", async () => await RepairsAsync(lab) > repairs);
            }

            _ = round == 1 ? await lab.Daemon.StopAsync() : await lab.Daemon.KillAsync();
            await lab.Daemon.LaunchAsync();
        }

        await denied.StopAsync();
        await done.CancelAsync();
        output.WriteLine($"{await watching} scrapes, {denied.Forward.Sent} datagrams");
        await DaemonLab.UntilAsync("all of them", async () =>
            (await ExpositionPage.ReadAsync(lab)).Samples[Total] >= denied.Forward.Sent);
        Assert.Equal(denied.Forward.Sent, (await ExpositionPage.ReadAsync(lab)).Samples[Total]);
        Assert.Equal(0, denied.Forward.Received);
    }

    [Fact]
    public async Task If_others_delete_our_tables_what_was_read_is_kept_and_counting_goes_on()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        long sent = await FloodAsync(lab, 500);
        await CountedAsync(lab, sent);
        double repairs = await RepairsAsync(lab);
        lab.Network.Host.Exec("nft", "delete table inet sg_agent");
        await DaemonLab.UntilAsync("a repair", async () => await RepairsAsync(lab) > repairs);
        sent += await FloodAsync(lab, 600); // more than before: a count that fell would not tell
        await CountedAsync(lab, sent);

        // Nobody is there to see it.
        await lab.Daemon.KillAsync();
        lab.Network.Host.Exec("nft", "delete table inet sg_agent; delete table netdev sg_agent");
        await lab.Daemon.LaunchAsync();
        sent += await FloodAsync(lab, 1200);
        await CountedAsync(lab, sent);
    }

    [Fact]
    public async Task A_vNIC_that_gets_another_interface_keeps_its_numbers_and_a_damaged_file_loses_only_the_past()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = DaemonLab.OneWayIn();
        await lab.ApplyAsync(state);
        long sent = await FloodAsync(lab, 300);
        await CountedAsync(lab, sent);
        string device = state.Vnics[1].InterfaceName;
        state.Vnics[1].InterfaceName = "tap-other";
        await lab.ApplyAsync(state);
        await CountedAsync(lab, sent);
        state.Vnics[1].InterfaceName = device;
        await lab.ApplyAsync(state);
        long again = await FloodAsync(lab, 400);
        await CountedAsync(lab, sent + again);

        await lab.Daemon.StopAsync();
        string file = Path.Combine(lab.Daemon.StateDirectory, "counters");
        byte[] bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
        bytes[^40] ^= 1;
        await File.WriteAllBytesAsync(file, bytes, TestContext.Current.CancellationToken);
        await lab.Daemon.LaunchAsync();
        await CountedAsync(lab, again); // what the kernel holds
        Assert.Contains("counters begin again", lab.Daemon.Log, StringComparison.Ordinal);
    }

    private static async Task<double> RepairsAsync(DaemonLab lab) =>
        (await ExpositionPage.ReadAsync(lab)).Samples["sg_agent_drift_repairs_total"];

    private static async Task<long> FloodAsync(DaemonLab lab, int atLeast)
    {
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 4000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a flood", () => denied.Forward.Sent >= atLeast);
        await denied.StopAsync();
        return denied.Forward.Sent;
    }

    private static async Task CountedAsync(DaemonLab lab, long sent)
    {
        double last = 0;
        await DaemonLab.UntilAsync($"{sent} dropped", async () =>
            (last = (await ExpositionPage.ReadAsync(lab)).Samples.GetValueOrDefault(Total)) >= sent);
        Assert.Equal(sent, last);
    }

    // All counters of vNICs, as often as they are read anew.
    private static async Task<int> WatchAsync(DaemonLab lab, CancellationToken cancel)
    {
        var seen = new Dictionary<string, double>(StringComparer.Ordinal);
        int scrapes = 0;
        while (!cancel.IsCancellationRequested)
        {
            ExpositionPage page = await ExpositionPage.ReadAsync(lab);
            await Task.Delay(20, CancellationToken.None);
            scrapes++;
            foreach ((string name, double value) in page.Samples
                .Where(one => one.Key.StartsWith("sg_agent_vnic_", StringComparison.Ordinal)
                    && one.Key.Contains("_total{", StringComparison.Ordinal)))
            {
                Assert.True(value >= seen.GetValueOrDefault(name), $"{name} fell from {seen.GetValueOrDefault(name)}");
                seen[name] = value;
            }
        }

        return scrapes;
    }
}
