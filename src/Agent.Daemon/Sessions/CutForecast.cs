using System.Collections.Immutable;
using Agent.Evaluator.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;

namespace Agent.Daemon.Sessions;

/// <summary>A session that a change would cut.</summary>
/// <param name="Flow">The kernel's entry.</param>
/// <param name="Now">As the policy in force sees it.</param>
/// <param name="By">What would cut it.</param>
internal sealed record ForecastCut(Flow Flow, JudgedSession Now, PassCut By);

/// <summary>
/// What a change would do to the sessions that are there: the count that <see cref="SessionWatch"/> would make behind
/// it, made before it.
/// </summary>
/// <param name="Judged">Sessions that were looked at.</param>
/// <param name="Cuts">By vNIC and rule, most first.</param>
/// <param name="Sessions">Some of them.</param>
/// <param name="Gap">Why some may have been missed; empty: none was.</param>
internal sealed record CutForecast(
    long Judged, ImmutableArray<PassCut> Cuts, ImmutableArray<ForecastCut> Sessions, string Gap)
{
    /// <summary>Nothing is taken away: nobody is judged again.</summary>
    public static readonly CutForecast Nothing = new(0, [], [], "");

    public long Cut => Cuts.Sum(cut => cut.Sessions);

    /// <param name="before">By the policy in force.</param>
    /// <param name="after">By what would be; no epoch is its own, so that all sessions are older.</param>
    /// <param name="read">Shows the sessions.</param>
    /// <param name="limit">Sessions to name.</param>
    /// <param name="cancel">Breaks the reading off.</param>
    public static CutForecast Of(
        SessionJudge before, SessionJudge after, SessionReading read, int limit, CancellationToken cancel)
    {
        var tally = new PassTally(before, after);
        List<ForecastCut> named = [];
        string gap = "the kernel kept losing answers";
        try
        {
            gap = read.Whole(FlowFilter.All, Begin, cancel) ? "" : gap;
        }
        catch (NetlinkException e)
        {
            gap = $"the session table cannot be read: {e.Message}";
        }

        return new CutForecast(tally.Judged, tally.Cuts, [.. named], gap);

        Action<Flow> Begin()
        {
            tally = new PassTally(before, after);
            named.Clear();
            return Visit;
        }

        void Visit(Flow flow)
        {
            TrackedSession session = flow.Tracked();
            if (tally.Add(session) is { } cut && named.Count < limit && before.Judge(session) is { } now)
            {
                named.Add(new ForecastCut(flow, now, cut));
            }
        }
    }
}
