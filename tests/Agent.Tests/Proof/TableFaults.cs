using Agent.Nftables;

namespace Agent.Tests.Proof;

/// <summary>One fault in a table: the faulty table, and what was done to it; null: not this time.</summary>
internal delegate (NftTable Table, string What)? TableFault(Random random, NftTable table);

/// <summary>What faults of rulesets and of guards are made of.</summary>
/// <param name="isLeftOut">Names of sets and chains in which none is seeded.</param>
internal sealed class TableFaults(Func<string, bool> isLeftOut)
{
    /// <returns>The faulty ruleset, and what was done to it.</returns>
    public static (Ruleset Ruleset, string What) Seed(
        Random random, Ruleset ruleset, NftFamily family, TableFault[] kinds)
    {
        NftTable table = ruleset.Tables.First(one => one.Family == family);
        while (true)
        {
            if (kinds[random.Next(kinds.Length)](random, table) is { } fault && fault.Table != table)
            {
                return (new Ruleset(ruleset.Tables
                    .Select(one => ReferenceEquals(one, table) ? fault.Table : one).ToValueArray()), fault.What);
            }
        }
    }

    /// <summary>In a set: rows that are made empty are gone.</summary>
    public (NftTable, string)? InSet(Random random, NftTable table, Func<NftSet, byte[][], string?> change)
    {
        NftSet[] sets = [.. table.Sets.Where(set => set.Elements.Count > 0 && !isLeftOut(set.Name))];
        if (sets.Length == 0)
        {
            return null;
        }

        NftSet set = sets[random.Next(sets.Length)];
        byte[][] rows = [.. Enumerable.Range(0, set.Elements.Count).Select(i => set.Elements[i].ToArray())];
        if (change(set, rows) is not string what)
        {
            return null;
        }

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

    public (NftTable, string)? DropElement(Random random, NftTable table) => InSet(random, table, (_, rows) =>
    {
        int row = random.Next(rows.Length);
        string text = Convert.ToHexString(rows[row]);
        rows[row] = [];
        return $"element {text} is gone";
    });

    public (NftTable, string)? InChain(
        Random random, NftTable table, Func<NftChain, List<NftRule>, string?> change)
    {
        NftChain[] chains = [.. table.Chains.Where(chain => chain.Rules.Count > 0 && !isLeftOut(chain.Name))];
        NftChain chain = chains[random.Next(chains.Length)];
        List<NftRule> rules = [.. chain.Rules];
        if (change(chain, rules) is not string what)
        {
            return null;
        }

        NftChain changed = chain with { Rules = rules.ToValueArray() };
        return (table with
        {
            Chains = table.Chains.Select(one => ReferenceEquals(one, chain) ? changed : one).ToValueArray(),
        }, $"{chain.Name}: {what}");
    }

    public (NftTable, string)? RemoveRule(Random random, NftTable table) => InChain(random, table, (_, rules) =>
    {
        int at = random.Next(rules.Count);
        rules.RemoveAt(at);
        return $"rule {at} is gone";
    });

    public (NftTable, string)? SwapRules(Random random, NftTable table) => InChain(random, table, (_, rules) =>
    {
        if (rules.Count < 2)
        {
            return null;
        }

        int at = random.Next(rules.Count - 1);
        (rules[at], rules[at + 1]) = (rules[at + 1], rules[at]);
        return $"rules {at} and {at + 1} have changed places";
    });

    /// <summary>At one expression of one rule.</summary>
    public (NftTable, string)? InRule(Random random, NftTable table, Func<List<NftExpr>, int, string?> change) =>
        InChain(random, table, (_, rules) =>
        {
            int at = random.Next(rules.Count);
            List<NftExpr> exprs = [.. rules[at].Exprs];
            string? what = change(exprs, random.Next(exprs.Count));
            rules[at] = rules[at] with { Exprs = exprs.ToValueArray() };
            return what is null ? null : $"rule {at}: {what}";
        });

    /// <summary>Takes an expression away, if it is one of those.</summary>
    public (NftTable, string)? RemoveExpression(Random random, NftTable table, Func<NftExpr, bool> may) =>
        InRule(random, table, (exprs, at) =>
        {
            NftExpr gone = exprs[at];
            if (!may(gone))
            {
                return null;
            }

            exprs.RemoveAt(at);
            return $"no {gone} any more";
        });

    /// <summary>Puts another expression in the place of one.</summary>
    public (NftTable, string)? ChangeExpression(Random random, NftTable table, Func<Random, NftExpr, NftExpr?> other) =>
        InRule(random, table, (exprs, at) =>
        {
            if (other(random, exprs[at]) is not NftExpr changed)
            {
                return null;
            }

            string text = $"{exprs[at]} is now {changed}";
            exprs[at] = changed;
            return text;
        });

    /// <summary>One bit of the data is another one.</summary>
    public static ValueArray<byte> Flipped(Random random, ValueArray<byte> data)
    {
        byte[] bytes = [.. data];
        bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        return bytes.ToValueArray();
    }

    /// <summary>Accept for drop, and the other way round.</summary>
    public static NftExpr Otherwise(Random random, NftExpr.VerdictIs verdict) => new NftExpr.VerdictIs(
        verdict.Verdict.Code == NftVerdictCode.Drop
            ? random.Next(2) == 0 ? NftVerdict.Accept : NftVerdict.Return : NftVerdict.Drop);
}
