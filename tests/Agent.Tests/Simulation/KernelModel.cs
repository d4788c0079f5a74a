using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>What nf_tables does with a transaction, as far as our operations go: strict, and all or nothing.</summary>
/// <remarks>
/// Stricter than the kernel in one place: what exists may not be added again, save a table. A plan that does so has
/// lost track.
/// </remarks>
internal sealed class KernelModel
{
    private readonly Dictionary<(NftFamily Family, string Name), Table> tables;

    public KernelModel() => tables = [];

    private KernelModel(Dictionary<(NftFamily Family, string Name), Table> tables) => this.tables = tables;

    /// <summary>The ruleset in canonical order.</summary>
    public Ruleset Ruleset =>
        new(tables.OrderBy(pair => pair.Key.Family).ThenBy(pair => pair.Key.Name, StringComparer.Ordinal)
        .Select(pair => pair.Value.ToValue(pair.Key.Family, pair.Key.Name)).ToValueArray());

    /// <summary>Applies all operations, or none.</summary>
    /// <returns>Null, or the index of the refused operation and why.</returns>
    public (int Index, string Why)? Apply(IReadOnlyList<NftOp> ops)
    {
        var copy = new KernelModel(tables.ToDictionary(pair => pair.Key, pair => pair.Value.Copy()));
        for (int i = 0; i < ops.Count; i++)
        {
            if (copy.Apply(ops[i]) is { } why)
            {
                return (i, $"{ops[i]}: {why}");
            }
        }

        tables.Clear();
        foreach ((var key, Table table) in copy.tables)
        {
            tables.Add(key, table);
        }

        return null;
    }

    private string? Apply(NftOp op)
    {
        var key = (op.Family, op.Table);
        switch (op)
        {
            case NftOp.AddTable:
                tables.TryAdd(key, new Table());
                return null;
            case NftOp.DeleteTable: return tables.Remove(key) ? null : "no such table";
        }

        return tables.TryGetValue(key, out Table? table) ? table.Apply(op) : "no such table";
    }

    private sealed class Table
    {
        private readonly Dictionary<string, (BaseHook? Hook, List<NftRule> Rules)> chains = [];
        private readonly Dictionary<string, NftSet> sets = [];
        private readonly Dictionary<string, NftObject> objects = [];

        public Table Copy()
        {
            var copy = new Table();
            foreach ((string name, (BaseHook? hook, List<NftRule> rules)) in chains)
            {
                copy.chains.Add(name, (hook, [.. rules]));
            }

            foreach ((string name, NftSet set) in sets)
            {
                copy.sets.Add(name, set);
            }

            foreach ((string name, NftObject item) in objects)
            {
                copy.objects.Add(name, item);
            }

            return copy;
        }

