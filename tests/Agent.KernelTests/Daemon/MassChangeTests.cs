using System.Text.Json.Nodes;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>
/// Steps that remove too much, with the real daemon and real packets: nothing happens until somebody confirms them.
/// </summary>
public sealed class MassChangeTests : IAsyncLifetime
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private DaemonLab lab = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        // Three guests: to remove two of them is a mass change here.
        lab = await DaemonLab.StartAsync(config => config["mass_change"] = new JsonObject { ["floor"] = 2 });
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    public ValueTask DisposeAsync() => lab.DisposeAsync();

    [Fact]
    public async Task A_snapshot_without_most_vNICs_waits_and_their_traffic_goes_on_until_it_is_confirmed()
    {
        using Flood kept = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => kept.Backward.Received > 50);
        string state = Convert.ToHexString((await lab.StatusAsync()).StateHash.Span);
        ApplyResponse dry = await ApplyAsync(OnlyE3(), dry: true);
        Assert.Contains("would be held: it would remove 2 of 3 vNICs (66.7 %)", dry.Accepted.Warnings[0],
            StringComparison.Ordinal);

        MassChange held = (await ApplyAsync(OnlyE3())).MassChange;
        Assert.Equal((2ul, 1ul, state),
            (held.Revision, held.HeldRevision, Convert.ToHexString(held.HeldStateHash.Span)));
        Assert.Equal(["vNICs 2/3 1 True"], held.Removals.Select(
            one => $"{one.Kind} {one.Removed}/{one.Before} {one.After} {one.IsReason}"));
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal((1ul, 1ul, 2ul), (status.DesiredRevision, status.AppliedRevision, status.StagedRevision));
        Assert.Equal(held, status.MassChange);
        Assert.Contains("revision 2 is held until it is confirmed: it would remove 2 of 3 vNICs (66.7 %)",
            Assert.Single(status.Alarms), StringComparison.Ordinal);
        Assert.Equal(1.0, await lab.MetricAsync("sg_agent_mass_change_held"));

        // It counts what it would have done, as anything that is staged.
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        StagedReport report = await lab.Client.GetStagedAsync(new GetStagedRequest(), cancellationToken: Cancel);
        Assert.Equal(held, report.MassChange);
        Assert.Contains(report.Rules, rule => rule is { Policy: V1.Policy.Drop, ChangedPackets: > 0 });
        Assert.Equal(2u, report.Difference.ChangedVnics);

        long before = kept.Backward.Received;
        await DaemonLab.UntilAsync("packets after it", () => kept.Backward.Received > before + 100);
        await kept.StopAsync();
        Assert.Empty(kept.Forward.Missing());
        Assert.Empty(kept.Backward.Missing());
        Assert.Equal("MassChangeHeld", Assert.Single((await CommitAsync(0)).Refused.Faults).Code);
        Assert.Equal(2ul, (await CommitAsync(2)).Accepted.Revision);
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        status = await lab.StatusAsync();
        Assert.Equal((2ul, null, 0), (status.AppliedRevision, status.MassChange, status.Alarms.Count));
        Assert.Equal(0.0, await lab.MetricAsync("sg_agent_mass_change_held"));
        Assert.Equal(1.0, await lab.MetricAsync("sg_agent_mass_changes_total{result=\"confirmed\"}"));
    }

    [Fact]
    public async Task A_delta_waits_those_on_top_of_it_are_refused_and_discarding_forgets_it()
    {
        await using SyncClient sync = SyncClient.Open(lab);
        SyncResponse answer = await sync.AskAsync(new SyncRequest { Delta = Away() });
        Assert.Equal((2ul, 1ul), (answer.MassChange.Revision, answer.MassChange.HeldRevision));
        Refused refused = await sync.RefusedAsync(new Delta { BaseRevision = 2, Revision = 3 });
        Fault fault = Assert.Single(refused.Faults);
        Assert.Equal(("MassChangeHeld", 1ul), (fault.Code, refused.HeldRevision));
        Assert.Contains("confirm_mass_change", fault.Remedy, StringComparison.Ordinal);
        Assert.Equal(1ul, (await sync.HelloAsync()).Revision);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));

        Assert.Equal(2ul, (await lab.Client.DiscardStagedAsync(
            new DiscardStagedRequest(), cancellationToken: Cancel)).Revision);
        Assert.Null((await lab.StatusAsync()).MassChange);
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);

        // Once more, and it is meant.
        answer = await sync.AskAsync(new SyncRequest { Delta = Away() });
        Assert.Equal(2ul, answer.MassChange.Revision);
        Delta meant = Away();
        meant.ConfirmMassChange = true;
        Assert.Empty((await sync.AcceptedAsync(meant)).Warnings);
        await sync.AcceptedAsync(new Delta { BaseRevision = 2, Revision = 3 });
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.Equal((3ul, 1), ((await lab.StatusAsync()).AppliedRevision, (await lab.StateAsync()).Vnics.Count));
        Assert.Equal(2.0, await lab.MetricAsync("sg_agent_mass_changes_total{result=\"held\"}"));
        Assert.Equal(1.0, await lab.MetricAsync("sg_agent_mass_changes_total{result=\"discarded\"}"));
    }

    [Fact]
    public async Task An_empty_snapshot_waits_and_a_restart_forgets_it_and_enforces_what_was_before()
    {
        using Flood kept = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => kept.Backward.Received > 50);
        var empty = new Snapshot { Revision = 2 };
        await using (SyncClient sync = SyncClient.Open(lab))
        {
            SyncResponse answer = await sync.SnapshotAsync(empty);
            Assert.StartsWith(
                "would leave no vNIC and no group", answer.MassChange.Message, StringComparison.Ordinal);
        }

        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal((1ul, 1ul, 0ul, null),
            (status.DesiredRevision, status.AppliedRevision, status.StagedRevision, status.MassChange));
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);
        long before = kept.Backward.Received;
        await DaemonLab.UntilAsync("packets after it", () => kept.Backward.Received > before + 100);
        await kept.StopAsync();
        Assert.Empty(kept.Forward.Missing());
        Assert.Empty(kept.Backward.Missing());

        await using SyncClient again = SyncClient.Open(lab);
        Assert.Equal(2ul, (await again.SnapshotAsync(empty)).MassChange.Revision);
        SyncResponse meant = await again.SnapshotAsync(empty, end => end.ConfirmMassChange = true);
        Assert.Equal(2ul, meant.Accepted.Revision);
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.Empty((await lab.StateAsync()).Vnics);
    }

    [Fact]
    public async Task Sgctl_says_what_is_held_and_how_to_go_on()
    {
        string file = Path.Combine(lab.Daemon.Directory, "policy.json");
        await File.WriteAllTextAsync(file, Google.Protobuf.JsonFormatter.Default.Format(OnlyE3()), Cancel);
        CommandOutcome run = Run("apply", file);
        Assert.Equal(5, run.ExitCode);
        Assert.Contains("held: revision 2 would remove 2 of 3 vNICs (66.7 %); revision 1 stays enforced", run.Error,
            StringComparison.Ordinal);
        Assert.Contains("sgctl staged --commit --revision 2", run.Error, StringComparison.Ordinal);
        run = Run("apply", "--json", file);
        Assert.Equal((5, "2"), (run.ExitCode, (string?)JsonNode.Parse(run.Output)!["mass_change"]!["revision"]));
        Assert.Contains("alarm: revision 2 is held until it is confirmed", Run("status").Output,
            StringComparison.Ordinal);
        Assert.Contains("held: nobody staged it; it would remove 2 of 3 vNICs", Run("staged").Output,
            StringComparison.Ordinal);
        Assert.Equal(1, Run("staged", "--commit").ExitCode);
        Assert.Equal(0, Run("staged", "--discard").ExitCode);
        run = Run("apply", "--confirm-mass-change", file);
        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith("applied revision 2\n", run.Output, StringComparison.Ordinal);
        string status = Run("status", "--groups").Output;
        Assert.Matches(@"intent +made 20.* UTC, enforced .* later\n", status);
        Assert.Matches(@"realised +revision 2 enforced for 1 of 1 vNIC, proved for 1\n", status);
        Assert.Matches(@"\nsg-c +1 +1 +2 +2\n", status);
        JsonNode json = JsonNode.Parse(Run("status", "--groups", "--json").Output)!;
        Assert.Equal(["2", "2", "2"], json["groups"]!.AsArray().Select(group => (string?)group!["proved_revision"]));
    }

    /// <summary>The same groups, and one of the three vNICs.</summary>
    private static Snapshot OnlyE3()
    {
        Snapshot state = DaemonLab.OneWayIn();
        state.Vnics.RemoveAt(0);
        state.Vnics.RemoveAt(0);
        return state;
    }

    private static Delta Away() =>
        new() { BaseRevision = 1, Revision = 2, RemoveVnics = { "eni-e1", "eni-e2" } };

    private CommandOutcome Run(params string[] arguments) =>
        SystemCommand.TryRun(Sgctl, null, ["--socket", lab.Daemon.SocketPath, .. arguments]);

    private async Task<ApplyResponse> ApplyAsync(Snapshot state, bool dry = false) =>
        await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = state, NextRevision = true, DryRun = dry },
            cancellationToken: Cancel);

    private async Task<ApplyResponse> CommitAsync(ulong revision) => await lab.Client.CommitStagedAsync(
        new CommitStagedRequest { Revision = revision }, cancellationToken: Cancel);
}
