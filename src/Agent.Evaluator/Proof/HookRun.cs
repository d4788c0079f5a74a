using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>A base chain, or the rest of one, from an outcome on.</summary>
internal readonly record struct BaseRun(ChainNode Chain, int Rule, Outcome Start, Circumstances Circumstances);

/// <summary>All base chains of a hook, one after the other, for all packets of a family.</summary>
internal sealed class HookRun
{
    /// <summary>NF_IP_PRI_CONNTRACK (linux/netfilter_ipv4.h).</summary>
    private const int ConntrackPriority = -200;

    private readonly ProofCache cache;
    private readonly List<(NftTable Table, ProgramNodes.Table Nodes)> tables;
    private readonly Dictionary<(NftFamily, NftHook, bool), List<(ProgramNodes.Table Nodes, NftChain Chain)>> bases;
    private readonly ChainSource? view;
    private readonly HashSet<string> reached = new(StringComparer.Ordinal);

    public HookRun(Ruleset ruleset, ProofCache cache)
    {
        this.cache = cache;
        tables = [.. ruleset.Tables.Select(table => (table, cache.Nodes.Of(table, cache.Functions)))];
        bases = [];
    }

    private HookRun(HookRun of, ChainSource view)
    {
        cache = of.cache;
        tables = of.tables;
        bases = of.bases;
        this.view = view;
    }

    /// <summary>The same, with chains that verdict maps lead to as <paramref name="other"/> has them.</summary>
    public HookRun In(ChainSource other) => new(this, other);

    /// <summary>Names of the chains that verdict maps led to, behind <see cref="In"/>.</summary>
    public IReadOnlySet<string> Reached => reached;

    /// <summary>The table of the family, if there is one and no more.</summary>
    public (NftTable Table, ProgramNodes.Table Nodes)? Only(NftFamily family)
    {
        (NftTable Table, ProgramNodes.Table Nodes)[] all = [.. tables.Where(table => table.Table.Family == family)];
        return all.Length == 1 ? all[0] : null;
    }

    /// <summary>Whether any chain stands there.</summary>
    public bool Exists(NftFamily family, NftHook hook, bool beforeConntrack) =>
        BasesOf(family, hook, beforeConntrack).Count > 0;

    /// <summary>The whole hook.</summary>
    /// <returns>Leaves: accepted, dropped, stopped, unknown.</returns>
    public PacketFunction Whole(Circumstances circumstances, PacketMark mark, Mentioned mentioned) =>
        From(circumstances, 0, Outcome.Start(mark), mentioned);

    /// <summary>Several hooks, one after the other: what one has made of a packet, the next one finds.</summary>
    public PacketFunction Along(
        IReadOnlyList<Leg> legs, Circumstances circumstances, PacketMark mark, Mentioned mentioned)
    {
        PacketFunction state = cache.Functions.Of(cache.Outcomes.Of(
            Outcome.Start(mark) with { Kind = OutcomeKind.Accepted }));
        foreach (Leg leg in legs)
        {
            Circumstances here = circumstances with
            {
                Table = leg.Table,
                Hook = leg.Hook,
                In = leg.In,
                Out = leg.Out,
                FrameTo = leg.Table == NftFamily.Bridge ? circumstances.FrameTo : null,
                Confirmed = circumstances.Confirmed || (leg.IsConfirmed && circumstances.HasEntry),
            };
            state = cache.Functions.Bind(state, null, leaf => cache.Outcomes[leaf].Kind switch
            {
                OutcomeKind.Accepted => From(here, 0, cache.Outcomes[leaf], mentioned),
                OutcomeKind.Stopped => cache.Functions.Of(
                    cache.Outcomes.Unknown("a dispatch by interface on the way to another hook")),
                _ => cache.Functions.Of(leaf),
            });
        }

        return state;
    }

    /// <summary>What is left of the hook behind a stop: only its last chain stops.</summary>
    public PacketFunction Rest(Circumstances circumstances, Stop stop, Mentioned mentioned) =>
        Remembered(
            BasesOf(circumstances)[^1].Nodes, new BaseRun(stop.Chain, stop.Rule, stop.State, circumstances), mentioned);

