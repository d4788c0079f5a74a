using Prometheus;

namespace Agent.Daemon.Access;

/// <summary>Series about clients: who is connected, what is being answered, who was turned away.</summary>
internal sealed class AccessMetrics
{
    private readonly Counter refusals;
    private readonly Gauge connections;
    private readonly Gauge calls;
    private readonly Gauge expiry;
    private readonly Counter reloads;

    public AccessMetrics(CollectorRegistry registry)
    {
        MetricFactory make = Metrics.WithCustomRegistry(registry);
        refusals = make.CreateCounter("sg_agent_access_refusals_total", "Connections and calls that were refused.",
            new CounterConfiguration { LabelNames = ["listener", "reason"] });
        connections = make.CreateGauge("sg_agent_connections", "Connections of clients.",
            new GaugeConfiguration { LabelNames = ["listener"] });
        calls = make.CreateGauge("sg_agent_calls", "gRPC calls that are being answered.",
            new GaugeConfiguration { LabelNames = ["kind"] });
        expiry = make.CreateGauge("sg_agent_tls_certificate_expiry_timestamp_seconds",
            "When the certificate in use ends to be valid, in seconds since 1970.",
            new GaugeConfiguration { LabelNames = ["listener"] });
        reloads = make.CreateCounter("sg_agent_tls_reloads_total", "Certificates that were found changed, and read.",
            new CounterConfiguration { LabelNames = ["result"] });
        foreach (CallKind kind in Enum.GetValues<CallKind>())
        {
            calls.WithLabels(Word(kind)).Set(0);
        }

        reloads.WithLabels("loaded").Inc(0);
        reloads.WithLabels("failed").Inc(0);
    }

    /// <summary>Shows every reason of a listener from the start, so that its first one is an increase.</summary>
    public void Begin(string listener)
    {
        connections.WithLabels(listener).Set(0);
        foreach (Refusal reason in Enum.GetValues<Refusal>())
        {
            refusals.WithLabels(listener, Word(reason)).Inc(0);
        }
    }

    public void Refused(string listener, Refusal reason) => refusals.WithLabels(listener, Word(reason)).Inc();

    public void Connected(string listener, int change) => connections.WithLabels(listener).Inc(change);

    public void Calling(CallKind kind, int change) => calls.WithLabels(Word(kind)).Inc(change);

    public void Expires(string listener, DateTimeOffset time) =>
        expiry.WithLabels(listener).Set(time.ToUnixTimeSeconds());

    public void Reloaded(bool loaded) => reloads.WithLabels(loaded ? "loaded" : "failed").Inc();

    private static string Word(CallKind kind) => kind.ToString().ToLowerInvariant();

    private static string Word(Refusal reason) => reason switch
    {
        Refusal.MessageSize => "message_size",
        _ => reason.ToString().ToLowerInvariant(),
    };
}
