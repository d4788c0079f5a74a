using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Metrics;

/// <summary>What is in packaging/ does what it says, with the real Prometheus and the real daemon.</summary>
public sealed class PrometheusTests
{
    private static readonly string Packaging = Path.Combine(BuiltProgram.RepositoryRoot(), "packaging");

    /// <summary>The real daemon with a compiler that errs: nobody outside can make a proof fail.</summary>
    private static readonly string Erring =
        BuiltProgram.Find("SG_ERRING_AGENTD", "Agent.ErringDaemon", "Agent.ErringDaemon");

    private static string Alerts => File.ReadAllText(Path.Combine(Packaging, "prometheus", "alerts.yml"));

    /// <summary>The same rules, for those who have no time.</summary>
    private static string InSeconds => Alerts.Replace("for: 5m", "for: 1s", StringComparison.Ordinal)
        .Replace("for: 1m", "for: 1s", StringComparison.Ordinal);

    [Fact]
    public void Alerts_fire_when_they_should_and_not_before()
    {
        string folder = Path.Combine(Packaging, "prometheus");
        Assert.Contains("SUCCESS", SystemCommand.Run("promtool", "check", "rules", Path.Combine(folder, "alerts.yml")),
            StringComparison.Ordinal);
        SystemCommand.Run("promtool", "test", "rules", Path.Combine(folder, "alerts_test.yml"));
    }

