using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.KernelTests.Daemon;

/// <summary>How far each revision is real, as the real daemon says it.</summary>
public sealed class RealisationTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Revisions_are_followed_to_every_vNIC_and_group_and_measured_from_the_controllers_time()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = DaemonLab.OneWayIn();
        (state.Revision, state.IssuedAt) = (1, Ago(60));
        var delta = new Delta { BaseRevision = 1, Revision = 2, IssuedAt = Ago(1) };
        delta.Members.Add(new MemberChange { GroupId = "sg-a", Add = { "10.0.0.77" } });
        await using (SyncClient sync = SyncClient.Open(lab))
        {
            Assert.Equal(1ul, (await sync.SnapshotAsync(state)).Accepted.Revision);
            await sync.AcceptedAsync(delta);
        }

        await ProvedAsync(lab, 2);

        AgentStatus status = await lab.Client.GetStatusAsync(
            new GetStatusRequest { Groups = true }, cancellationToken: Cancel);
        Assert.Equal((2ul, delta.IssuedAt), (status.ProvedRevision, status.IssuedAt));
        Assert.True(status.EnforcedAfter.ToTimeSpan() > TimeSpan.FromSeconds(1), $"{status.EnforcedAfter}");
        Assert.All(status.Vnics, vnic =>
        {
            Assert.Equal((2ul, 2ul), (vnic.EnforcedRevision, vnic.ProvedRevision));
            Assert.InRange(vnic.EnforcedAt.ToDateTime(), delta.IssuedAt.ToDateTime(), vnic.ProvedAt.ToDateTime());
        });
        Assert.Equal(
            ["sg-a 2 1 2 2", "sg-b 1 1 2 2", "sg-c 1 1 2 2"],
            status.Groups.Select(one => $"{one.GroupId} {one.ChangedRevision} {one.VnicCount} "
                + $"{one.EnforcedRevision} {one.ProvedRevision}"));
        Assert.Empty((await lab.StatusAsync()).Groups);

        foreach (string stage in (string[])["enforced", "proved"])
        {
            Assert.Equal(2.0, await lab.MetricAsync($"sg_agent_realisation_seconds_count{{stage=\"{stage}\"}}"));
            Assert.True(await lab.MetricAsync($"sg_agent_realisation_seconds_sum{{stage=\"{stage}\"}}") > 61);
        }

        Assert.True(await lab.MetricAsync("sg_agent_intent_age_seconds") > 1);

        // What the controller said is saved with the state.
        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        status = await lab.StatusAsync();
        Assert.Equal((2ul, delta.IssuedAt, null), (status.AppliedRevision, status.IssuedAt, status.EnforcedAfter));
        Assert.Equal(delta.IssuedAt, (await lab.StateAsync()).IssuedAt);
        Assert.Equal(0.0, await lab.MetricAsync("sg_agent_realisation_seconds_count{stage=\"enforced\"}"));
        await ProvedAsync(lab, 2);
    }

    [Fact]
    public async Task A_proof_in_the_background_is_that_of_all_revisions_that_it_covers()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(config => config["verify_budget_ms"] = 1);
        await using SyncClient sync = SyncClient.Open(lab);
        Snapshot state = DaemonLab.OneWayIn();
        (state.Revision, state.IssuedAt) = (1, Ago(1));
        await sync.SnapshotAsync(state);
        for (ulong revision = 2; revision <= 5; revision++)
        {
            var delta = new Delta { BaseRevision = revision - 1, Revision = revision, IssuedAt = Ago(1) };
            delta.Members.Add(new MemberChange { GroupId = "sg-a", Add = { $"10.0.0.{70 + revision}" } });
            Assert.Equal("pending", (await sync.AcceptedAsync(delta)).Proof.Result);
        }

        Assert.Equal(5.0, await lab.MetricAsync("sg_agent_realisation_seconds_count{stage=\"enforced\"}"));
        await ProvedAsync(lab, 5);
        Assert.Equal(5.0, await lab.MetricAsync("sg_agent_realisation_seconds_count{stage=\"proved\"}"));
        Assert.Equal(0.0, await lab.MetricAsync("sg_agent_issued_ahead_total"));

        await sync.AcceptedAsync(new Delta { BaseRevision = 5, Revision = 6, IssuedAt = Ago(-3600) });
        Assert.Equal(1.0, await lab.MetricAsync("sg_agent_issued_ahead_total"));
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal((6ul, TimeSpan.Zero), (status.AppliedRevision, status.EnforcedAfter.ToTimeSpan()));
        Assert.Equal(0.0, await lab.MetricAsync("sg_agent_intent_age_seconds"));
        Refused refused = await sync.RefusedAsync(
            new Delta { BaseRevision = 6, Revision = 7, IssuedAt = new Timestamp { Nanos = -1 } });
        Assert.Equal("InvalidTime", Assert.Single(refused.Faults).Code);
    }

    private static Timestamp Ago(int seconds) =>
        TimeProvider.System.GetUtcNow().AddSeconds(-seconds).ToTimestamp();

    private static Task ProvedAsync(DaemonLab lab, ulong revision) => DaemonLab.UntilAsync(
        $"a proof of revision {revision}", async () => (await lab.StatusAsync()).ProvedRevision == revision);
}
