using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>Rules that only report packets: whether or not they match, the packet goes on as it came.</summary>
/// <remarks>
/// They decide by what no proof follows, such as how many packets came before. Nothing of what they read or count is
/// read by anything else, and registers are dead behind a rule, so a judge may pass over them.
/// </remarks>
internal static class Onlooking
{
    /// <summary>It logs, and besides that only loads, compares and counts.</summary>
    public static bool Is(NftRule rule)
    {
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
    public static NftChain Without(NftChain chain) => !chain.Rules.Any(Is) ? chain : chain with
    {
        Rules = chain.Rules.Where(rule => !Is(rule)).ToValueArray(),
    };
}
