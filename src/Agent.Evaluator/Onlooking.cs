using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>Rules that only report packets: whether or not they match, the packet goes on as it came.</summary>
/// <remarks>
/// They decide by what no proof follows, such as how many packets came before. Nothing of what they read or count is
/// read by anything else, and registers are dead behind a rule, so a judge may pass over them.
/// </remarks>
public static class Onlooking
{
    /// <summary>It logs, and besides that only loads, compares and counts.</summary>
    public static bool Is(NftRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        bool logs = false;
        foreach (NftExpr expr in rule.Exprs)
        {
            logs |= expr is NftExpr.Log;
            if (expr is not (NftExpr.Log or NftExpr.Counter or NftExpr.Limit or NftExpr.Meta or NftExpr.Payload
                or NftExpr.Ct or NftExpr.Cmp or NftExpr.Range or NftExpr.Bitwise or NftExpr.ByteOrder
                or NftExpr.Immediate or NftExpr.Lookup or NftExpr.LookupData))
            {
                return false;
            }
        }

        return logs;
    }

    /// <summary>The chain without them; itself if there are none.</summary>
    public static NftChain Without(NftChain chain)
    {
        ArgumentNullException.ThrowIfNull(chain);
        return !chain.Rules.Any(Is) ? chain : chain with
        {
            Rules = chain.Rules.Where(rule => !Is(rule)).ToValueArray(),
        };
    }

    /// <summary>
    /// The ruleset without them, without the rates that only they ask for, and without chains that would then only
    /// drop: who goes there drops. It does with every packet what the whole one does.
    /// </summary>
    public static Ruleset Without(Ruleset ruleset)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        return new Ruleset(ruleset.Tables.Select(Without).ToValueArray());
    }

    private static NftTable Without(NftTable table)
    {
        NftRule[] drop = [new NftRule([new NftExpr.VerdictIs(NftVerdict.Drop)])];
        NftChain[] chains = [.. table.Chains.Select(Without)];
        HashSet<string> ends = [.. chains
            .Where((chain, i) => chain.Hook is null && !ReferenceEquals(chain, table.Chains[i])
                && chain.Rules.SequenceEqual(drop))
            .Select(chain => chain.Name)];
        return table with
        {
            Chains = chains.Where(chain => !ends.Contains(chain.Name)).Select(chain => chain with
            {
                Rules = chain.Rules.Select(rule => Ending(rule, ends)).ToValueArray(),
            }).ToValueArray(),
            Sets = table.Sets.Where(set => set.Limit is null).ToValueArray(),
        };
    }

    private static NftRule Ending(NftRule rule, HashSet<string> ends) => rule.Exprs is not [..,
        NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto, Chain: string end } }] || !ends.Contains(end)
        ? rule : rule with
        {
            Exprs = rule.Exprs.SkipLast(1).Append(new NftExpr.VerdictIs(NftVerdict.Drop)).ToValueArray(),
        };
}
