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

    /// <param name="host">Where it runs.</param>
    /// <param name="rules">Its alerts.</param>
    public PrometheusServer(NetNamespace host, string rules)
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

    public Task FiresAsync(string alert) => DaemonLab.UntilAsync(
        $"alert {alert}", () => HasAsync($$"""ALERTS{alertname="{{alert}}",alertstate="firing"}"""));

    public void Dispose()
    {
        client.Dispose();
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        files.Delete(recursive: true);
    }
}
