using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Metrics;

/// <summary>A Prometheus in a lab's host, and its alerts.</summary>
internal static class PrometheusLab
{
    /// <summary>Starts one, and waits until it has seen the daemon a few times.</summary>
    /// <param name="lab">Where it runs.</param>
    /// <param name="rules">Its alerts.</param>
    public static async Task<PrometheusServer> StartAsync(DaemonLab lab, string rules)
    {
        var server = new PrometheusServer(lab.Network.Host, rules);
        try
        {
            await DaemonLab.UntilAsync("scrapes", () => server.HasAsync("count_over_time(up[1m]) > 3 and up == 1"));
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public static Task FiresAsync(this PrometheusServer server, string alert) =>
        DaemonLab.UntilAsync($"alert {alert}", () => server.IsFiringAsync(alert));

    public static Task EndsAsync(this PrometheusServer server, string alert) => DaemonLab.UntilAsync(
        $"the end of alert {alert}", async () => !await server.IsFiringAsync(alert));

    public static async Task<bool> IsFiringAsync(this PrometheusServer server, string alert) =>
        (await server.QueryAsync($$"""ALERTS{alertname="{{alert}}",alertstate="firing"}""")).Count > 0;
}
