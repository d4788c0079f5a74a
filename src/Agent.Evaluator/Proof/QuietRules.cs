using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Rules that look and do nothing: they load, compare, look up, count. Whatever they find, the packet goes on with the
/// next rule as it came. A proof need not ask what they read, such as the mark of a decision.
/// </summary>
internal static class QuietRules
{
    /// <summary>The chain with nothing in place of such rules: the others keep their places.</summary>
    public static NftChain Without(NftChain chain) => !chain.Rules.Any(IsQuiet) ? chain : chain with
    {
        Rules = chain.Rules.Select(rule => IsQuiet(rule) ? rule with { Exprs = [] } : rule).ToValueArray(),
    };

    // A verdict, a mark, a log, an object: all that is not named here may do something.
    private static bool IsQuiet(NftRule rule) => rule.Exprs.Count > 0 && rule.Exprs.All(expr => expr is NftExpr.Meta
        or NftExpr.Ct or NftExpr.Payload or NftExpr.Bitwise or NftExpr.ByteOrder or NftExpr.Cmp or NftExpr.Range
        or NftExpr.Immediate or NftExpr.Lookup or NftExpr.Counter);
}
