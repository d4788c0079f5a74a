using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>
/// Rules that only look on: they report packets, or count them. Whether or not they match, the packet goes on as it
/// came.
/// </summary>
/// <remarks>
/// What reports may ask for what no proof follows, such as how many packets came before. Nothing of what they read or
/// count is read by anything else, and registers are dead behind a rule, so a judge may pass over them.
/// </remarks>
public static class Onlooking
{
    /// <summary>It logs, and besides that only looks on.</summary>
    public static bool Is(NftRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        return rule.Exprs.Any(expr => expr is NftExpr.Log) && OnlyLooks(rule);
    }

    /// <summary>The chain with nothing in place of rules that only look on: the others keep their places.</summary>
    public static NftChain Without(NftChain chain)
    {
        ArgumentNullException.ThrowIfNull(chain);
        return !chain.Rules.Any(OnlyLooks) ? chain : chain with
        {
            Rules = chain.Rules.Select(rule => OnlyLooks(rule) ? rule with { Exprs = [] } : rule).ToValueArray(),
        };
    }

    // A verdict, a mark, an object: all that is not named here may do something.
    private static bool OnlyLooks(NftRule rule) => rule.Exprs.Count > 0 && rule.Exprs.All(expr => expr
        is NftExpr.Log or NftExpr.Counter or NftExpr.Limit or NftExpr.Meta or NftExpr.Payload or NftExpr.Ct
        or NftExpr.Cmp or NftExpr.Range or NftExpr.Bitwise or NftExpr.ByteOrder or NftExpr.Immediate
        or NftExpr.Lookup or NftExpr.LookupData);

    /// <summary>
    /// The ruleset without them, without the sets that only they name, and without chains that would then only drop:
    /// who goes there drops. It does with every packet what the whole one does.
    /// </summary>
    public static Ruleset Without(Ruleset ruleset)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        return new Ruleset(ruleset.Tables.Select(Without).ToValueArray());
    }

    private static NftTable Without(NftTable table)
    {
        NftRule[] drop = [new NftRule([new NftExpr.VerdictIs(NftVerdict.Drop)])];
        NftChain[] chains = [.. table.Chains.Select(chain => !chain.Rules.Any(OnlyLooks) ? chain : chain with
        {
            Rules = chain.Rules.Where(rule => !OnlyLooks(rule)).ToValueArray(),
        })];
        HashSet<string> forLooks = SetsIn(table.Chains);
        forLooks.ExceptWith(SetsIn(chains));
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
            Sets = table.Sets.Where(set => !forLooks.Contains(set.Name)).ToValueArray(),
        };
    }

    private static HashSet<string> SetsIn(IEnumerable<NftChain> chains) => [.. chains
        .SelectMany(chain => chain.Rules).SelectMany(rule => rule.Exprs)
        .Select(Proof.ProgramNodes.SetIn).OfType<string>()];

    private static NftRule Ending(NftRule rule, HashSet<string> ends) => rule.Exprs is not [..,
        NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto, Chain: string end } }] || !ends.Contains(end)
        ? rule : rule with
        {
            Exprs = rule.Exprs.SkipLast(1).Append(new NftExpr.VerdictIs(NftVerdict.Drop)).ToValueArray(),
        };
}