        public NftTable ToValue(NftFamily family, string name) => new(family, name,
            chains.OrderBy(pair => pair.Key, StringComparer.Ordinal)
                .Select(pair => new NftChain(pair.Key, pair.Value.Hook, pair.Value.Rules.ToValueArray()))
                .ToValueArray(),
            sets.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => pair.Value).ToValueArray(),
            objects.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => pair.Value).ToValueArray());

        public string? Apply(NftOp op) => op switch
        {
            NftOp.AddChain add => chains.TryAdd(add.Chain, (add.Hook, [])) ? null : "exists",
            NftOp.DeleteChain delete => DeleteChain(delete.Chain),
            NftOp.FlushChain flush => Flush(flush.Chain),
            NftOp.AddRule add => AddRule(add),
            NftOp.AddSet add => sets.TryAdd(add.Set.Name, Emptied(add.Set)) ? null : "exists",
            NftOp.DeleteSet delete =>
                IsUsed(delete.Set) ? "set is in use" : sets.Remove(delete.Set) ? null : "no such set",
            NftOp.AddElements add => AddElements(add),
            NftOp.DeleteElements delete => DeleteElements(delete),
            NftOp.AddObject add => objects.TryAdd(add.Object.Name, add.Object) ? null : "exists",
            NftOp.DeleteObject delete => IsUsed(delete.Object.Name) ? "object is in use"
                : objects.Remove(delete.Object.Name) ? null : "no such object",
            _ => "unknown operation",
        };

        private static NftSet Emptied(NftSet set) => set with { Elements = NftElements.Empty(set.RowBytes) };

        private string? DeleteChain(string name) =>
            !chains.TryGetValue(name, out (BaseHook? Hook, List<NftRule> Rules) chain) ? "no such chain"
            : chain.Rules.Count > 0 ? "chain has rules"
            : IsUsed(name) ? "chain is in use"
            : chains.Remove(name) ? null : "";

        private string? Flush(string name)
        {
            if (!chains.TryGetValue(name, out (BaseHook? Hook, List<NftRule> Rules) chain))
            {
                return "no such chain";
            }

            chain.Rules.Clear();
            return null;
        }

        private string? AddRule(NftOp.AddRule add)
        {
            if (!chains.TryGetValue(add.Chain, out (BaseHook? Hook, List<NftRule> Rules) chain))
            {
                return "no such chain";
            }

            if (add.Rule.Exprs.SelectMany(Names).FirstOrDefault(name => !Exists(name)) is { } missing)
            {
                return $"names {missing}, which is not there";
            }

            chain.Rules.Add(add.Rule);
            return null;
        }

        private string? AddElements(NftOp.AddElements add)
        {
            if (!sets.TryGetValue(add.Set.Name, out NftSet? set) || Emptied(set) != Emptied(add.Set))
            {
                return "no such set";
            }

            string? missing = Rows(add.Elements).SelectMany(row => Names(set, row))
                .FirstOrDefault(name => !Exists(name));
            if (missing is not null)
            {
                return $"names {missing}, which is not there";
            }

            byte[][] rows = [.. Rows(set.Elements), .. Rows(add.Elements)];
            NftSet after = set with { Elements = Build(set, rows) };
            sets[set.Name] = after;
            return Clash(set, rows);
        }

        private string? DeleteElements(NftOp.DeleteElements delete)
        {
            if (!sets.TryGetValue(delete.Set.Name, out NftSet? set))
            {
                return "no such set";
            }

            HashSet<string> gone = [.. Rows(delete.Elements).Select(Convert.ToHexString)];
            byte[][] rest = [.. Rows(set.Elements).Where(row => !gone.Contains(Convert.ToHexString(row)))];
            if (rest.Length + gone.Count != set.Elements.Count)
            {
                return "no such element";
            }

            sets[set.Name] = set with { Elements = Build(set, rest) };
            return null;
        }

        /// <summary>Equal keys; or, of one-field intervals, overlapping ones.</summary>
        private static string? Clash(NftSet set, byte[][] rows)
        {
            int key = set.KeyBytes;
            byte[][] sorted = [.. rows.OrderBy(row => Convert.ToHexString(row), StringComparer.Ordinal)];
            for (int i = 1; i < sorted.Length; i++)
            {
                ReadOnlySpan<byte> before = sorted[i - 1];
                ReadOnlySpan<byte> row = sorted[i];
                bool clash = !set.Interval ? before[..key].SequenceEqual(row[..key])
                    : set.Key.Count == 1 ? before[key..(2 * key)].SequenceCompareTo(row[..key]) >= 0
                    : before[..(2 * key)].SequenceEqual(row[..(2 * key)]);
                if (clash)
                {
                    return $"element {Convert.ToHexString(row)} clashes";
                }
            }

            return null;
        }

        private static NftElements Build(NftSet set, byte[][] rows)
        {
            var builder = new NftElements.Builder(set.RowBytes);
            foreach (byte[] row in rows)
            {
                builder.Add(row);
            }

            return builder.Build();
        }

        private bool Exists(string name) =>
            chains.ContainsKey(name) || sets.ContainsKey(name) || objects.ContainsKey(name);

        private bool IsUsed(string name) =>
            chains.Values.Any(chain => chain.Rules.Any(rule => rule.Exprs.SelectMany(Names).Contains(name)))
            || sets.Values.Any(set => Rows(set.Elements).SelectMany(row => Names(set, row)).Contains(name));

        private static IEnumerable<byte[]> Rows(NftElements elements)
        {
            for (int i = 0; i < elements.Count; i++)
            {
                yield return elements[i].ToArray();
            }
        }

        private static IEnumerable<string> Names(NftExpr expr) => expr switch
        {
            NftExpr.VerdictIs { Verdict.Chain: string chain } => [chain],
            NftExpr.Lookup lookup => [lookup.Set],
            NftExpr.LookupData lookup => [lookup.Map],
            NftExpr.LookupVerdict lookup => [lookup.Map],
            NftExpr.ObjectRef reference => [reference.Name],
            NftExpr.ObjectMap map => [map.Map],
            _ => [],
        };

        private static IEnumerable<string> Names(NftSet set, byte[] row)
        {
            ReadOnlySpan<byte> data = row.AsSpan(row.Length - NftElements.DataLength(set.Kind));
            return set.Kind switch
            {
                NftSetKind.VerdictMap => NftElements.GetVerdict(data).Chain is string chain ? [chain] : [],
                NftSetKind.CounterMap => [NftElements.GetName(data)],
                _ => [],
            };
        }
    }
}
