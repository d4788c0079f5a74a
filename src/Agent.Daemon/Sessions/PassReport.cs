using System.Collections.Immutable;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Policy;

namespace Agent.Daemon.Sessions;

/// <summary>What one reading of the table after a restrictive change has found.</summary>
/// <param name="Revision">Of the policy in force.</param>
/// <param name="Time">When it ended.</param>
/// <param name="Took">How long it took.</param>
/// <param name="Judged">Sessions of older epochs that were looked at.</param>
/// <param name="Cuts">Of them: those that were allowed before and are not any more; most first.</param>
/// <param name="Complete">Every session was looked at.</param>
internal sealed record PassReport(
    ulong Revision, DateTimeOffset Time, TimeSpan Took, long Judged, ImmutableArray<PassCut> Cuts, bool Complete)
{
    public long Cut => Cuts.Sum(cut => cut.Sessions);
}

/// <summary>Sessions that one rule of one vNIC has cut.</summary>
/// <param name="VnicId">The vNIC.</param>
/// <param name="Direction">Egress for the end that opened the session.</param>
/// <param name="Reason">As in explanations; <see cref="PassTally.Gone"/> for a vNIC that is no more.</param>
/// <param name="Rule">"group/rule"; empty for other reasons.</param>
/// <param name="Sessions">How many.</param>
internal sealed record PassCut(string VnicId, Direction Direction, string Reason, string Rule, long Sessions);

/// <summary>Counts what a change has cut: sessions that the policy before allowed, and the one now does not.</summary>
/// <param name="before">The policy that the last complete pass judged by.</param>
/// <param name="now">The policy in force.</param>
internal sealed class PassTally(SessionJudge before, SessionJudge now)
{
    /// <summary>The vNIC is not in the policy any more, or not at this address.</summary>
    public const string Gone = "gone";

    private readonly Dictionary<(string Vnic, Direction Direction, string Reason, string Rule), long> cuts = [];

    public long Judged { get; private set; }

    /// <summary>The rules that cut something, most sessions first.</summary>
    public ImmutableArray<PassCut> Cuts =>
    [
        .. cuts.Select(pair => new PassCut(
                pair.Key.Vnic, pair.Key.Direction, pair.Key.Reason, pair.Key.Rule, pair.Value))
            .OrderByDescending(cut => cut.Sessions)
            .ThenBy(cut => cut.VnicId, StringComparer.Ordinal)
            .ThenBy(cut => cut.Rule, StringComparer.Ordinal),
    ];

    /// <summary>Judges one session by both policies. One that carries the live epoch was judged since.</summary>
    /// <returns>What has cut it; null if nothing did. <see cref="PassCut.Sessions"/> is 1.</returns>
    public PassCut? Add(TrackedSession session)
    {
        if (now.AgeOf(session) != SessionAge.Older)
        {
            return null;
        }

        // With two ends that still allow it, a session is not cut, whatever was before.
        JudgedSession? judged = now.Judge(session);
        bool goesOn = judged is { Fate: not SessionFate.Cut, Ends.Length: 2 };
        JudgedSession? was = goesOn ? null : before.Judge(session);
        Judged += judged is null && was is null ? 0 : 1;
        if (was is not { IsAllowed: true } || judged?.Fate == SessionFate.Unknown)
        {
            return null;
        }

        SessionEnd? gone = was.Ends.FirstOrDefault(
            end => judged is null || judged.Ends.All(one => one.Vnic.Id != end.Vnic.Id));
        return judged?.CutBy is { } end
            ? Count(end, end.Verdict is { } verdict ? Explainer.ReasonOf(verdict.Reason) : "",
                end.Verdict is { } rule ? Explainer.RuleOf(rule) : "")
            : gone is not null ? Count(gone, Gone, "") : null;
    }

    private PassCut Count(SessionEnd end, string reason, string rule)
    {
        (string Id, Direction Direction, string Reason, string Rule) key =
            (end.Vnic.Id, end.Direction, reason, rule);
        cuts[key] = cuts.GetValueOrDefault(key) + 1;
        return new PassCut(end.Vnic.Id, end.Direction, reason, rule, Sessions: 1);
    }
}
