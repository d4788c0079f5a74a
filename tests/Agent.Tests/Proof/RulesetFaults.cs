using Agent.Nftables;
using static Agent.Tests.Proof.TableFaults;

namespace Agent.Tests.Proof;

/// <summary>Seeds one fault into a ruleset, anywhere in one of its tables.</summary>
internal static class RulesetFaults
{
    private static readonly TableFaults In = new(IsForCounting);

    private static readonly TableFault[] Kinds =
    [
        In.DropElement, ChangeKey, ChangeData, SwapDecision, In.RemoveRule, In.SwapRules, RemoveExpression,
        ChangeExpression, ChangeExpression, Retarget,
    ];

    /// <returns>The faulty ruleset, and what was done to it.</returns>
    public static (Ruleset Ruleset, string What) Seed(
        Random random, Ruleset ruleset, NftFamily family = NftFamily.Inet) =>
        TableFaults.Seed(random, ruleset, family, Kinds);

    // Two rules that both drop, of which the first counts: most faults there change nothing.
    private static bool IsForCounting(string name) =>
        name.StartsWith("n_drop_", StringComparison.Ordinal) || name.StartsWith("drop_", StringComparison.Ordinal)
        || name.StartsWith("times_", StringComparison.Ordinal);

    // One bit of a key or of a bound: a port is shifted, a prefix widened or narrowed, a device renamed.
    private static (NftTable, string)? ChangeKey(Random random, NftTable table) =>
        In.InSet(random, table, (set, rows) =>
        {
            byte[] row = rows[random.Next(rows.Length)];
            string text = Convert.ToHexString(row);
            int at = random.Next(set.KeyBytes * (set.Interval ? 2 : 1));
            row[at] ^= (byte)(1 << random.Next(8));
            int key = set.KeyBytes;
            if (set.Interval && set.Key.Count == 1 && row.AsSpan(0, key).SequenceCompareTo(row.AsSpan(key, key)) > 0)
            {
                return null; // it ends before it begins: the kernel shows it as another one
            }

            return $"key of {text} is now {Convert.ToHexString(row)}";
        });

    private static (NftTable, string)? ChangeData(Random random, NftTable table) =>
        In.InSet(random, table, (set, rows) =>
        {
            int length = NftElements.DataLength(set.Kind);
            if (length == 0 || rows.Length < 2)
            {
                return null;
            }

            byte[] one = rows[random.Next(rows.Length)];
            byte[] other = rows[random.Next(rows.Length)];
            string text = Convert.ToHexString(one);
            other.AsSpan(other.Length - length).CopyTo(one.AsSpan(one.Length - length));
            return $"data of {text} is now that of {Convert.ToHexString(other)}";
        });

    // The two bits of Decision that say accept and drop.
    private static (NftTable, string)? SwapDecision(Random random, NftTable table) =>
        In.InSet(random, table, (set, rows) =>
        {
            byte[] row = rows[random.Next(rows.Length)];
            if (set.Kind != NftSetKind.MarkMap || (row[^1] & 0xf0) is not (0x10 or 0x20))
            {
                return null;
            }

            string text = Convert.ToHexString(row);
            row[^1] ^= 0x30;
            return $"decision of {text} is the other one";
        });

    // A load that nothing tests, or a test that nothing loads, is what a kernel would refuse.
    private static (NftTable, string)? RemoveExpression(Random random, NftTable table) =>
        In.RemoveExpression(random, table, gone => gone is NftExpr.Cmp or NftExpr.Bitwise or NftExpr.VerdictIs
            or NftExpr.MetaSet or NftExpr.CtSet or NftExpr.ObjectRef or NftExpr.ConnLimit);

    private static (NftTable, string)? ChangeExpression(Random random, NftTable table) =>
        In.ChangeExpression(random, table, Changed);

    private static NftExpr? Changed(Random random, NftExpr expr) => expr switch
    {
        NftExpr.Cmp e => random.Next(3) == 0
            ? e with { Op = e.Op == NftCmpOp.Eq ? NftCmpOp.Neq : NftCmpOp.Eq }
            : e with { Data = Flipped(random, e.Data) },
        NftExpr.Bitwise e => random.Next(2) == 0
            ? e with { Mask = Flipped(random, e.Mask) } : e with { Xor = Flipped(random, e.Xor) },
        NftExpr.Immediate e => e with { Data = Flipped(random, e.Data) },
        NftExpr.Lookup e => e with { Negated = !e.Negated },
        NftExpr.ConnLimit e => e with { Over = !e.Over },
        NftExpr.Meta { Key: NftMetaKey.IifName } e => e with { Key = NftMetaKey.OifName },
        NftExpr.Meta { Key: NftMetaKey.OifName } e => e with { Key = NftMetaKey.IifName },
        NftExpr.Payload { Base: NftPayloadBase.Transport, Length: 2 } e => e with { Offset = 2 - e.Offset },
        NftExpr.Payload { Base: NftPayloadBase.Network, Length: 4 } e => e with { Offset = 28 - e.Offset },
        NftExpr.Payload { Base: NftPayloadBase.Network, Length: 16 } e => e with { Offset = 32 - e.Offset },
        NftExpr.VerdictIs { Verdict.Chain: null } e => Otherwise(random, e),
        _ => null,
    };

    // Only forwards in the order of names, or the chains would lead in circles, which no kernel loads.
    private static (NftTable, string)? Retarget(Random random, NftTable table) =>
        In.InChain(random, table, (chain, rules) =>
        {
            int at = random.Next(rules.Count);
            List<NftExpr> exprs = [.. rules[at].Exprs];
            if (exprs.Count == 0 || exprs[^1] is not NftExpr.VerdictIs { Verdict: { Chain: string } verdict })
            {
                return null;
            }

            string[] drops = [.. table.Chains.Select(one => one.Name).Where(name => name != chain.Name
                && (name.StartsWith("drop_", StringComparison.Ordinal) || name is "stamp" or "admit"))];
            if (drops.Length == 0 || chain.Name is "stamp" or "admit")
            {
                return null;
            }

            NftVerdict other = verdict with { Chain = drops[random.Next(drops.Length)] };
            exprs[^1] = new NftExpr.VerdictIs(other);
            rules[at] = rules[at] with { Exprs = exprs.ToValueArray() };
            return $"rule {at} leads to {other.Chain} and not to {verdict.Chain}";
        });
}
