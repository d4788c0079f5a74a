using Agent.Nftables;

namespace Agent.Evaluator.Guards;

/// <summary>What a rule of a guard does next, for frames of one shape.</summary>
internal abstract record GuardStep
{
    private GuardStep()
    {
    }

    /// <summary>Ends the rule for frames that do not fulfil it.</summary>
    public sealed record Ask(FrameTest Test) : GuardStep;

    /// <summary>Ends the rule for all.</summary>
    public sealed record End : GuardStep;

    public sealed record Count(string Counter) : GuardStep;

    public sealed record Mark : GuardStep;

    public sealed record Give(NftVerdict Verdict) : GuardStep;

    /// <summary>This build does not model what follows.</summary>
    public sealed record Unknown(string Reason) : GuardStep;
}

/// <summary>Objects of a netdev table by name, and which of them a run has used.</summary>
internal sealed class GuardTable
{
    private readonly Dictionary<string, NftChain> chains;
    private readonly Dictionary<string, NftSet> sets;
    private readonly Dictionary<string, NftObject> objects;

    public GuardTable(NftTable table)
    {
        Name = table.Name;
        chains = ByName(table.Chains, chain => chain.Name);
        sets = ByName(table.Sets, set => set.Name);
        objects = ByName(table.Objects, item => item.Name);
    }

    public string Name { get; }

    public NftChain? ChainOf(string name) => chains.GetValueOrDefault(name);

    public NftSet? SetOf(string name) => sets.GetValueOrDefault(name);

    public NftObject? ObjectOf(string name) => objects.GetValueOrDefault(name);

    private static Dictionary<string, T> ByName<T>(ValueArray<T> items, Func<T, string> nameOf)
    {
        var named = new Dictionary<string, T>(items.Count, StringComparer.Ordinal);
        foreach (T item in items)
        {
            named.TryAdd(nameOf(item), item);
        }

        return named;
    }
}

/// <summary>What was read of a ruleset by name: a proof holds as long as it is the same.</summary>
internal sealed class GuardUses
{
    private readonly List<(string Table, string Name, NftChain? Chain)> chains = [];
    private readonly List<(string Table, string Name, NftSet? Set)> sets = [];
    private readonly List<(string Table, string Name, NftObject? Object)> objects = [];
    private readonly HashSet<(string, string, char)> seen = [];

    public NftChain? Chain(GuardTable table, string name)
    {
        NftChain? found = table.ChainOf(name);
        if (seen.Add((table.Name, name, 'c')))
        {
            chains.Add((table.Name, name, found));
        }

        return found;
    }

    public NftSet? Set(GuardTable table, string name)
    {
        NftSet? found = table.SetOf(name);
        if (seen.Add((table.Name, name, 's')))
        {
            sets.Add((table.Name, name, found));
        }

        return found;
    }

    public NftObject? Object(GuardTable table, string name)
    {
        NftObject? found = table.ObjectOf(name);
        if (seen.Add((table.Name, name, 'o')))
        {
            objects.Add((table.Name, name, found));
        }

        return found;
    }

    /// <summary>Equal objects have the names that were read.</summary>
    public bool AreIn(IReadOnlyDictionary<string, GuardTable> tables)
    {
        foreach ((string table, string name, NftChain? chain) in chains)
        {
            if (!Same(tables.GetValueOrDefault(table)?.ChainOf(name), chain))
            {
                return false;
            }
        }

        foreach ((string table, string name, NftSet? set) in sets)
        {
            if (!Same(tables.GetValueOrDefault(table)?.SetOf(name), set))
            {
                return false;
            }
        }

        foreach ((string table, string name, NftObject? item) in objects)
        {
            if (!Same(tables.GetValueOrDefault(table)?.ObjectOf(name), item))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Same<T>(T? one, T? other)
        where T : class => ReferenceEquals(one, other) || (one?.Equals(other) ?? false);
}
