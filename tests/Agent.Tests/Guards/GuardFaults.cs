using Agent.Nftables;

namespace Agent.Tests.Guards;

/// <summary>Seeds one fault into the guards of a ruleset.</summary>
internal static class GuardFaults
{
    private static readonly Func<Random, NftTable, (NftTable, string)?>[] Kinds =
    [
        ChangeElement, RemoveElement, RemoveRule, SwapRules, RemoveExpression, ChangeExpression, ChangeExpression,
        ChangeExpression, Retarget,
    ];

    /// <returns>The faulty ruleset, and what was done to it.</returns>
    public static (Ruleset Ruleset, string What) Seed(Random random, Ruleset ruleset)
    {
        NftTable table = ruleset.Tables.First(one => one.Family == NftFamily.Netdev);
        while (true)
        {
            if (Kinds[random.Next(Kinds.Length)](random, table) is { } fault && fault.Item1 != table)
            {
                return (new Ruleset(ruleset.Tables
                    .Select(one => ReferenceEquals(one, table) ? fault.Item1 : one).ToValueArray()), fault.Item2);
            }
        }
    }

    private static (NftTable, string)? InSet(Random random, NftTable table, Func<byte[][], string> change)
    {
        NftSet[] sets = [.. table.Sets.Where(set => set.Elements.Count > 0)];
        NftSet set = sets[random.Next(sets.Length)];
        byte[][] rows = [.. Enumerable.Range(0, set.Elements.Count).Select(i => set.Elements[i].ToArray())];
        string what = change(rows);
        var builder = new NftElements.Builder(set.Elements.RowBytes);
        foreach (byte[] row in rows.Where(row => row.Length > 0))
        {
            builder.Add(row);
        }

        NftSet changed = set with { Elements = builder.Build() };
        return (table with
        {
            Sets = table.Sets.Select(one => ReferenceEquals(one, set) ? changed : one).ToValueArray(),
        }, $"{set.Name}: {what}");
    }

    private static (NftTable, string)? ChangeElement(Random random, NftTable table) => InSet(random, table, rows =>
    {
        byte[] row = rows[random.Next(rows.Length)];
        string text = Convert.ToHexString(row);
        row[random.Next(row.Length)] ^= (byte)(1 << random.Next(8));
        return $"{text} is now {Convert.ToHexString(row)}";
    });

    private static (NftTable, string)? RemoveElement(Random random, NftTable table) => InSet(random, table, rows =>
    {
        int at = random.Next(rows.Length);
        string text = Convert.ToHexString(rows[at]);
        rows[at] = [];
        return $"{text} is gone";
    });

    private static (NftTable, string)? InChain(
        Random random, NftTable table, Func<NftChain, List<NftRule>, string?> change)
    {
        NftChain chain = table.Chains[random.Next(table.Chains.Count)];
        List<NftRule> rules = [.. chain.Rules];
        return change(chain, rules) is not string what ? null : (table with
        {
            Chains = table.Chains.Select(one => ReferenceEquals(one, chain)
                ? chain with { Rules = rules.ToValueArray() } : one).ToValueArray(),
        }, $"{chain.Name}: {what}");
    }

    private static (NftTable, string)? RemoveRule(Random random, NftTable table) =>
        InChain(random, table, (_, rules) =>
        {
            int at = random.Next(rules.Count);
            rules.RemoveAt(at);
            return $"rule {at} is gone";
        });

    private static (NftTable, string)? SwapRules(Random random, NftTable table) =>
        InChain(random, table, (_, rules) =>
        {
            if (rules.Count < 2)
            {
                return null;
            }

            int at = random.Next(rules.Count - 1);
            (rules[at], rules[at + 1]) = (rules[at + 1], rules[at]);
            return $"rules {at} and {at + 1} have changed places";
        });

    // A load that nothing tests is what a kernel takes too; a test of nothing that was loaded it refuses.
    private static (NftTable, string)? RemoveExpression(Random random, NftTable table) =>
        InRule(random, table, (exprs, at) =>
        {
            NftExpr gone = exprs[at];
            if (gone is not (NftExpr.Cmp or NftExpr.Bitwise or NftExpr.VerdictIs or NftExpr.ObjectRef or NftExpr.Lookup
                or NftExpr.Range))
            {
                return null;
            }

            exprs.RemoveAt(at);
            return $"no {gone} any more";
        });

    private static (NftTable, string)? ChangeExpression(Random random, NftTable table) =>
        InRule(random, table, (exprs, at) =>
        {
            if (Changed(random, exprs[at]) is not NftExpr changed)
            {
                return null;
            }

            string text = $"{exprs[at]} is now {changed}";
            exprs[at] = changed;
            return text;
        });

    private static (NftTable, string)? InRule(
        Random random, NftTable table, Func<List<NftExpr>, int, string?> change) =>
        InChain(random, table, (_, rules) =>
        {
            int at = random.Next(rules.Count);
            List<NftExpr> exprs = [.. rules[at].Exprs];
            string? what = change(exprs, random.Next(exprs.Count));
            rules[at] = rules[at] with { Exprs = exprs.ToValueArray() };
            return what is null ? null : $"rule {at}: {what}";
        });

    private static NftExpr? Changed(Random random, NftExpr expr) => expr switch
    {
        NftExpr.Cmp e => random.Next(4) == 0
            ? e with { Op = e.Op == NftCmpOp.Eq ? NftCmpOp.Neq : NftCmpOp.Eq }
            : e with { Data = Flipped(random, e.Data) },
        NftExpr.Range e => random.Next(2) == 0
            ? e with { From = Flipped(random, e.From) } : e with { To = Flipped(random, e.To) },
        NftExpr.Bitwise e => random.Next(2) == 0
            ? e with { Mask = Flipped(random, e.Mask) } : e with { Xor = Flipped(random, e.Xor) },
        NftExpr.Lookup e => e with { Negated = !e.Negated },
        NftExpr.Payload { Offset: >= 2 } e => e with { Offset = e.Offset - (uint)random.Next(1, 3) },
        NftExpr.Payload e => e with { Offset = e.Offset + (uint)random.Next(1, 3) },
        NftExpr.Meta { Key: NftMetaKey.L4Proto } e => e with { Key = NftMetaKey.NfProto },
        NftExpr.VerdictIs { Verdict.Chain: null } e => new NftExpr.VerdictIs(
            e.Verdict.Code == NftVerdictCode.Drop
                ? random.Next(2) == 0 ? NftVerdict.Accept : NftVerdict.Return : NftVerdict.Drop),
        _ => null,
    };

    private static ValueArray<byte> Flipped(Random random, ValueArray<byte> data)
    {
        byte[] bytes = [.. data];
        bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        return bytes.ToValueArray();
    }

    // To another counter, or another chain of the same guard: forwards only, or they lead in circles.
    private static (NftTable, string)? Retarget(Random random, NftTable table) =>
        InRule(random, table, (exprs, at) =>
        {
            switch (exprs[at])
            {
                case NftExpr.ObjectRef e:
                    exprs[at] = e with { Name = table.Objects[random.Next(table.Objects.Count)].Name };
                    return $"counts in {exprs[at]}";
                case NftExpr.VerdictIs { Verdict: { Code: NftVerdictCode.Goto } verdict }:
                    NftVerdict other = verdict with { Code = NftVerdictCode.Jump };
                    exprs[at] = new NftExpr.VerdictIs(other);
                    return $"jumps to {other.Chain}";
                default:
                    return null;
            }
        });
}
