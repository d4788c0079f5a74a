using System.Diagnostics;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Daemon;

/// <summary>A restart never opens and never cuts.</summary>
public sealed class RestartTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_restart_without_a_change_writes_nothing_and_no_packet_notices(bool killed)
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();
        uint generation = lab.Generation();
        string listing = WithoutCounters(lab.Listing());
        AgentStatus before = await lab.StatusAsync();

        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 200);
        await RestartAsync(lab, killed);
        long sent = allowed.Forward.Sent;
        await DaemonLab.UntilAsync("more of the flood", () => allowed.Forward.Sent > sent + 500);
        await allowed.StopAsync();
        await denied.StopAsync();

        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        Assert.Equal(0, denied.Forward.Received);
        Assert.Equal(generation, lab.Generation());
        Assert.Equal(listing, WithoutCounters(lab.Listing()));
        AgentStatus after = await lab.StatusAsync();
        Assert.Equal(
            (before.AppliedRevision, before.StateHash, before.RulesetGeneration),
            (after.AppliedRevision, after.StateHash, after.RulesetGeneration));
        Assert.Contains("ruleset adopted", lab.Daemon.Log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_protected_ruleset_is_claimed_again_after_a_restart_and_not_rewritten(bool killed)
    {
        KernelNeeds.Feature(KernelFeature.OwnerPersist);
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();
        string listing = WithoutCounters(lab.Listing());
        uint generation = lab.Generation();
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 200);
        await RestartAsync(lab, killed);
        await allowed.StopAsync();
        await denied.StopAsync();

        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
        Assert.Equal(0, denied.Forward.Received);
        Assert.Equal(listing, WithoutCounters(lab.Listing()));
        Assert.InRange(lab.Generation(), generation, generation + 1); // the claim
        Assert.Contains("progname sg-agentd", lab.Listing(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deltas_survive_a_kill_and_go_on_from_the_revision_that_was_acknowledged()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        Accepted first = await lab.ApplyAsync(DaemonLab.OneWayIn());
        await using (SyncClient sync = SyncClient.Open(lab))
        {
            for (ulong step = 0; step < 5; step++)
            {
                await sync.AcceptedAsync(new Delta
                {
                    BaseRevision = first.Revision + step,
                    Revision = first.Revision + step + 1,
                    Members = { new MemberChange { GroupId = "sg-a", Add = { $"10.9.0.{step + 1}" } } },
                });
            }
        }

        Snapshot held = await lab.StateAsync();
        await lab.SettledAsync();
        uint generation = lab.Generation();
        await RestartAsync(lab, killed: true);

        Assert.Equal(held, await lab.StateAsync());
        Assert.Equal(first.Revision + 5, (await lab.StatusAsync()).AppliedRevision);
        Assert.Equal(generation, lab.Generation());
        await using SyncClient again = SyncClient.Open(lab);
        Accepted next = await again.AcceptedAsync(new Delta
        {
            BaseRevision = first.Revision + 5,
            Revision = first.Revision + 6,
            Members = { new MemberChange { GroupId = "sg-a", Remove = { "10.9.0.1" } } },
        });
        Assert.InRange(next.Changes.NetlinkMessages, 1u, 12u);
    }

    [Fact]
    public async Task A_stop_waits_for_no_open_stream()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await using SyncClient sync = SyncClient.Open(lab);
        await sync.HelloAsync();
        using AsyncServerStreamingCall<AgentStatus> watch = lab.Client.WatchStatus(
            new GetStatusRequest(), cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(await watch.ResponseStream.MoveNext(TestContext.Current.CancellationToken));
        long asked = Stopwatch.GetTimestamp();
        Assert.Equal(0, await lab.Daemon.StopAsync());

        Assert.True(Stopwatch.GetElapsedTime(asked) < TimeSpan.FromSeconds(15), "30 s is what a host waits by default");
        await Assert.ThrowsAsync<RpcException>(sync.AnswerAsync);
        await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await watch.ResponseStream.MoveNext(TestContext.Current.CancellationToken))
            {
            }
        });
    }

    private static async Task RestartAsync(DaemonLab lab, bool killed)
    {
        _ = killed ? await lab.Daemon.KillAsync() : await lab.Daemon.StopAsync();
        await lab.Daemon.LaunchAsync();
    }

    internal static string WithoutCounters(string listing) =>
        System.Text.RegularExpressions.Regex.Replace(listing, @"packets \d+ bytes \d+", "");
}
