using Agent.Netlink;
using Agent.Nftables;
using Agent.Nftables.Wire;

namespace Agent.Tests.Fuzz;

/// <summary>Tables that are put together from messages, each of which is held against what is written of it.</summary>
internal sealed class ReadTables
{
    private readonly SortedDictionary<(NftFamily Family, string Name), Parts> tables = [];
    private readonly Dictionary<string, (NftSet Set, ElementReader Reader)> open = new(StringComparer.Ordinal);

    private sealed class Parts
    {
        public Dictionary<string, NftChain> Chains { get; } = new(StringComparer.Ordinal);

        public Dictionary<string, NftSet> Sets { get; } = new(StringComparer.Ordinal);

        public Dictionary<(string, uint), NftObject> Objects { get; } = [];
    }

    public Ruleset Build() => new(tables.Select(table => new NftTable(
        table.Key.Family, table.Key.Name,
        table.Value.Chains.Values.OrderBy(one => one.Name, StringComparer.Ordinal).ToValueArray(),
        table.Value.Sets.Values.Select(Filled).OrderBy(one => one.Name, StringComparer.Ordinal).ToValueArray(),
        table.Value.Objects.Values.OrderBy(one => one.Name, StringComparer.Ordinal).ToValueArray())).ToValueArray());

    public string Chain(NlAttrs attrs, NftFamily family)
    {
        (string table, NftChain chain) = ChainCodec.Read(attrs, family);
        Named("chain", table, chain.Name);
        if (chain.Hook is not { } hook || (hook.Unexpected is null && !hook.PolicyDrop))
        {
            (string, NftChain) again = Again(
                writer => ChainCodec.Write(writer, family, table, chain.Name, chain.Hook),
                written => ChainCodec.Read(written, family));
            Same((table, chain), again);
        }

        Of(family, table).Chains[chain.Name] = chain;
        return chain.Hook is null ? "chain" : $"chain {family} {chain.Hook.Hook} {chain.Hook.PolicyDrop} "
            + FuzzTarget.Kind(chain.Hook.Unexpected ?? "");
    }

    public string Rule(NlAttrs attrs, NftFamily family)
    {
        int steps = StepsIn(attrs);
        (string table, string chain, NftRule rule) = RuleCodec.Read(attrs);
        Named("rule", table, chain);
        FuzzException.Unless(steps == rule.Exprs.Count, $"{steps} expressions are read as {rule.Exprs.Count}");
        (string, string, NftRule) again = Again(writer => RuleCodec.Write(writer, table, chain, rule), RuleCodec.Read);
        Same((table, chain, Padded(rule)), again with { Item3 = Padded(again.Item3) });
        if (Of(family, table).Chains.TryGetValue(chain, out NftChain? known))
        {
            Of(family, table).Chains[chain] = known with { Rules = known.Rules.Append(rule).ToValueArray() };
        }

        return "rule " + string.Join(' ', rule.Exprs.Select(Kind).Distinct());
    }

    public string Set(NlAttrs attrs, NftFamily family)
    {
        (string table, NftSet set) = SetCodec.Read(attrs);
        Named("set", table, set.Name);
        if (set.Unexpected is null)
        {
            (string, NftSet) again = Again(writer => SetCodec.Write(writer, table, set, 1), SetCodec.Read);
            Same((table, set), again);
            open[set.Name] = (set, new ElementReader(set));
        }

        Of(family, table).Sets[set.Name] = set;
        return $"set {string.Join('.', set.Key)} {set.Interval} {set.Kind} {set.Counters} {set.Limit is null} "
            + FuzzTarget.Kind(set.Unexpected ?? "");
    }

    /// <summary>Of the last set of that name, as the kernel lists them one after the other.</summary>
    public string Elements(NlAttrs attrs)
    {
        string name = "";
        foreach (NlAttr attr in attrs)
        {
            name = attr.Type == NftaSetElemList.Set ? attr.Text() : name;
        }

        int counted = 0;
        ElementCounts.Read(attrs, (_, _) => counted++);
        if (!open.TryGetValue(name, out (NftSet Set, ElementReader Reader) known))
        {
            return $"elements of nothing, {counted == 0}";
        }

        known.Reader.Read(attrs);
        return $"elements of {known.Set.Kind} {counted == 0} " + FuzzTarget.Kind(known.Reader.Unexpected ?? "");
    }

