using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>
/// A rule that looks the packet mark up, writes what it finds, and then does no more than to go to a chain.
/// </summary>
/// <param name="Map">Where it looks.</param>
/// <param name="Target">The chain that it goes to if it found something; null: to the next rule.</param>
internal sealed record MarkMap(SetNode Map, string? Target)
{
    public static MarkMap? Of(NftRule rule, IReadOnlyDictionary<string, SetNode?> sets)
    {
        ValueArray<NftExpr> exprs = rule.Exprs;
        if (exprs.Count is < 3 or > 4
            || exprs[0] is not NftExpr.Meta { Key: NftMetaKey.Mark } load
            || exprs[1] is not NftExpr.LookupData look || look.Sreg != load.Dreg
            || exprs[2] is not NftExpr.MetaSet { Key: NftMetaKey.Mark } store || store.Sreg != look.Dreg
            || sets.GetValueOrDefault(look.Map) is not { IsMarkMap: true } map)
        {
            return null;
        }

        return exprs.Count == 3 ? new MarkMap(map, Target: null)
            : exprs[3] is NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto, Chain: string target } }
                ? new MarkMap(map, target) : null;
    }
}
