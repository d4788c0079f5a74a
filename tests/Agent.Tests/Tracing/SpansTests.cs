using System.Diagnostics;
using Agent.Daemon.Config;
using Agent.Daemon.Tracing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Agent.Tests.Tracing;

/// <summary>Spans are there when somebody listens, and are nothing otherwise.</summary>
public sealed class SpansTests
{
    private const string Trace = "0af7651916cd43dd8448eb211c80319c";
    private const string Parent = "b7ad6b7169203331";

    [Fact]
    public void Without_a_listener_there_is_no_span_and_nothing_is_allocated()
    {
        TraceOrigin origin = TraceOrigin.Of($"00-{Trace}-{Parent}-01", tracestate: null);
        Run(origin);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            Run(origin);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        static void Run(TraceOrigin origin)
        {
            using Activity? apply = Spans.Apply("snapshot", origin);
            using Activity? own = Spans.Reconcile();
            using Activity? step = Spans.Step("compile");
            using Activity? after = Spans.CleanUp(origin.Context);
            Assert.True(apply is null && own is null && step is null && after is null);
        }
    }

    [Fact]
    public void Nothing_is_exported_unless_an_endpoint_is_named()
    {
        Assert.Null(TraceExport.Start(new TracingConfig(), "0", NullLogger.Instance, _ => null));
        Assert.Null(TraceExport.Start(new TracingConfig(), "0", NullLogger.Instance, _ => ""));
        foreach (string variable in (string[])["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
        {
            using IDisposable? export = TraceExport.Start(
                new TracingConfig(), "0", NullLogger.Instance, name => name == variable ? "http://127.0.0.1:9" : null);
            Assert.NotNull(export);
        }
    }

    [Fact]
    public void With_a_listener_a_change_has_the_callers_trace_or_a_link_to_its_stream()
    {
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == Spans.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
        };
        ActivitySource.AddActivityListener(listener);
        string traceparent = $"00-{Trace}-{Parent}-01";
        using (Activity? apply = Spans.Apply("snapshot", TraceOrigin.Of(traceparent, "a=b")))
        {
            Assert.Equal((Trace, Parent, "a=b"),
                (apply!.TraceId.ToHexString(), apply.ParentSpanId.ToHexString(), apply.TraceStateString));
            Assert.Equal(ActivityStatusCode.Error, apply.Status); // until somebody says that it went well
            using Activity? step = Spans.Step("compile");
            Assert.Equal(apply.SpanId, step!.ParentSpanId);
            Assert.Null(Spans.Reconcile());
        }

        using (Activity? apply = Spans.Apply("delta", TraceOrigin.Of(traceparent, null, isStream: true)))
        {
            Assert.NotEqual(Trace, apply!.TraceId.ToHexString());
            Assert.Equal(Parent, Assert.Single(apply.Links).Context.SpanId.ToHexString());
        }

        using (Activity? apply = Spans.Apply("snapshot", TraceOrigin.Of("nonsense", null)))
        {
            Assert.Equal(default, apply!.ParentSpanId);
        }

        Assert.Null(Spans.Step("compile")); // nothing is under way
    }
}
