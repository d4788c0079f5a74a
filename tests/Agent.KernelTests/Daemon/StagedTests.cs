using System.Net;
using System.Text.Json.Nodes;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>
/// A policy that is staged in the real daemon, and real packets: nothing is treated otherwise, and the counters say
/// what would be.
/// </summary>
public sealed class StagedTests : IAsyncLifetime
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private DaemonLab lab = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    public ValueTask DisposeAsync() => lab.DisposeAsync();

    [Fact]
    public async Task Traffic_goes_on_as_before_and_each_packet_is_counted_at_the_rule_that_would_decide_it()
    {
        string enforcing = Enforcing();
        StagedReport begun = await StageAsync(TheOtherWay());
        Assert.Equal((true, 1ul, 1ul), (begun.Staged, begun.StagedOnRevision, begun.HeldRevision));
        Assert.Empty(begun.Rules);
        Assert.All(begun.Difference.Changes, change => Assert.Equal("eni-e2", Assert.Single(change.VnicIds)));
        Assert.Equal(
            [V1.Policy.Accept, V1.Policy.Drop],
            begun.Difference.Changes.Select(change => change.After).Distinct().Order());
        Assert.Equal(2.0, await lab.MetricAsync("sg_agent_staged_revision"));
        for (int i = 0; i < 3; i++)
        {
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        }

        for (int i = 0; i < 2; i++)
        {
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
            Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E3, expected: false));
        }

        StagedReport report = await ReportAsync();
        Assert.Equal(
            [
                "eni-e2 Ingress Accept rule sg-b/r1: 2 seen, 0 passed, 0 opened, 2 changed",
                "eni-e2 Ingress Drop default : 3 seen, 3 passed, 3 opened, 3 changed",
                "eni-e3 Egress Accept default : 2 seen, 0 passed, 0 opened, 2 changed",
                "eni-e3 Ingress Drop default : 2 seen, 0 passed, 0 opened, 0 changed",
            ],
            report.Rules.Select(Text).Order(StringComparer.Ordinal));
        Assert.Equal("", report.Uncounted);
        Assert.Equal(2ul, (await lab.StatusAsync()).StagedRevision);
        Assert.Equal(enforcing, Enforcing());
        VerifyResponse proof = await lab.Client.VerifyAsync(new VerifyRequest(), cancellationToken: Cancel);
        Assert.True(proof.Result == "proved", $"{proof}");
    }

    [Fact]
    public async Task Committing_makes_it_real_and_cuts_the_sessions_that_the_report_has_named()
    {
        using UdpConversation cut = UdpConversation.Open(lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, 5300));
        Assert.True(await cut.ClientSendsAsync(Probe.PassWait) && await cut.ServerSendsAsync(Probe.PassWait));
        SessionForecast forecast = (await StageAsync(TheOtherWay())).Difference.Sessions;
        Assert.Equal((1ul, 1ul, true), (forecast.Judged, forecast.Cut, forecast.Complete));
        CutSession named = Assert.Single(forecast.Sessions);
        Assert.Equal(("eni-e2", Direction.Ingress, "default", 5300u),
            (named.VnicId, named.Direction, named.Reason, named.Session.Packet.DestinationPort));
        Assert.Equal(SessionFate.Passes, named.Session.Fate);
        Assert.True(await cut.ClientSendsAsync(Probe.PassWait)); // so far it is only said

        // A dry run of the same says the same.
        Snapshot again = TheOtherWay();
        ApplyResponse dry = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = again, NextRevision = true, DryRun = true },
            cancellationToken: Cancel);
        Assert.Equal((1ul, "eni-e2"), (dry.Accepted.Difference.Sessions.Cut,
            dry.Accepted.Difference.Sessions.Cuts[0].VnicId));

        ApplyResponse other = await CommitAsync(77);
        Assert.Equal("AnotherIsStaged", Assert.Single(other.Refused.Faults).Code);
        ApplyResponse done = await CommitAsync(2);
        Assert.Equal(2ul, done.Accepted.Revision);
        Assert.True(done.Accepted.Changes.SessionsRevalidated);
        Assert.False(await cut.ClientSendsAsync());
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: false));
        Assert.False((await ReportAsync()).Staged);
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);
        Assert.Equal(0.0, await lab.MetricAsync("sg_agent_staged_revision"));
    }

    [Fact]
    public async Task Discarding_leaves_no_trace_and_neither_does_the_death_of_the_daemon()
    {
        await lab.SettledAsync();
        string before = Enforcing();
        await StageAsync(TheOtherWay());
        Assert.Equal(2ul, await DiscardAsync());
        Assert.Equal(0ul, await DiscardAsync());
        Assert.Equal(before, Enforcing());
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);

        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 50);
        await StageAsync(TheOtherWay());
        await lab.Daemon.KillAsync();
        Assert.Contains("sg_agent_staged", lab.Listing(), StringComparison.Ordinal);
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        await lab.Daemon.LaunchAsync();
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);
        Assert.False((await ReportAsync()).Staged);
        Assert.Equal(1ul, (await lab.StatusAsync()).AppliedRevision);

        await StageAsync(TheOtherWay());
        await lab.Daemon.StopAsync(); // it takes its counters with it
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        await allowed.StopAsync();
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
    }

    [Fact]
    public async Task Deltas_go_on_beside_it_and_a_snapshot_ends_it()
    {
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 500, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 50);
        Snapshot staged = TheOtherWay();
        staged.Revision = 50;
        StageResponse answer = await lab.Client.StageSnapshotAsync(
            new StageSnapshotRequest { Snapshot = staged }, cancellationToken: Cancel);
        Assert.Equal(50ul, answer.Staged.Revision);
        await using (SyncClient sync = SyncClient.Open(lab))
        {
            var delta = new Delta { BaseRevision = 1, Revision = 2 };
            delta.Members.Add(new MemberChange { GroupId = "sg-a", Add = { "10.0.0.7" } });
            SyncResponse response = await sync.AskAsync(new SyncRequest { Delta = delta });
            Assert.Equal(2ul, response.Accepted.Revision);
        }

        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true)); // by the delta
        StagedReport report = await ReportAsync();
        Assert.Equal((50ul, 1ul, 2ul), (report.Revision, report.StagedOnRevision, report.HeldRevision));
        Assert.Equal((1ul, 0ul), report.Rules.Where(rule => rule.Rule == "sg-b/r1")
            .Select(rule => (rule.PassedPackets, rule.ChangedPackets)).Single());

        Accepted applied = await lab.ApplyAsync(DaemonLab.OneWayIn());
        Assert.Contains(
            applied.Warnings, text => text.Contains("revision 50, which was staged", StringComparison.Ordinal));
        Assert.False((await ReportAsync()).Staged);
        Assert.DoesNotContain("staged", lab.Listing(), StringComparison.Ordinal);
        await allowed.StopAsync();
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
    }

    [Fact]
    public async Task A_packet_mark_of_others_survives()
    {
        lab.Network.Host.Exec("nft", """
            table inet other {
                chain before { type filter hook forward priority -10; ip daddr 10.0.0.5 meta mark set 0x1234; }
                chain seen { type filter hook forward priority 0; ip daddr 10.0.0.7 meta mark 0x1234 counter; }
                chain marked { type filter hook forward priority -10; ip daddr 10.0.0.7 meta mark set 0x1234; }
            }
            """);
        await StageAsync(TheOtherWay());
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        StagedReport report = await ReportAsync();
        Assert.Equal(2ul, report.MarkedPackets);
        Assert.Equal(
            ["eni-e2 Ingress Drop default : 1 seen, 1 passed, 1 opened, 1 changed"], report.Rules.Select(Text));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E3, expected: false));
        Assert.Contains(
            "counter packets 1 ", lab.Network.Host.Exec("nft", "list", "chain", "inet", "other", "seen"),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sgctl_stages_shows_commits_and_discards()
    {
        string file = Path.Combine(lab.Daemon.Directory, "policy.json");
        await File.WriteAllTextAsync(
            file, Google.Protobuf.JsonFormatter.Default.Format(TheOtherWay()), Cancel);
        Assert.Equal((0, "nothing is staged\n"), Run("staged"));
        Assert.Equal((0, "nothing was staged\n"), Run("staged", "--discard"));
        Assert.Equal(1, Run("staged", "--commit").ExitCode);
        (int code, string text) = Run("stage", file);
        Assert.Equal(0, code);
        Assert.StartsWith("staged revision 2 since ", text, StringComparison.Ordinal);
        Assert.Contains("so far no packet would be treated otherwise", text, StringComparison.Ordinal);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        (code, text) = Run("staged");
        Assert.Equal(0, code);
        Assert.Matches(@"would be dropped, and passes now\nvnic .*\neni-e2 +ingress +default +1 +1\n", text);
        Assert.Matches(@"would pass, and is dropped now\nvnic .*\neni-e2 +ingress +sg-b/r1 +1\n", text);
        Assert.Contains("packets of 1 vNIC are judged differently", text, StringComparison.Ordinal);
        Assert.Contains("1 of 1 live sessions would be cut", text, StringComparison.Ordinal);
        JsonNode json = JsonNode.Parse(Run("staged", "--json").Text)!;
        Assert.Equal((true, "2"), ((bool)json["staged"]!, (string?)json["revision"]));
        (code, text) = Run("staged", "--commit", "--revision", "2");
        Assert.Equal(0, code);
        Assert.StartsWith("applied revision 2\n", text, StringComparison.Ordinal);
        Assert.True(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: true));
        Assert.Equal(2, Run("staged", "--commit", "--discard").ExitCode);
    }

    /// <summary>e2 takes from e3 what it took from e1, and nothing from e1.</summary>
    internal static Snapshot TheOtherWay() => Apply(
        [Isolating("sg-a"), Isolating("sg-b", "in 1 accept udp 1/65535 sg-c"), Isolating("sg-c")],
        Nic("e1", "sg-a"), Nic("e2", "sg-b"), Nic("e3", "sg-c")).State.Clone();

    internal static string Text(StagedRule rule) =>
        $"{rule.VnicId} {rule.Direction} {rule.Policy} {rule.Reason} {rule.Rule}: {rule.Packets} seen, "
        + $"{rule.PassedPackets} passed, {rule.OpenedSessions} opened, {rule.ChangedPackets} changed";

    /// <summary>The tables that enforce, with handles.</summary>
    private string Enforcing() => string.Concat(
        ((string[])["inet", "netdev"]).Select(family => lab.Network.Host.Exec(
            "nft", "-a", "-s", "list", "table", family, "sg_agent")));

    private (int ExitCode, string Text) Run(params string[] arguments)
    {
        CommandOutcome outcome = SystemCommand.TryRun(
            Sgctl, null, ["--socket", lab.Daemon.SocketPath, .. arguments]);
        return (outcome.ExitCode, outcome.Output);
    }

    private async Task<StagedReport> StageAsync(Snapshot snapshot)
    {
        StageResponse answer = await lab.Client.StageSnapshotAsync(
            new StageSnapshotRequest { Snapshot = snapshot, NextRevision = true }, cancellationToken: Cancel);
        Assert.True(answer.Staged is not null, $"refused: {answer.Refused}");
        return answer.Staged;
    }

    private async Task<StagedReport> ReportAsync() =>
        await lab.Client.GetStagedAsync(new GetStagedRequest(), cancellationToken: Cancel);

    private async Task<ApplyResponse> CommitAsync(ulong revision) => await lab.Client.CommitStagedAsync(
        new CommitStagedRequest { Revision = revision }, cancellationToken: Cancel);

    private async Task<ulong> DiscardAsync() => (await lab.Client.DiscardStagedAsync(
        new DiscardStagedRequest(), cancellationToken: Cancel)).Revision;
}