    public string Object(NlAttrs attrs, NftFamily family)
    {
        _ = ObjectCodec.ReadCount(attrs, "t");
        (string table, NftObject value) = ObjectCodec.Read(attrs);
        Named("object", table, value.Name);
        if (value is not NftObject.Opaque)
        {
            (string, NftObject) again = Again(writer => ObjectCodec.Write(writer, table, value), ObjectCodec.Read);
            Same((table, value), again);
        }

        Of(family, table).Objects[(value.Name, ObjectCodec.TypeOf(value))] = value;
        return $"object {value.GetType().Name}";
    }

    private Parts Of(NftFamily family, string table)
    {
        if (!tables.TryGetValue((family, table), out Parts? parts))
        {
            tables.Add((family, table), parts = new Parts());
        }

        return parts;
    }

    private NftSet Filled(NftSet set)
    {
        if (!open.TryGetValue(set.Name, out (NftSet Set, ElementReader Reader) known) || known.Set != set)
        {
            return set;
        }

        set = set with { Elements = known.Reader.Build(), Unexpected = known.Reader.Unexpected };
        if (set.Unexpected is null)
        {
            CheckElements(set);
        }

        return set;
    }

    // Ranges are in order and apart; what is written is read again.
    private static void CheckElements(NftSet set)
    {
        NftElements rows = set.Elements;
        for (int i = 0; i < rows.Count && set.Interval && set.Key.Count == 1; i++)
        {
            ReadOnlySpan<byte> first = rows[i][..set.KeyBytes];
            ReadOnlySpan<byte> last = rows[i].Slice(set.KeyBytes, set.KeyBytes);
            FuzzException.Unless(first.SequenceCompareTo(last) <= 0, $"{set.Name}: a range ends before it begins");
            FuzzException.Unless(
                i == 0 || rows[i - 1].Slice(set.KeyBytes, set.KeyBytes).SequenceCompareTo(first) < 0,
                $"{set.Name}: ranges meet");
        }

        var writer = new NlWriter();
        ElementWriter.Write(writer, NftMsg.NewSetElem, NlmF.Create, 1, NftFamily.Inet, "t", set, rows);
        var reader = new ElementReader(set with { Elements = NftElements.Empty(set.RowBytes) });
        foreach (NlMessage message in new NlMessages(writer.Written))
        {
            reader.Read(message.Attrs(NfMessage.HeaderBytes));
        }

        Same((rows, (string?)null), (reader.Build(), reader.Unexpected));
    }

    // Of what is not understood every byte is kept, and it is written with its padding.
    private static NftRule Padded(NftRule rule) => rule with
    {
        Exprs = rule.Exprs.Select(expr => expr is NftExpr.Opaque { Data: var data }
            ? new NftExpr.Opaque(expr.WireName, data.Concat(new byte[-data.Count & 3]).ToValueArray())
            : expr).ToValueArray(),
    };

    private static int StepsIn(NlAttrs attrs)
    {
        int steps = 0;
        foreach (NlAttr attr in attrs)
        {
            if (attr.Type == NftaRule.Expressions)
            {
                steps = 0;
                foreach (NlAttr _ in attr.Nested)
                {
                    steps++;
                }
            }
        }

        return steps;
    }

    private static string Kind(NftExpr expr) =>
        expr is NftExpr.Opaque opaque ? $"opaque {(NftExpr.Readers.ContainsKey(opaque.Name) ? opaque.Name : "")}"
            : expr.GetType().Name;

    private static void Named(string what, string table, string name) =>
        FuzzException.Unless(
            table.Length > 0 && name.Length > 0, $"a {what} without a name is taken: '{table}' '{name}'");

    private static void Same<T>(T read, T again) => FuzzException.Unless(
        EqualityComparer<T>.Default.Equals(read, again), $"{read} is read again as {again}");

    private delegate T AttrReader<out T>(NlAttrs attrs);

    private static T Again<T>(Action<NlWriter> write, AttrReader<T> read)
    {
        var writer = new NlWriter();
        write(writer);
        return read(new NlAttrs(writer.Written));
    }
}
