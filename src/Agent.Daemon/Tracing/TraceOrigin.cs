using System.Diagnostics;

namespace Agent.Daemon.Tracing;

/// <summary>Where a change comes from in somebody's trace.</summary>
/// <param name="Context">Of the caller; default: it does not trace.</param>
/// <param name="IsStream">
/// The caller's span is that of a stream that may stay open for months: a change gets a trace of its own, linked to it.
/// </param>
internal readonly record struct TraceOrigin(ActivityContext Context, bool IsStream)
{
    /// <summary>Reads W3C trace context.</summary>
    /// <param name="traceparent">"00-TRACE-SPAN-FLAGS"; null, or something else: nobody traces.</param>
    /// <param name="tracestate">Handed on as it is.</param>
    /// <param name="isStream">As <see cref="IsStream"/>.</param>
    public static TraceOrigin Of(string? traceparent, string? tracestate, bool isStream = false) =>
        ActivityContext.TryParse(traceparent, tracestate, isRemote: true, out ActivityContext context)
            ? new TraceOrigin(context, isStream) : default;
}
