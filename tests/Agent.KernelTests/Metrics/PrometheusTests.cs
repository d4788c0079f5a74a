using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Metrics;

/// <summary>What is in packaging/ does what it says, with the real Prometheus and the real daemon.</summary>
public sealed class PrometheusTests
{
    private static readonly string Packaging = Path.Combine(BuiltProgram.RepositoryRoot(), "packaging");

    private static string Alerts => File.ReadAllText(Path.Combine(Packaging, "prometheus", "alerts.yml"));

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

        // The same rules, in seconds and for a small storm.
        string rules = Alerts.Replace("for: 5m", "for: 1s", StringComparison.Ordinal)
            .Replace("> 1000", "> 5", StringComparison.Ordinal);
        using var prometheus = new PrometheusServer(lab.Network.Host, rules);
        await DaemonLab.UntilAsync("scrapes", () => prometheus.HasAsync("count_over_time(up[1m]) > 3 and up == 1"));
        Assert.Empty(await prometheus.QueryAsync("ALERTS"));

        foreach (string expression in Expressions("host").Concat(Expressions("vnic")))
        {
            JsonArray series = await prometheus.QueryAsync(expression);
            Assert.True(series.Count > 0 || MayBeEmpty(expression), expression);
        }

        lab.Network.Host.Exec("nft", "flush", "chain", "inet", "sg_agent", "sg_forward");
        await FiresAsync(prometheus, "SgAgentDrift");
        using (Flood storm = DaemonLab.StartFlood(lab.E3, lab.E2, 200, FloodDirections.Forward))
        {
            await FiresAsync(prometheus, "SgAgentDropStorm");
        }

        await lab.Daemon.KillAsync();
        await DaemonLab.UntilAsync("a daemon that is gone", () => prometheus.HasAsync("up == 0"));
    }

    private static Task FiresAsync(PrometheusServer prometheus, string alert) => DaemonLab.UntilAsync($"alert {alert}",
        () => prometheus.HasAsync($$"""ALERTS{alertname="{{alert}}",alertstate="firing"}"""));

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
