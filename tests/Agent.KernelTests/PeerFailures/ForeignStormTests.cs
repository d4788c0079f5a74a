using System.Diagnostics;
using System.Globalization;
using Agent.KernelTests.Daemon;
using Agent.Nftables;
using Agent.TestNet;
using Agent.Tests.Nftables;
using Agent.V1;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 2. A dump that a commit fell into lacks objects; two writers overtake each other. What was read is taken for the
/// whole, or everybody waits.
/// </summary>
public sealed class ForeignStormTests(ITestOutputHelper output)
{
    private const string Table = "others";

    /// <summary>Commits a second.</summary>
    private const int Rate = 300;

    /// <summary>SG_TEST_STORM_SECONDS makes it minutes.</summary>
    private static readonly TimeSpan Lasting = TimeSpan.FromSeconds(
        int.TryParse(
            Environment.GetEnvironmentVariable("SG_TEST_STORM_SECONDS"), CultureInfo.InvariantCulture, out int asked)
            ? asked : 6);

    private static readonly TimeSpan Bound = Pace.Scaled(TimeSpan.FromSeconds(5));

    [Fact]
    public async Task Interrupted_dumps_and_generation_races_beside_hundreds_of_foreign_commits_mislead_nobody()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        lab.Network.Host.Nft($"table inet {Table} {{ set s {{ type ipv4_addr; }}\n}}\n");
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 500, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 50);
        using CancellationTokenSource end = new();
        Stopwatch lasted = Stopwatch.StartNew();
        Task<int> storm = Task.Factory.StartNew(
            () => Storm(lab.Network.Host, end.Token), CancellationToken.None, TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        TimeSpan longest = TimeSpan.Zero;
        int changes = 0;
        while (lasted.Elapsed < Lasting)
        {
            Snapshot state = DaemonLab.OneWayIn();
            state.Groups[0].Members.Add($"10.9.{changes >> 8 & 255}.{changes & 255}");
            long asked = Stopwatch.GetTimestamp();
            Accepted answer = await lab.ApplyAsync(state);
            TimeSpan took = Stopwatch.GetElapsedTime(asked);
            longest = took > longest ? took : longest;
            Assert.Empty(answer.FailedVnics);
            changes++;
        }

        await end.CancelAsync();
        int rate = (int)(await storm / lasted.Elapsed.TotalSeconds);
        await allowed.StopAsync();
        await denied.StopAsync();
        output.WriteLine($"{rate} foreign commits/s; {changes} changes, the longest in {longest.TotalMilliseconds} ms");
        Assert.True(rate > Rate / 2 / Pace.Slowdown, $"{rate} foreign commits a second are no storm");
        Assert.True(longest < Bound, $"a change took {longest}");
        Assert.Equal(0, denied.Forward.Received);
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        Assert.Equal(0, await lab.MetricAsync("sg_agent_loop_failures_total"));
        Assert.Equal(0, await lab.MetricAsync("sg_agent_drift_repairs_total"));
        AgentStatus status = await lab.StatusAsync();
        Assert.Empty(status.Alarms);
        Assert.Equal(status.DesiredRevision, status.AppliedRevision);
        await DaemonLab.UntilAsync(
            "a look at the last of them", async () => (await lab.StatusAsync()).RulesetGeneration == lab.Generation());
    }

    private static int Storm(NetNamespace host, CancellationToken end)
    {
        NftSet set = Samples.Set("s", [NftType.Ipv4Addr], false, NftSetKind.Set, null, false, [192, 0, 2, 200]);
        using NftConnection other = host.Run(() => new NftConnection());
        int commits = 0;
        Stopwatch clock = Stopwatch.StartNew();
        while (!end.IsCancellationRequested)
        {
            TimeSpan early = TimeSpan.FromSeconds((double)commits / Rate) - clock.Elapsed;
            if (early > TimeSpan.Zero)
            {
                Thread.Sleep(early);
            }

            NftOp op = commits % 2 == 0
                ? new NftOp.AddElements(NftFamily.Inet, Table, set, set.Elements)
                : new NftOp.DeleteElements(NftFamily.Inet, Table, set, set.Elements);
            Assert.IsType<CommitOutcome.Committed>(other.Commit([op], null));
            commits++;
        }

        return commits;
    }
}