    [Fact]
    public void Every_alert_has_its_paragraph_in_the_runbook()
    {
        string[] chapters = [.. File.ReadAllLines(Path.Combine(Packaging, "prometheus", "RUNBOOK.md"))
            .Where(line => line.StartsWith("## ", StringComparison.Ordinal)).Select(line => line[3..])];
        string[] alerts = [.. Alerts.Split('\n').Where(line => line.Contains("- alert: ", StringComparison.Ordinal))
            .Select(line => line.Split(": ")[1])];
        Assert.Equal(alerts, chapters);
        Assert.All(alerts, alert => Assert.Contains(
            $"RUNBOOK.md#{alert.ToLowerInvariant()}\"", Alerts, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Prometheus_scrapes_the_daemon_answers_the_dashboards_and_fires()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();

        using PrometheusServer prometheus = await PrometheusLab.StartAsync(
            lab, InSeconds.Replace("> 1000", "> 5", StringComparison.Ordinal)); // a small storm
        Assert.Empty(await prometheus.QueryAsync("ALERTS"));

        foreach (string expression in Expressions("host").Concat(Expressions("vnic")))
        {
            JsonArray series = await prometheus.QueryAsync(expression);
            Assert.True(series.Count > 0 || MayBeEmpty(expression), expression);
        }

        lab.Network.Host.Exec("nft", "flush", "chain", "inet", "sg_agent", "sg_forward");
        await prometheus.FiresAsync("SgAgentDrift");
        using (Flood storm = DaemonLab.StartFlood(lab.E3, lab.E2, 200, FloodDirections.Forward))
        {
            await prometheus.FiresAsync("SgAgentDropStorm");
        }

        await lab.Daemon.KillAsync();
        await DaemonLab.UntilAsync("a daemon that is gone", () => prometheus.HasAsync("up == 0"));
    }

    [Fact]
    public async Task A_failed_proof_fires_and_what_it_is_about_does_not_get_into_the_kernel()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            config => config["verify_budget_ms"] = 60_000, binary: Erring);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using PrometheusServer prometheus = await PrometheusLab.StartAsync(lab, InSeconds);
        Assert.Empty(await prometheus.QueryAsync("ALERTS"));

        Snapshot wrong = DaemonLab.OneWayIn();
        wrong.Groups.Add(States.Isolating("sg-erring"));
        wrong.Vnics[1].GroupIds.Add("sg-erring");
        VnicStatus failed = Assert.Single((await lab.ApplyAsync(wrong)).FailedVnics);
        Assert.Equal("eni-e2", failed.VnicId);
        Assert.Contains("not proved", failed.Reason, StringComparison.Ordinal);
        await prometheus.FiresAsync("SgAgentProofFailed");
        await prometheus.FiresAsync("SgAgentFailedVnics");
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false)); // it would have let that in

        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await prometheus.EndsAsync("SgAgentFailedVnics");
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
    }

    [Fact]
    public async Task A_step_that_is_held_fires_until_somebody_decides()
    {
        const string Held = "SgAgentMassChangeHeld";
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        using PrometheusServer prometheus = await PrometheusLab.StartAsync(lab, InSeconds);
        Assert.Empty(await prometheus.QueryAsync("ALERTS"));
        ApplyResponse answer = await lab.Client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = new Snapshot(), NextRevision = true },
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(2ul, answer.MassChange.Revision);
        await prometheus.FiresAsync(Held);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        await lab.Client.DiscardStagedAsync(
            new DiscardStagedRequest(), cancellationToken: TestContext.Current.CancellationToken);
        await prometheus.EndsAsync(Held);
    }

    [Fact]
    public async Task A_controller_that_has_gone_quiet_fires_until_it_speaks_again()
    {
        const string Stale = "SgAgentStaleControlPlane";
        await using DaemonLab lab = await DaemonLab.StartAsync();
        using PrometheusServer prometheus = await PrometheusLab.StartAsync(
            lab, InSeconds.Replace("> 86400", "> 5", StringComparison.Ordinal));
        Snapshot state = DaemonLab.OneWayIn();
        state.Revision = 1;
        await using (SyncClient controller = SyncClient.Open(lab))
        {
            await controller.SnapshotAsync(state);
            for (ulong revision = 2; revision <= 9; revision++)
            {
                await Task.Delay(1000, TestContext.Current.CancellationToken);
                await controller.AcceptedAsync(Member(revision));
                Assert.False(await prometheus.IsFiringAsync(Stale));
            }
        }

        await prometheus.FiresAsync(Stale);
        await using SyncClient again = SyncClient.Open(lab);
        Assert.Equal(9u, (await again.HelloAsync()).Revision);
        await again.AcceptedAsync(Member(10));
        await prometheus.EndsAsync(Stale);

        static Delta Member(ulong revision) => new()
        {
            BaseRevision = revision - 1,
            Revision = revision,
            Members = { new MemberChange { GroupId = "sg-a", Add = { $"10.77.0.{revision}" } } },
        };
    }

    [Fact]
    public async Task A_table_of_sessions_that_is_nearly_full_fires_until_there_is_room()
    {
        const string Full = "SgAgentTableNearlyFull";
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        double limit = await lab.MetricAsync("sg_agent_conntrack_limit");
        Assert.SkipWhen(limit > 1 << 20,
            $"nf_conntrack_max is {limit}, and a network namespace of this kernel cannot lower it: "
            + "filling takes too long");
        using PrometheusServer prometheus = await PrometheusLab.StartAsync(lab, InSeconds);
        Conntrack.Fill(lab.Network.Host, (int)(limit * 0.85));
        await Task.Delay(3000, TestContext.Current.CancellationToken);
        Assert.False(await prometheus.IsFiringAsync(Full));
        Conntrack.Fill(lab.Network.Host, (int)(limit * 0.95)); // those that are there are refused
        await prometheus.FiresAsync(Full);
        SessionTable.Flush(lab.Network.Host);
        await prometheus.EndsAsync(Full);
    }

    // Nothing dropped, cut or counted yet, and histograms without a rate.
    private static bool MayBeEmpty(string expression) => expression.Contains("sessions_cut", StringComparison.Ordinal)
        || expression.Contains("sg_agent_rule_", StringComparison.Ordinal)
        || expression.Contains("> 0", StringComparison.Ordinal);

    private static IEnumerable<string> Expressions(string board) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(Packaging, "grafana", $"sg-agent-{board}.json")))!["panels"]!
            .AsArray().SelectMany(panel => panel!["targets"]!.AsArray())
            .Select(target => ((string)target!["expr"]!)
                .Replace("$instance", "127.0.0.1:9477", StringComparison.Ordinal)
                .Replace("$vnic", "eni-e2", StringComparison.Ordinal));
}
