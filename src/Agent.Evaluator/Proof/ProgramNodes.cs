using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Where a run finds the chains that verdict maps lead to.</summary>
internal abstract class ChainSource
{
    /// <returns>Null: it does not exist, or leads back to itself.</returns>
    public abstract ChainNode? ChainOf(string? name);
}

/// <summary>Turns chains and sets of a ruleset into nodes; the same content gives the same node as in proofs before.
/// </summary>
internal sealed class ProgramNodes
{
    private readonly Dictionary<NftSet, SetNode> sets = [];
    private readonly Dictionary<NftChain, List<ChainNode>> chains = [];
    private readonly Dictionary<NftChain, List<ChainNode>> templates = [];

    private readonly Dictionary<NftChain, List<Tails>> tails = [];
    private int tailsKept;

    /// <summary>Rests of chains that are remembered: some 300 bytes each.</summary>
    private const int TailsMax = 300_000;

    /// <summary>Objects that may be kept although no ruleset has them any more.</summary>
    private const int SpareMax = 64;

    /// <summary>Likewise, elements of sets.</summary>
    private const int SpareRowsMax = 10_000;

    /// <summary>Nodes of one chain that lead to different things: what there was before may come back.</summary>
    private const int CandidatesMax = 4;

    // The same object as in an earlier proof is the same content: nothing is hashed.
    private readonly Dictionary<NftSet, SetNode> seenSets = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<NftChain, List<ChainNode>> seenChains = new(ReferenceEqualityComparer.Instance);

    /// <summary>The nodes of one table of one ruleset, found when they are first asked for.</summary>
    public Table Of(NftTable table, PacketFunctions functions) => new(this, table, functions);

    private SetNode Of(NftSet set, PacketFunctions functions)
    {
        if (!seenSets.TryGetValue(set, out SetNode? node))
        {
            if (!sets.TryGetValue(set, out node))
            {
                sets.Add(set, node = new SetNode(set, functions));
            }

            seenSets.Add(set, node);
        }

        return node;
    }

    private List<ChainNode> Candidates(NftChain chain)
    {
        if (!seenChains.TryGetValue(chain, out List<ChainNode>? candidates))
        {
            if (!chains.TryGetValue(chain, out candidates))
            {
                chains.Add(chain, candidates = []);
            }

            seenChains.Add(chain, candidates);
        }

        return candidates;
    }

    public sealed class Table : ChainSource
    {
        private readonly ProgramNodes all;
        private readonly PacketFunctions functions;
        private readonly Dictionary<string, NftChain> chains;
        private readonly Dictionary<string, NftSet> sets;
        private readonly Dictionary<string, NftObject> objects;
        private readonly Dictionary<string, ChainNode?> nodes = new(StringComparer.Ordinal);

        internal Table(ProgramNodes all, NftTable table, PacketFunctions functions)
        {
            this.all = all;
            this.functions = functions;
            chains = table.Chains.ToDictionary(chain => chain.Name, StringComparer.Ordinal);
            sets = table.Sets.ToDictionary(set => set.Name, StringComparer.Ordinal);
            objects = table.Objects.DistinctBy(item => item.Name)
                .ToDictionary(item => item.Name, StringComparer.Ordinal);
        }

        public IEnumerable<string> SetNames => sets.Keys;

        public SetNode? SetOf(string name) =>
            sets.TryGetValue(name, out NftSet? set) ? all.Of(set, functions) : null;

        public override ChainNode? ChainOf(string? name)
        {
            if (name is null || !chains.TryGetValue(name, out NftChain? chain))
            {
                return null;
            }

            if (!nodes.TryGetValue(name, out ChainNode? node))
            {
                nodes.Add(name, null); // a loop ends here
                nodes[name] = node = NodeOf(chain);
            }

            return node;
        }

        private ChainNode NodeOf(NftChain chain) =>
            all.NodeOf(all.Candidates(chain), chain, SetOf, ChainOf, ObjectOf, isTemplate: false);

        public NftObject? ObjectOf(string name) => objects.GetValueOrDefault(name);
    }

