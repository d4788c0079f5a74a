using System.Diagnostics;
using Agent.Daemon.Enforcement;

namespace Agent.Daemon.Tracing;

/// <summary>
/// What a change spends its time on, as spans: an "apply" with validate, persist, compile, prove, commit (once a
/// transaction) and read_back in it. Without a listener each of them is null and costs nothing.
/// </summary>
internal static class Spans
{
    public const string SourceName = "sg-agent";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>Begins the root of a change, which is an error until something else is said of it.</summary>
    public static Activity? Apply(string kind, TraceOrigin origin)
    {
        if (!Source.HasListeners())
        {
            return null;
        }

        Activity.Current = null; // one that is committed together with others is no part of theirs
        Activity? span = origin is { IsStream: true, Context: var stream }
            ? Source.StartActivity("apply", ActivityKind.Server, default(ActivityContext), tags: null,
                [new ActivityLink(stream)])
            : Source.StartActivity("apply", ActivityKind.Server, origin.Context);
        span?.SetTag("sg.kind", kind);
        span?.SetTag("sg.outcome", "failed");
        span?.SetStatus(ActivityStatusCode.Error, "the loop failed; see the agent's log");
        return span;
    }

    /// <summary>What follows is part of one change; others that it is done for are linked to it.</summary>
    public static void Carry(Activity? carrier, IEnumerable<Activity?> others)
    {
        Activity.Current = carrier;
        foreach (Activity? other in carrier is null ? [] : others)
        {
            other?.AddLink(new ActivityLink(carrier!.Context));
        }
    }

    /// <summary>Begins what the agent does by itself: a device came, a retry, a repair. Not within a change.</summary>
    public static Activity? Reconcile() =>
        Activity.Current is null ? Source.StartActivity("reconcile", ActivityKind.Internal) : null;

    /// <summary>Begins a step of what is under way; null if nothing is.</summary>
    public static Activity? Step(string name) => Activity.Current is null ? null : Source.StartActivity(name);

    /// <summary>Begins to clean up after a change that has been answered.</summary>
    /// <param name="change">Its span; default: it had none.</param>
    public static Activity? CleanUp(ActivityContext change) =>
        change == default ? null : Source.StartActivity("clean_up", ActivityKind.Internal, change);

    public static void End(Activity? span, ApplyOutcome outcome)
    {
        switch (outcome)
        {
            case ApplyOutcome.Refused refused:
                span?.SetTag("sg.outcome", "refused");
                span?.SetTag("sg.faults", refused.Faults.Length);
                span?.SetStatus(
                    ActivityStatusCode.Error, refused.Faults.Length > 0 ? refused.Faults[0].ToString() : null);
                break;
            case ApplyOutcome.Held held:
                span?.SetTag("sg.outcome", "held");
                span?.SetTag("sg.revision", unchecked((long)held.Change.Revision));
                break;
            case ApplyOutcome.Accepted accepted:
                span?.SetTag("sg.revision", unchecked((long)accepted.After.Revision));
                span?.SetTag("sg.vnics", accepted.After.Vnics.Count);
                span?.SetTag("sg.failed_vnics", accepted.State.Failed.Count);
                span?.SetTag("sg.generation", (long)accepted.State.Generation);
                End(span, accepted.Report, isDone: accepted is { Report: not null } or { Unchanged: true });
                break;
        }
    }

    /// <param name="span">The change's, or what the agent does by itself.</param>
    /// <param name="report">Null: nothing was committed.</param>
    /// <param name="isDone">False: it is not in force.</param>
    public static void End(Activity? span, EnforcementReport? report, bool isDone)
    {
        span?.SetTag("sg.outcome", isDone ? "accepted" : "not_enforced");
        span?.SetTag("sg.messages", report?.Messages ?? 0);
        span?.SetTag("sg.bytes", report?.Bytes ?? 0);
        span?.SetTag("sg.transactions", report?.Transactions ?? 0);
        span?.SetTag("sg.sessions_judged_again", report?.Revalidated ?? false);
        if (isDone)
        {
            span?.SetStatus(ActivityStatusCode.Unset);
        }
        else
        {
            span?.SetStatus(ActivityStatusCode.Error, "not in force; it is tried again");
        }
    }
}
