using Agent.TestNet;

namespace Agent.KernelTests.Daemon;

/// <summary>How soon a foreign change is seen is a setting.</summary>
public sealed class AuditIntervalTests
{
    [Theory]
    [InlineData(3_600_000, false)]
    [InlineData(10, true)]
    public async Task A_foreign_change_is_seen_at_the_next_audit(int milliseconds, bool seen)
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(config =>
        {
            config["protect_tables"] = false;
            config["audit_interval_ms"] = milliseconds;
        });
        await lab.ApplyAsync(DaemonLab.OneWayIn());
        await lab.SettledAsync();
        double before = await lab.MetricAsync("sg_agent_drift_repairs_total");
        lab.Network.Host.Exec("nft", "delete element inet sg_agent vnic_to { \"tap-e2\" }");
        if (seen)
        {
            await DaemonLab.UntilAsync(
                "a repair", async () => await lab.MetricAsync("sg_agent_drift_repairs_total") > before);
        }
        else
        {
            await Task.Delay(Pace.Scaled(TimeSpan.FromSeconds(2)), TestContext.Current.CancellationToken);
            Assert.Equal(before, await lab.MetricAsync("sg_agent_drift_repairs_total"));
            Assert.DoesNotContain("tap-e2",
                lab.Network.Host.Exec("nft", "list", "map", "inet", "sg_agent", "vnic_to"), StringComparison.Ordinal);
        }
    }
}
