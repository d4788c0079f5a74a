using System.Collections.Immutable;
using Agent.Netlink;
using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>
/// What nf_tables does with a transaction, as far as our operations go: all or nothing, every fault named.
/// <see cref="KernelContract"/> holds it against the real one.
/// </summary>
/// <remarks>
/// Left out: whether an expression's registers and types fit, loops of jumps, and limits of memory. What refers to a
/// name is looked for over the whole table where the kernel counts uses; the answers are the same.
/// </remarks>
internal sealed class KernelModel
{
    private readonly SortedDictionary<(NftFamily Family, string Name), KernelTable> tables;
    private Ruleset? ruleset;

    public KernelModel() => tables = new(Comparer<(NftFamily Family, string Name)>.Create(Compare));

    private KernelModel(KernelModel other)
    {
        tables = new(other.tables, other.tables.Comparer);
        IsStrict = other.IsStrict;
    }

    /// <summary>
    /// Refuses what the kernel would take as done already: adding what exists, save a table, and deleting a chain that
    /// has rules. A plan that does so has lost track.
    /// </summary>
    public bool IsStrict { get; init; } = true;

    /// <summary>The ruleset in canonical order.</summary>
    public Ruleset Ruleset => ruleset ??= new Ruleset(
        tables.Select(pair => pair.Value.ToValue(pair.Key.Family, pair.Key.Name)).ToValueArray());

    /// <summary>Applies all operations, or none.</summary>
    /// <returns>Null, or the index of the first refused operation and why.</returns>
    public (int Index, string Why)? Apply(IReadOnlyList<NftOp> ops) =>
        Commit(ops, out _) is [var first, ..] ? (first.OpIndex, $"{ops[first.OpIndex]}: {first.Error}") : null;

    /// <summary>Applies all operations, or none.</summary>
    /// <param name="ops">In this order.</param>
    /// <param name="changes">Something was to be done, so the generation moves.</param>
    /// <returns>Every refused operation: those that follow one are tried all the same.</returns>
    public IReadOnlyList<OpRefusal> Commit(IReadOnlyList<NftOp> ops, out bool changes)
    {
        var next = new KernelModel(this);
        var touched = new HashSet<(NftFamily, string)>();
        var refusals = new List<OpRefusal>();
        changes = false;
        for (int i = 0; i < ops.Count; i++)
        {
            if (next.Apply(ops[i], touched, ref changes) is { } fault)
            {
                refusals.Add(new OpRefusal(i, new KernelError(fault.Errno, fault.Why)));
            }
        }

        if (refusals.Count == 0)
        {
            Take(next);
        }

        return refusals;
    }

    /// <summary>Makes a table dormant, or wakes it up, as its owner or any root program may.</summary>
    public void SetDormant(NftFamily family, string name, bool dormant)
    {
        if (tables.TryGetValue((family, name), out KernelTable? table))
        {
            tables[(family, name)] = table.Copy();
            tables[(family, name)].IsDormant = dormant;
            ruleset = null;
        }
    }

    /// <summary>
    /// A device goes, or gets another name: chains of kernels without hooks by name go with it, or follow. Nobody is
    /// told, and the generation stays.
    /// </summary>
    public void MoveDevice(string device, string? newName)
    {
        foreach (var key in tables.Keys.Where(key => key.Family == NftFamily.Netdev).ToArray())
        {
            tables[key] = tables[key].Copy();
            tables[key].MoveDevice(device, newName);
        }

        ruleset = null;
    }

    private static int Compare((NftFamily Family, string Name) a, (NftFamily Family, string Name) b) =>
        a.Family != b.Family ? a.Family.CompareTo(b.Family) : string.CompareOrdinal(a.Name, b.Name);

    private void Take(KernelModel next)
    {
        tables.Clear();
        foreach ((var key, KernelTable table) in next.tables)
        {
            tables.Add(key, table);
        }

        ruleset = null;
    }