    // Known from a proof before, if the verdict maps on the way still lead to the same chains.
    private PacketFunction Remembered(ProgramNodes.Table nodes, BaseRun key, Mentioned mentioned)
    {
        cache.Cancel.ThrowIfCancellationRequested();
        if (view is not null)
        {
            SymbolicRun run = Run(view, key.Circumstances, mentioned);
            PacketFunction effect = run.Base(key.Chain, key.Rule, key.Start);
            reached.UnionWith(run.Reached.Select(at => at.Name));
            return effect;
        }

        if (!cache.Runs.TryGetValue(key, out var known)
            || !known.Reached.TrueForAll(at => ReferenceEquals(nodes.ChainOf(at.Name), at.Chain)))
        {
            var inner = new Mentioned();
            SymbolicRun anew = Run(nodes, key.Circumstances, inner);
            PacketFunction whole = anew.Base(key.Chain, key.Rule, key.Start);
            known = (new Summary(whole, inner.Marks, inner.Epochs), anew.Reached);
            cache.Runs[key] = known;
        }

        mentioned.Add(known.Summary);
        return known.Summary.Effect;
    }

    private PacketFunction From(Circumstances circumstances, int chain, Outcome start, Mentioned mentioned)
    {
        List<(ProgramNodes.Table Nodes, NftChain Chain)> all = BasesOf(circumstances);
        if (chain == all.Count)
        {
            return cache.Functions.Of(cache.Outcomes.Of(start with { Kind = OutcomeKind.Accepted }));
        }

        (ProgramNodes.Table nodes, NftChain at) = all[chain];
        PacketFunction first = nodes.ChainOf(at.Name) is ChainNode node
            ? Remembered(nodes, new BaseRun(node, 0, start, circumstances), mentioned)
            : cache.Functions.Of(cache.Outcomes.Unknown($"chain {at.Name} leads back to itself"));
        return Then(first, circumstances, chain + 1, mentioned);
    }

    private PacketFunction Then(PacketFunction first, Circumstances circumstances, int next, Mentioned mentioned)
    {
        List<(ProgramNodes.Table Nodes, NftChain Chain)> all = BasesOf(circumstances);
        return next == all.Count ? first : cache.Functions.Bind(first, null, leaf => cache.Outcomes[leaf].Kind switch
        {
            OutcomeKind.Accepted => From(circumstances, next, cache.Outcomes[leaf], mentioned),
            OutcomeKind.Stopped => cache.Functions.Of(
                cache.Outcomes.Unknown("a dispatch by interface before the last chain of a hook")),
            _ => cache.Functions.Of(leaf),
        });
    }

    private SymbolicRun Run(ChainSource nodes, Circumstances circumstances, Mentioned mentioned) =>
        new(nodes, cache.Functions, cache.Outcomes, cache.Running, circumstances, mentioned);

    private List<(ProgramNodes.Table Nodes, NftChain Chain)> BasesOf(Circumstances circumstances) =>
        BasesOf(circumstances.Table, circumstances.Hook, circumstances.BeforeConntrack);

    // Priority of conntrack itself counts as behind it: "unknown" is what a chain that asks for ct gets before it.
    private List<(ProgramNodes.Table Nodes, NftChain Chain)> BasesOf(
        NftFamily family, NftHook hook, bool beforeConntrack)
    {
        if (!bases.TryGetValue((family, hook, beforeConntrack), out var found))
        {
            found = [.. tables
                .Where(table => table.Table.Family == family && !table.Table.Dormant)
                .SelectMany(table => table.Table.Chains, (table, chain) => (table.Table, table.Nodes, Chain: chain))
                .Where(at => at.Chain.Hook is { } here && here.Hook == hook
                    && IsBefore(hook, here.Priority) == beforeConntrack)
                .OrderBy(at => at.Chain.Hook!.Priority)
                .ThenBy(at => at.Table.Name, StringComparer.Ordinal)
                .ThenBy(at => at.Chain.Name, StringComparer.Ordinal)
                .Select(at => (at.Nodes, at.Chain))];
            bases.Add((family, hook, beforeConntrack), found);
        }

        return found;
    }

    internal static bool IsBefore(NftHook hook, int priority) =>
        hook is NftHook.Prerouting or NftHook.Output && priority <= ConntrackPriority;
}
