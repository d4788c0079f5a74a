using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Turns chains and sets of a ruleset into nodes; the same content gives the same node as in proofs before.
/// </summary>
internal sealed class ProgramNodes
{
    private readonly Dictionary<NftSet, SetNode> sets = [];
    private readonly Dictionary<NftChain, List<ChainNode>> chains = [];

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

    public sealed class Table
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

        public SetNode? SetOf(string name) =>
            sets.TryGetValue(name, out NftSet? set) ? all.Of(set, functions) : null;

        public ChainNode? ChainOf(string? name)
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

        private ChainNode NodeOf(NftChain chain)
        {
            List<ChainNode> candidates = all.Candidates(chain);
            foreach (ChainNode candidate in candidates)
            {
                if (candidate.Sets.All(pair => ReferenceEquals(SetOf(pair.Key), pair.Value))
                    && candidate.Chains.All(pair => ReferenceEquals(ChainOf(pair.Key), pair.Value))
                    && candidate.Objects.All(pair => Equals(objects.GetValueOrDefault(pair.Key), pair.Value)))
                {
                    return candidate;
                }
            }

            ChainNode node = Build(chain);
            candidates.Add(node);
            return node;
        }

        private ChainNode Build(NftChain chain)
        {
            var named = new Dictionary<string, SetNode?>(StringComparer.Ordinal);
            var targets = new Dictionary<string, ChainNode?>(StringComparer.Ordinal);
            var used = new Dictionary<string, NftObject?>(StringComparer.Ordinal);
            bool closed = true;
            Reads reads = Reads.None;
            foreach (NftExpr expr in chain.Rules.SelectMany(rule => rule.Exprs))
            {
                reads |= ReadsOf(expr);
                string? set = (expr as NftExpr.Lookup)?.Set ?? (expr as NftExpr.LookupData)?.Map
                    ?? (expr as NftExpr.ObjectMap)?.Map ?? (expr as NftExpr.LookupVerdict)?.Map;
                if (set is not null)
                {
                    named[set] = SetOf(set);
                    closed &= expr is not NftExpr.LookupVerdict;
                }

                if (expr is NftExpr.VerdictIs { Verdict.Chain: string target })
                {
                    targets[target] = ChainOf(target);
                    closed &= targets[target]?.IsClosed ?? true;
                    reads |= targets[target]?.Reads ?? Reads.None;
                }

                if (expr is NftExpr.ObjectRef item)
                {
                    used[item.Name] = objects.GetValueOrDefault(item.Name);
                }
            }

            return new ChainNode
            {
                Chain = chain,
                Sets = named,
                Chains = targets,
                Objects = used,
                IsClosed = closed,
                Reads = closed ? reads : Reads.All,
                RuleReads = [.. chain.Rules.Select(rule => ReadsOf(rule, targets))],
            };
        }

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
}
