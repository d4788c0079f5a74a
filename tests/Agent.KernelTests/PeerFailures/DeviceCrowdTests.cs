using System.Diagnostics;
using System.Globalization;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 4. Old and new device of one name overlap; what is late for the old one takes away the new one's rules, and one that
/// is gone makes the whole commit fail.
/// </summary>
public sealed class DeviceCrowdTests(ITestOutputHelper output)
{
    private const int Seed = 4;
    private const int Steps = 25;

    /// <summary>SG_TEST_DEVICES makes them more.</summary>
    private static readonly int Devices =
        int.TryParse(Environment.GetEnvironmentVariable("SG_TEST_DEVICES"), CultureInfo.InvariantCulture, out int asked)
            ? asked : 60;

    private static readonly TimeSpan Bound = Pace.Scaled(TimeSpan.FromSeconds(5));

    [Fact]
    public async Task Interfaces_that_come_go_are_renamed_and_come_back_by_the_hundred_are_never_unfiltered()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        using DeviceCrowd crowd = new(lab.Network, Devices, Seed);
        Snapshot state = DaemonLab.OneWayIn();
        state.Groups.Add(States.Isolating(DeviceCrowd.Group));
        state.Vnics.Add(crowd.Vnics);
        await lab.ApplyAsync(state);
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 500, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 50);
        TimeSpan longest = TimeSpan.Zero;
        for (int step = 0; step < Steps; step++)
        {
            crowd.Step(Devices / 8);
            if (step % 5 == 0)
            {
                // None of them holds up a change for others.
                state.Groups[0].Members.Add($"10.9.0.{step}");
                long asked = Stopwatch.GetTimestamp();
                Assert.Empty((await lab.ApplyAsync(state)).FailedVnics);
                TimeSpan took = Stopwatch.GetElapsedTime(asked);
                longest = took > longest ? took : longest;
            }
        }

        crowd.Settle();
        await DaemonLab.UntilAsync("an agent that has seen them all", async () =>
            (await lab.StatusAsync()).Vnics.All(vnic => vnic.State == VnicState.Enforced));
        IReadOnlyList<string> silent = await crowd.SilentAsync(Bound);
        Assert.True(silent.Count == 0, $"silent: {string.Join(' ', silent)}; {(await lab.StatusAsync()).Vnics}");
        output.WriteLine($"{crowd.Sent} packets of {Devices} devices; a change took {longest.TotalMilliseconds:0} ms");
        Assert.True(crowd.Sent > Devices * 10, $"only {crowd.Sent} packets were sent");
        Assert.Equal(0, crowd.Leaked);
        Assert.True(longest < Bound, $"a change took {longest}");
        await allowed.StopAsync();
        await denied.StopAsync();
        Assert.Equal(0, denied.Forward.Received);
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        Assert.Empty((await lab.StatusAsync()).Alarms);
    }
}
