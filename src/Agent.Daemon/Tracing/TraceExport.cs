using Agent.Daemon.Config;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Agent.Daemon.Tracing;

/// <summary>Sends spans to a collector, if there is one to send them to.</summary>
/// <remarks>
/// A thread of its own sends them in batches, of which a bounded number waits: a collector that is slow or dead costs
/// spans and nothing else.
/// </remarks>
internal static class TraceExport
{
    private const string SpansPath = "/v1/traces";

    /// <summary>For the last spans, when the daemon ends.</summary>
    private const int ShutdownMilliseconds = 2000;

    /// <returns>To be disposed of at the end; null: nothing is traced, and nothing of OpenTelemetry loaded.</returns>
    public static IDisposable? Start(
        TracingConfig config, string version, ILogger log, Func<string, string?> environment)
    {
        bool asked = config.OtlpEndpoint.Length > 0
            || environment("OTEL_EXPORTER_OTLP_ENDPOINT") is { Length: > 0 }
            || environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") is { Length: > 0 };
        return asked ? new Exporter(config, version, log) : null;
    }

    private sealed class Exporter : IDisposable
    {
        private readonly TracerProvider provider;

        public Exporter(TracingConfig config, string version, ILogger log) =>
            provider = Sdk.CreateTracerProviderBuilder()
                .AddSource(Spans.SourceName)
                .ConfigureResource(resource => resource
                    .AddService(Spans.SourceName, serviceVersion: version)
                    .AddAttributes([new("host.name", Environment.MachineName)])
                    .AddEnvironmentVariableDetector()) // the operator has the last word
                .AddOtlpExporter(options => Configure(options, config, log))
                .Build();

        public void Dispose()
        {
            provider.Shutdown(ShutdownMilliseconds);
            provider.Dispose();
        }

        // What is not set here, the standard variables OTEL_EXPORTER_OTLP_* and OTEL_BSP_* say.
        private static void Configure(OtlpExporterOptions options, TracingConfig config, ILogger log)
        {
            if (config.OtlpEndpoint.Length > 0)
            {
                options.Protocol = config.OtlpProtocol == OtlpProtocol.Grpc
                    ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
                options.Endpoint = new Uri(config.OtlpProtocol == OtlpProtocol.Grpc
                    ? config.OtlpEndpoint : config.OtlpEndpoint.TrimEnd('/') + SpansPath);
            }

            options.HttpClientFactory = () => new HttpClient(new DeliveryReport(new SocketsHttpHandler(), log))
            {
                Timeout = TimeSpan.FromMilliseconds(options.TimeoutMilliseconds),
            };
        }
    }
}