    private KernelFault? Apply(NftOp op, HashSet<(NftFamily, string)> touched, ref bool changes)
    {
        var key = (op.Family, op.Table);
        bool exists = tables.TryGetValue(key, out KernelTable? table);
        switch (op)
        {
            case NftOp.AddTable:
                changes |= table is null or { IsDormant: true };
                if (table is null)
                {
                    tables[key] = new KernelTable { IsStrict = IsStrict };
                    touched.Add(key);
                }
                else if (table.IsDormant)
                {
                    table = Touched(key, table, touched);
                    table.IsDormant = false;
                }

                return null;
            case NftOp.DeleteTable:
                changes = true;
                touched.Remove(key);
                return tables.Remove(key) ? null : new KernelFault(KernelError.Enoent, "no such table");
        }

        changes = true;
        return exists ? Touched(key, table!, touched).Apply(op)
            : new KernelFault(KernelError.Enoent, "no such table");
    }

    private KernelTable Touched((NftFamily, string) key, KernelTable table, HashSet<(NftFamily, string)> touched)
    {
        if (touched.Add(key))
        {
            tables[key] = table = table.Copy();
        }

        return table;
    }
}

/// <summary>Why an operation is refused.</summary>
internal sealed record KernelFault(int Errno, string Why);

/// <summary>One table of it.</summary>
internal sealed class KernelTable
{
    private const int Einval = 22;
    private const int Enfile = 23;
    private const int Eopnotsupp = 95;

    private Dictionary<string, (BaseHook? Hook, ImmutableArray<NftRule> Rules)> chains = [];
    private Dictionary<string, NftSet> sets = [];
    private Dictionary<string, NftObject> objects = [];

    public bool IsStrict { get; init; }

    public bool IsDormant { get; set; }

    public KernelTable Copy() => new()
    {
        IsStrict = IsStrict,
        IsDormant = IsDormant,
        chains = new(chains),
        sets = new(sets),
        objects = new(objects),
    };