    /// <summary>Forgets what is not in a ruleset, once that is the larger part.</summary>
    public void Keep(Ruleset ruleset)
    {
        HashSet<object> held = new(ReferenceEqualityComparer.Instance);
        foreach (NftTable table in ruleset.Tables)
        {
            held.UnionWith(table.Sets);
            held.UnionWith(table.Chains);
        }

        long rows = ruleset.Tables.Sum(table => table.Sets.Sum(set => (long)set.Elements.Count));
        if (seenSets.Count + seenChains.Count > 2 * held.Count + SpareMax
            || seenSets.Keys.Sum(set => (long)set.Elements.Count) > 2 * rows + SpareRowsMax)
        {
            Forget(held);
        }

        ForgetTails();
    }

    private void Forget(HashSet<object> held)
    {
        foreach (NftSet gone in seenSets.Keys.Where(set => !held.Contains(set)).ToArray())
        {
            seenSets.Remove(gone);
        }

        foreach (NftChain gone in seenChains.Keys.Where(chain => !held.Contains(chain)).ToArray())
        {
            seenChains.Remove(gone);
        }

        HashSet<SetNode> setsHeld = new(seenSets.Values, ReferenceEqualityComparer.Instance);
        HashSet<object> chainsHeld = new(seenChains.Values, ReferenceEqualityComparer.Instance);
        foreach (NftSet gone in sets.Where(at => !setsHeld.Contains(at.Value)).Select(at => at.Key).ToArray())
        {
            sets.Remove(gone);
        }

        foreach (NftChain gone in chains.Where(at => !chainsHeld.Contains(at.Value)).Select(at => at.Key).ToArray())
        {
            chains.Remove(gone);
        }
    }

    // Each change of a member makes other nodes of the chains that look addresses up. Nothing leads to the old ones any
    // more, and each of them holds on to all addresses of a VPC.
    private void ForgetTails()
    {
        if (tails.Values.Sum(shape => shape.Sum(one => (long)one.Count)) > TailsMax)
        {
            tails.Clear();
        }
        else if (tails.Values.Sum(shape => shape.Count) > tailsKept)
        {
            HashSet<ChainNode> live = [.. chains.Values.SelectMany(nodes => nodes)];
            foreach ((NftChain shape, List<Tails> known) in tails.ToArray())
            {
                known.RemoveAll(one => !one.LeadsTo(live));
                if (known.Count == 0)
                {
                    tails.Remove(shape);
                }
            }
        }

        tailsKept = tails.Values.Sum(shape => shape.Count);
    }

    /// <summary>The chain with other names, and with symbols in place of conditions.</summary>
    /// <param name="chain">Its rules; sets and chains by the names that the others know.</param>
    /// <param name="setOf">Sets by name.</param>
    /// <param name="chainOf">Chains by name.</param>
    /// <param name="objectOf">Objects by name.</param>
    public ChainNode Template(
        NftChain chain, Func<string, SetNode?> setOf, Func<string, ChainNode?> chainOf,
        Func<string, NftObject?> objectOf)
    {
        if (!templates.TryGetValue(chain, out List<ChainNode>? candidates))
        {
            templates.Add(chain, candidates = []);
        }

        return NodeOf(candidates, chain, setOf, chainOf, objectOf, isTemplate: true);
    }

    private ChainNode NodeOf(
        List<ChainNode> candidates, NftChain chain, Func<string, SetNode?> setOf, Func<string, ChainNode?> chainOf,
        Func<string, NftObject?> objectOf, bool isTemplate)
    {
        foreach (ChainNode candidate in candidates)
        {
            if (candidate.Sets.All(pair => ReferenceEquals(setOf(pair.Key), pair.Value))
                && candidate.Chains.All(pair => ReferenceEquals(chainOf(pair.Key), pair.Value))
                && candidate.Objects.All(pair => Equals(objectOf(pair.Key), pair.Value)))
            {
                return candidate;
            }
        }

        ChainNode node = Build(chain, setOf, chainOf, objectOf, isTemplate);
        candidates.Insert(0, node);
        if (candidates.Count > CandidatesMax && !isTemplate)
        {
            candidates.RemoveAt(CandidatesMax);
        }

        return node;
    }

