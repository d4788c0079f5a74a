using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;

namespace Agent.TestNet;

/// <summary>A real Prometheus in the host's namespace, which scrapes the daemon there.</summary>
public sealed class PrometheusServer : IDisposable
{
    private const int Port = 9490;

    private readonly DirectoryInfo files = ScratchDirectory.Create("prometheus");
    private readonly HttpClient client;
    private readonly Process process;

    /// <param name="host">Where it runs.</param>
    /// <param name="rules">Its alerts.</param>
    /// <exception cref="InvalidOperationException">There is no such program.</exception>
    public PrometheusServer(NetNamespace host, string rules)
    {
        ArgumentNullException.ThrowIfNull(host);
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
    public Task<JsonArray> QueryAsync(string expression) => AskAsync("query", expression, "");

    /// <summary>The same over time: each with its labels and pairs of time and value.</summary>
    public Task<JsonArray> QueryAsync(string expression, DateTimeOffset from, DateTimeOffset to, TimeSpan step) =>
        AskAsync("query_range", expression, string.Create(CultureInfo.InvariantCulture,
            $"&start={from.ToUnixTimeSeconds()}&end={to.ToUnixTimeSeconds()}&step={step.TotalSeconds}"));

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

    public void Dispose()
    {
        client.Dispose();
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        files.Delete(recursive: true);
    }

    private async Task<JsonArray> AskAsync(string what, string expression, string when)
    {
        using HttpResponseMessage answer = await client.GetAsync(
            new Uri($"http://localhost/api/v1/{what}?query={Uri.EscapeDataString(expression)}{when}"));
        if (answer.StatusCode == HttpStatusCode.ServiceUnavailable)
        {
            throw new HttpRequestException("it is starting");
        }

        JsonNode body = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
        return (string?)body["status"] == "success" ? body["data"]!["result"]!.AsArray()
            : throw new InvalidOperationException($"{expression}: {body["error"]}");
    }
}