    public NftTable ToValue(NftFamily family, string name) => new(family, name,
        chains.OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .Select(pair => new NftChain(pair.Key, pair.Value.Hook, new ValueArray<NftRule>(pair.Value.Rules)))
            .ToValueArray(),
        sets.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => pair.Value).ToValueArray(),
        objects.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => pair.Value).ToValueArray())
    {
        Dormant = IsDormant,
    };

    public void MoveDevice(string device, string? newName)
    {
        foreach ((string name, (BaseHook? hook, ImmutableArray<NftRule> rules)) in chains.ToArray())
        {
            if (hook?.Device == device)
            {
                _ = newName is null ? chains.Remove(name) : chains.Remove(name) && chains.TryAdd(
                    name, (hook with { Device = newName }, rules));
            }
        }
    }

    public KernelFault? Apply(NftOp op) => op switch
    {
        NftOp.AddChain add => AddChain(add),
        NftOp.DeleteChain delete => DeleteChain(delete.Chain),
        NftOp.FlushChain flush => Flush(flush.Chain),
        NftOp.AddRule add => AddRule(add),
        NftOp.AddSet add => AddSet(add.Set),
        NftOp.DeleteSet delete => !sets.ContainsKey(delete.Set) ? Missing("set")
            : Uses(NameKind.Set, delete.Set) ? Busy("set") : Done(sets.Remove(delete.Set)),
        NftOp.AddElements add => AddElements(add),
        NftOp.DeleteElements delete => DeleteElements(delete),
        NftOp.AddObject add => AddObject(add.Object),
        NftOp.DeleteObject delete => !objects.ContainsKey(delete.Object.Name) ? Missing("object")
            : Uses(NameKind.Object, delete.Object.Name) ? Busy("object") : Done(objects.Remove(delete.Object.Name)),
        _ => throw new ArgumentOutOfRangeException(nameof(op), op, "unknown operation"),
    };

    private static KernelFault Missing(string what) => new(KernelError.Enoent, $"no such {what}");

    private static KernelFault Busy(string what) => new(KernelError.Ebusy, $"{what} is in use");

    private static KernelFault? Done(bool _) => null;

    private KernelFault? Exists() => IsStrict ? new KernelFault(KernelError.Eexist, "exists") : null;

    private KernelFault? AddChain(NftOp.AddChain add)
    {
        if (!chains.TryGetValue(add.Chain, out var known))
        {
            chains.Add(add.Chain, (add.Hook, []));
            return null;
        }

        // A hook that is not given is not compared (nf_tables_api.c, nf_tables_updchain).
        return add.Hook is not null && add.Hook != known.Hook
            ? new KernelFault(Eopnotsupp, "chain has another hook") : Exists();
    }

    private KernelFault? DeleteChain(string name) =>
        !chains.TryGetValue(name, out var chain) ? Missing("chain")
        : IsStrict && chain.Rules.Length > 0 ? new KernelFault(KernelError.Ebusy, "chain has rules")
        : Uses(NameKind.Chain, name, except: name) ? Busy("chain")
        : Done(chains.Remove(name));

    private KernelFault? Flush(string name)
    {
        if (!chains.TryGetValue(name, out var chain))
        {
            return Missing("chain");
        }

        chains[name] = (chain.Hook, []);
        return null;
    }

    private KernelFault? AddRule(NftOp.AddRule add)
    {
        if (!chains.TryGetValue(add.Chain, out var chain))
        {
            return Missing("chain");
        }

        KernelFault? fault = add.Rule.Exprs.SelectMany(Names).Select(Fault).FirstOrDefault(one => one is not null);
        if (fault is null)
        {
            chains[add.Chain] = (chain.Hook, chain.Rules.Add(add.Rule));
        }

        return fault;
    }

    private KernelFault? AddSet(NftSet set)
    {
        if (!sets.TryGetValue(set.Name, out NftSet? known))
        {
            sets.Add(set.Name, set with { Elements = NftElements.Empty(set.RowBytes) });
            return null;
        }

        return known with { Elements = set.Elements } != set
            ? new KernelFault(KernelError.Eexist, "set is of another type") : Exists();
    }

    private KernelFault? AddObject(NftObject item)
    {
        if (objects.TryAdd(item.Name, item))
        {
            return null;
        }

        return objects[item.Name] != item ? new KernelFault(Eopnotsupp, "object is another one") : Exists();
    }

    private KernelFault? AddElements(NftOp.AddElements add)
    {
        if (!sets.TryGetValue(add.Set.Name, out NftSet? set))
        {
            return Missing("set");
        }

        if (set.RowBytes != add.Set.RowBytes || set.Key != add.Set.Key)
        {
            return new KernelFault(Einval, "set is of another type");
        }

        KernelFault? fault = Rows(add.Elements).SelectMany(row => Names(set, row)).Select(Fault)
            .FirstOrDefault(one => one is not null);
        if (fault is not null)
        {
            return fault;
        }

        byte[][] known = [.. Rows(set.Elements)];
        var builder = new NftElements.Builder(set.RowBytes);
        foreach (byte[] row in known.Concat(Rows(add.Elements)))
        {
            builder.Add(row); // equal rows become one
        }

        NftElements after = builder.Build();
        if (Clash(set, known, [.. Rows(add.Elements)]) is string clash)
        {
            return new KernelFault(KernelError.Eexist, clash);
        }

        if (after.Count > set.Size)
        {
            return new KernelFault(Enfile, "set is full");
        }

        bool isDouble = after.Count < known.Length + add.Elements.Count;
        sets[set.Name] = set with { Elements = after };
        return isDouble ? Exists() : null;
    }

    private KernelFault? DeleteElements(NftOp.DeleteElements delete)
    {
        if (!sets.TryGetValue(delete.Set.Name, out NftSet? set))
        {
            return Missing("set");
        }

        // Data is not asked for: a key, or both bounds of one.
        int key = KeyOf(set);
        var gone = new HashSet<int>();
        for (int i = 0; i < delete.Elements.Count; i++)
        {
            int at = Find(set, delete.Elements[i], key);
            if (at < 0 || !gone.Add(at) || (IsStrict && !set.Elements[at].SequenceEqual(delete.Elements[i])))
            {
                return Missing("element");
            }
        }

        var rest = new NftElements.Builder(set.RowBytes);
        for (int i = 0; i < set.Elements.Count; i++)
        {
            if (!gone.Contains(i))
            {
                rest.Add(set.Elements[i]);
            }
        }

        sets[set.Name] = set with { Elements = rest.Build() };
        return null;
    }

    // An interval of several fields is looked up by where it begins (nft_set_pipapo.c, nft_pipapo_deactivate).
    private static int Find(NftSet set, ReadOnlySpan<byte> row, int key)
    {
        int exact = set.Elements.IndexOfKey(row[..key]);
        for (int i = 0; exact < 0 && set.Interval && set.Key.Count > 1 && i < set.Elements.Count; i++)
        {
            exact = Contains(set, set.Elements[i], row[..set.KeyBytes]) ? i : -1;
        }

        return exact;
    }

    private static int KeyOf(NftSet set) => set.KeyBytes * (set.Interval ? 2 : 1);

    // A row that is there already is no clash. Intervals of several fields are only compared at their corners.
    private static string? Clash(NftSet set, byte[][] known, byte[][] added)
    {
        if (!set.Interval)
        {
            Dictionary<string, byte[]> rows = [];
            foreach (byte[] row in known.Concat(added))
            {
                string key = Convert.ToHexString(row.AsSpan(0, set.KeyBytes));
                if (!rows.TryAdd(key, row) && !rows[key].AsSpan().SequenceEqual(row))
                {
                    return $"element {key} has other data";
                }
            }

            return null;
        }

        List<byte[]> there = [.. known];
        foreach (byte[] row in added)
        {
            int key = set.KeyBytes;
            foreach (byte[] other in there)
            {
                bool clash = set.Key.Count == 1
                    ? Order(row.AsSpan(0, key), other.AsSpan(key, key)) <= 0
                        && Order(other.AsSpan(0, key), row.AsSpan(key, key)) <= 0
                    : Contains(set, other, row.AsSpan(0, key)) || Contains(set, other, row.AsSpan(key, key));
                if (clash && !row.AsSpan().SequenceEqual(other))
                {
                    return $"element {Convert.ToHexString(row)} overlaps";
                }
            }

            there.Add(row);
        }

        return null;
    }

    private static int Order(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b) => a.SequenceCompareTo(b);

    private static bool Contains(NftSet set, ReadOnlySpan<byte> box, ReadOnlySpan<byte> point)
    {
        int at = 0;
        foreach (NftType field in set.Key)
        {
            int length = NftSet.PaddedLength(field);
            if (Order(point.Slice(at, length), box.Slice(at, length)) < 0
                || Order(point.Slice(at, length), box.Slice(set.KeyBytes + at, length)) > 0)
            {
                return false;
            }

            at += length;
        }

        return true;
    }

    private enum NameKind
    {
        Chain,
        Set,
        Object,
    }

    private KernelFault? Fault((NameKind Kind, string Name) named) => named.Kind switch
    {
        NameKind.Chain => !chains.TryGetValue(named.Name, out var chain) ? Missing($"chain {named.Name}")
            : chain.Hook is not null ? new KernelFault(Eopnotsupp, $"chain {named.Name} is hooked") : null,
        NameKind.Set => sets.ContainsKey(named.Name) ? null : Missing($"set {named.Name}"),
        _ => objects.ContainsKey(named.Name) ? null : Missing($"object {named.Name}"),
    };

    private bool Uses(NameKind kind, string name, string? except = null) =>
        chains.Any(pair => pair.Key != except
            && pair.Value.Rules.Any(rule => rule.Exprs.SelectMany(Names).Contains((kind, name))))
        || (kind != NameKind.Set
            && sets.Values.Any(set => Rows(set.Elements).SelectMany(row => Names(set, row)).Contains((kind, name))));

    private static IEnumerable<byte[]> Rows(NftElements elements)
    {
        for (int i = 0; i < elements.Count; i++)
        {
            yield return elements[i].ToArray();
        }
    }

    private static IEnumerable<(NameKind, string)> Names(NftExpr expr) => expr switch
    {
        NftExpr.VerdictIs { Verdict.Chain: string chain } => [(NameKind.Chain, chain)],
        NftExpr.Lookup lookup => [(NameKind.Set, lookup.Set)],
        NftExpr.LookupData lookup => [(NameKind.Set, lookup.Map)],
        NftExpr.LookupVerdict lookup => [(NameKind.Set, lookup.Map)],
        NftExpr.ObjectRef reference => [(NameKind.Object, reference.Name)],
        NftExpr.ObjectMap map => [(NameKind.Set, map.Map)],
        _ => [],
    };

    private static IEnumerable<(NameKind, string)> Names(NftSet set, byte[] row)
    {
        ReadOnlySpan<byte> data = row.AsSpan(row.Length - NftElements.DataLength(set.Kind));
        return set.Kind switch
        {
            NftSetKind.VerdictMap => NftElements.GetVerdict(data).Chain is string chain
                ? [(NameKind.Chain, chain)] : [],
            NftSetKind.CounterMap => [(NameKind.Object, NftElements.GetName(data))],
            _ => [],
        };
    }
}