    private ChainNode Build(
        NftChain chain, Func<string, SetNode?> setOf, Func<string, ChainNode?> chainOf,
        Func<string, NftObject?> objectOf, bool isTemplate)
    {
        chain = Onlooking.Without(chain);
        var named = new Dictionary<string, SetNode?>(StringComparer.Ordinal);
        var targets = new Dictionary<string, ChainNode?>(StringComparer.Ordinal);
        var used = new Dictionary<string, NftObject?>(StringComparer.Ordinal);
        bool closed = true;
        Reads reads = Reads.None;
        foreach (NftExpr expr in chain.Rules.SelectMany(rule => rule.Exprs))
        {
            reads |= ReadsOf(expr);
            if (SetIn(expr) is string set)
            {
                named[set] = setOf(set);
                closed &= expr is not NftExpr.LookupVerdict;
            }

            if (expr is NftExpr.VerdictIs { Verdict.Chain: string target })
            {
                targets[target] = chainOf(target);
                closed &= targets[target]?.IsClosed ?? true;
                reads |= targets[target]?.Reads ?? Reads.None;
            }

            if (expr is NftExpr.ObjectRef item)
            {
                used[item.Name] = objectOf(item.Name);
            }
        }

        var node = new ChainNode
        {
            Chain = chain,
            Sets = named,
            Chains = targets,
            Objects = used,
            IsClosed = closed,
            IsTemplate = isTemplate,
            IsJudge = isTemplate && Symbols.IsJudge(chain),
            Tails = closed && !isTemplate && named.Count > 0 ? TailsOf(chain, named, targets, used) : null,
            Reads = closed ? reads : Reads.All,
            RuleReads = [.. chain.Rules.Select(rule => ReadsOf(rule, targets))],
            Names = NameTests.Of(chain, named, targets),
        };
        node.FindWhetherItNeedsView();
        return node;
    }

    private Tails TailsOf(
        NftChain chain, Dictionary<string, SetNode?> sets, Dictionary<string, ChainNode?> targets,
        Dictionary<string, NftObject?> objects)
    {
        var chainNames = new Dictionary<string, string>(StringComparer.Ordinal);
        var setNames = new Dictionary<string, string>(StringComparer.Ordinal);
        NftChain shape = Tails.ShapeOf(chain, chainNames, setNames);
        if (!tails.TryGetValue(shape, out List<Tails>? candidates))
        {
            tails.Add(shape, candidates = []);
        }

        return Tails.Of(candidates, [.. objects.Values], [.. chainNames.Keys.Select(name => targets[name])],
            [.. setNames.Keys.Select(name => sets[name])]);
    }

    /// <summary>The set or map that an expression names.</summary>
    public static string? SetIn(NftExpr expr) => expr switch
    {
        NftExpr.Lookup e => e.Set,
        NftExpr.LookupData e => e.Map,
        NftExpr.LookupVerdict e => e.Map,
        NftExpr.ObjectMap e => e.Map,
        _ => null,
    };

    private static Reads? ReadsOf(NftRule rule, Dictionary<string, ChainNode?> targets)
    {
        Reads reads = Reads.None;
        foreach (NftExpr expr in rule.Exprs)
        {
            ChainNode? target = (expr as NftExpr.VerdictIs)?.Verdict.Chain is string name ? targets[name] : null;
            if (expr is NftExpr.LookupVerdict || target is { IsClosed: false })
            {
                return null;
            }

            reads |= ReadsOf(expr) | (target?.Reads ?? Reads.None);
        }

        return reads;
    }

    private static Reads ReadsOf(NftExpr expr) => expr switch
    {
        NftExpr.Meta { Key: NftMetaKey.IifName or NftMetaKey.Iif } => Reads.In,
        NftExpr.Meta { Key: NftMetaKey.OifName or NftMetaKey.Oif } => Reads.Out,
        NftExpr.Ct or NftExpr.CtSet or NftExpr.NoTrack => Reads.Ct,
        NftExpr.ConnLimit => Reads.Limit,
        NftExpr.Payload { Base: NftPayloadBase.LinkLayer } => Reads.Link | Reads.Out,
        _ => Reads.None,
    };
}
