using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <content>Where packets end: reported if there is somebody to tell, counted by interface, dropped.</content>
internal sealed partial class Datapath
{
    /// <summary>Drops packets to an interface that is counted there.</summary>
    private IEnumerable<NftRule> CountedTo(
        string reason, string comment, params IReadOnlyList<IEnumerable<NftExpr>> where)
    {
        bool judged = reason != DropReason.Stale;
        foreach (NftRule report in Reported(new RecordPrefix(From: false, reason, judged), [.. where]))
        {
            yield return report;
        }

        yield return Exprs.CommentedRule(
            comment, [.. where, DropCounters.Count(from: false, reason), Exprs.Drop()]);
    }

    private IEnumerable<NftRule> Reported(RecordPrefix prefix, params ReadOnlySpan<IEnumerable<NftExpr>> where) =>
        log is null ? [] : [log.Rule(prefix, incoming: prefix.From, where)];

    // A class that no rule speaks of is decided where it is looked up, like one that a rule drops.
    private NftRule[] NoRule(string otherwise, bool from) => [Exprs.Rule(
        Exprs.MarkIs(Decision.Of(Verdict.Drop, 0)), Exprs.Goto(otherwise)), .. RuleHits.Dropped(from, settings)];

    private IEnumerable<NftChain> DropChains()
    {
        foreach (bool from in (bool[])[true, false])
        {
            Func<string, string> drop = from ? DropFrom : DropTo;
            foreach (string reason in from ? DropReason.From : DropReason.To)
            {
                yield return Regular(drop(reason),
                [
                    .. reason == DropReason.Rule ? NoRule(drop(DropReason.Default), from)
                        : Array.Empty<NftRule>(),
                    .. Reported(new RecordPrefix(from, reason)),
                    Exprs.Rule(DropCounters.Count(from, reason), Exprs.Drop()),
                    Exprs.Rule(Exprs.Drop()),
                ]);
            }

            var closed = new RecordPrefix(from, DropReason.Closed);
            yield return Regular(drop(DropReason.Closed),
            [
                .. Reported(closed),
                .. log is null ? Array.Empty<NftRule>() : [log.Unnamed(closed, incoming: from)],
                Exprs.Rule(Exprs.CountIn(ClosedCounter(from)), Exprs.Drop()),
            ]);
        }
    }
}
