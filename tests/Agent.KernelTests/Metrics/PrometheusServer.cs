using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Metrics;

/// <summary>A real Prometheus in the host's namespace, which scrapes the daemon there.</summary>
internal sealed class PrometheusServer : IDisposable
{
    private const int Port = 9490;

    private readonly DirectoryInfo files = ScratchDirectory.Create("prometheus");
    private readonly HttpClient client;
    private readonly Process process;

    private PrometheusServer(NetNamespace host, string rules)
    {
        string At(string name) => Path.Combine(files.FullName, name);
        File.WriteAllText(At("alerts.yml"), rules);
        File.WriteAllText(At("prometheus.yml"), """
            global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }
            rule_files: [alerts.yml]
            scrape_configs:
              - job_name: sg-agent
                static_configs: [{ targets: ["127.0.0.1:9477"] }]

            """);
        var start = new ProcessStartInfo("ip")
        {
            ArgumentList =
            {
                "netns", "exec", host.Name, "prometheus", $"--config.file={At("prometheus.yml")}",
                $"--storage.tsdb.path={At("data")}", $"--web.listen-address=127.0.0.1:{Port}", "--log.level=error",
            },
        };
        process = Process.Start(start) ?? throw new InvalidOperationException("prometheus does not start");
        client = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancelled) => await host.ConnectAsync(Port, cancelled),
        });
    }

    /// <summary>Starts one in a lab's host, and waits until it has seen the daemon a few times.</summary>
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

    /// <summary>What an instant query answers: a list of series, each with its labels and a value.</summary>
    public async Task<JsonArray> QueryAsync(string expression)
    {
        using HttpResponseMessage answer = await client.GetAsync(
            new Uri($"http://localhost/api/v1/query?query={Uri.EscapeDataString(expression)}"));
        if (answer.StatusCode == HttpStatusCode.ServiceUnavailable)
        {
            throw new HttpRequestException("it is starting");
        }

        JsonNode body = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
        Assert.True((string?)body["status"] == "success", $"{expression}: {body["error"]}");
        return body["data"]!["result"]!.AsArray();
    }

    /// <summary>Whether there is any such series; false too as long as nobody listens.</summary>
    public async Task<bool> HasAsync(string expression)
    {
        try
        {
            return (await QueryAsync(expression)).Count > 0;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    public Task FiresAsync(string alert) => DaemonLab.UntilAsync($"alert {alert}", () => IsFiringAsync(alert));

    public Task EndsAsync(string alert) => DaemonLab.UntilAsync(
        $"the end of alert {alert}", async () => !await IsFiringAsync(alert));

    public async Task<bool> IsFiringAsync(string alert) =>
        (await QueryAsync($$"""ALERTS{alertname="{{alert}}",alertstate="firing"}""")).Count > 0;

    public void Dispose()
    {
        client.Dispose();
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        files.Delete(recursive: true);
    }
}
