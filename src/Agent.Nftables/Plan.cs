namespace Agent.Nftables;

/// <summary>
/// The steps from one ruleset to another, in an order that the kernel accepts and that loses no packet.
/// </summary>
/// <remarks>
/// A batch is atomic for control, not for packets (nftables-facts.md 2.3), hence three transactions:
/// <list type="number">
/// <item><description><see cref="Prepare"/> makes what nothing refers to yet; it may be cut into
/// several.</description></item>
/// <item><description><see cref="Switch"/> changes what packets meet: elements, and rules refilled in place. One
/// transaction.</description></item>
/// <item><description><see cref="Cleanup"/> removes what nothing refers to any more, a few milliseconds
/// later.</description></item>
/// </list>
/// A crash between them leaves garbage that the next plan removes, never a hole.
/// </remarks>
public sealed class Plan
{
    private readonly List<NftOp> prepare = [];
    private readonly List<NftOp> @switch = [];
    private readonly List<NftOp> cleanup = [];

    private Plan()
    {
    }

    public IReadOnlyList<NftOp> Prepare => prepare;

    public IReadOnlyList<NftOp> Switch => @switch;

    public IReadOnlyList<NftOp> Cleanup => cleanup;

    public bool IsEmpty => prepare.Count == 0 && @switch.Count == 0 && cleanup.Count == 0;

    /// <summary>
    /// The switch edits an interval set in place. The kernel publishes those after the new rules, so a new policy epoch
    /// must not be in the same transaction.
    /// </summary>
    public bool EditsIntervals { get; private set; }

    /// <summary>
    /// The switch exchanges a map that leads from one packet mark to another: a packet on its way may bring a mark that
    /// the old map does not know. The same holds for the epoch.
    /// </summary>
    public bool ExchangesMarkMaps { get; private set; }

    /// <summary>Plans the way from what the kernel has to what it should have.</summary>
    public static Plan Between(Ruleset observed, Ruleset desired)
    {
        ArgumentNullException.ThrowIfNull(observed);
        ArgumentNullException.ThrowIfNull(desired);
        var plan = new Plan();
        foreach (NftTable table in desired.Tables)
        {
            NftTable? before = observed.Find(table.Family, table.Name);
            if (before is null)
            {
                plan.prepare.Add(new NftOp.AddTable(table.Family, table.Name));
            }
            else if (before.Dormant && !table.Dormant)
            {
                // Before anything else: nothing is enforced meanwhile. Flags that are not asked for are taken away.
                plan.prepare.Insert(0, new NftOp.AddTable(table.Family, table.Name));
            }

            var way = new TablePlan(plan, before ?? Empty(table), table);
            if (before is not null && way.MustRebuild)
            {
                plan.@switch.Add(new NftOp.DeleteTable(table.Family, table.Name));
                plan.@switch.Add(new NftOp.AddTable(table.Family, table.Name));
                new TablePlan(plan, Empty(table), table).Fill(plan.@switch, plan.@switch);
                continue;
            }

            way.Fill(plan.prepare, plan.@switch);
        }

        return plan;
    }

    /// <summary>This plan, with more to remove at the end.</summary>
    public Plan With(IReadOnlyList<NftOp> moreCleanup)
    {
        cleanup.InsertRange(0, moreCleanup.Except(cleanup));
        return this;
    }

    private static NftTable Empty(NftTable like) => new(like.Family, like.Name, [], [], []);

    private sealed class TablePlan(Plan plan, NftTable before, NftTable after)
    {
        private readonly NftFamily family = after.Family;
        private readonly string table = after.Name;
        private readonly ByName<NftSet> sets = new(before.Sets, after.Sets, set => set.Name);
        private readonly ByName<NftChain> chains = new(before.Chains, after.Chains, chain => chain.Name);
        private readonly ByName<NftObject> objects = new(before.Objects, after.Objects, item => item.Name);

        // The kernel cannot change a set's type, a hook, or an object's kind. This compiler never asks for it, another
        // version's ruleset may. While the kernel goes through such a transaction (some hundred microseconds), an old
        // hook has no rules any more but its policy, and drops. A shape that changes should have a new name.
        public bool MustRebuild => sets.Others.Any(pair => pair.Old with { Elements = pair.New.Elements } != pair.New)
            || chains.Others.Any(pair => pair.Old.Hook != pair.New.Hook)
            || objects.Others.Any(pair => pair.Old != pair.New);

        private HashSet<uint>? producedMarks;

        public void Fill(List<NftOp> prepare, List<NftOp> @switch)
        {
            foreach (NftObject item in objects.Added)
            {
                prepare.Add(new NftOp.AddObject(family, table, item));
            }

            foreach (NftSet set in sets.Added)
            {
                prepare.Add(new NftOp.AddSet(family, table, set));
            }

            AddChains(prepare, @switch);
            EditSets(@switch);
            Remove();
            foreach (NftObject item in objects.Gone)
            {
                plan.cleanup.Add(new NftOp.DeleteObject(family, table, item));
            }
        }

        // Chains first, then rules, then elements: each may name what comes before it. A hook is set last of all.
        private void AddChains(List<NftOp> prepare, List<NftOp> @switch)
        {
            foreach (NftChain chain in chains.Added.Where(chain => chain.Hook is null))
            {
                prepare.Add(new NftOp.AddChain(family, table, chain.Name, Hook: null));
            }

            foreach (NftChain chain in chains.Added.Where(chain => chain.Hook is null))
            {
                AddRules(prepare, chain);
            }

            foreach (NftSet set in sets.Added.Where(set => set.Elements.Count > 0))
            {
                prepare.Add(new NftOp.AddElements(family, table, set, set.Elements));
            }

            foreach (NftChain chain in chains.Added.Where(chain => chain.Hook is not null))
            {
                // A guard takes effect at once; it is stricter than nothing, and its vNIC is still closed.
                List<NftOp> target = family == NftFamily.Netdev ? prepare : @switch;
                target.Add(new NftOp.AddChain(family, table, chain.Name, chain.Hook));
                AddRules(target, chain);
            }

            foreach ((_, NftChain chain) in chains.Others.Where(pair => pair.Old.Rules != pair.New.Rules))
            {
                @switch.Add(new NftOp.FlushChain(family, table, chain.Name));
                AddRules(@switch, chain);
            }
        }

        private void AddRules(List<NftOp> ops, NftChain chain)
        {
            foreach (NftRule rule in chain.Rules)
            {
                ops.Add(new NftOp.AddRule(family, table, chain.Name, rule));
            }
        }

        private void EditSets(List<NftOp> @switch)
        {
            foreach ((NftSet old, NftSet set) in sets.Others)
            {
                if (old.Elements.Equals(set.Elements))
                {
                    continue;
                }

                plan.EditsIntervals |= set.Interval;
                (NftElements removed, NftElements added) = NftElements.Difference(old.Elements, set.Elements);
                NftElements deferred = NftElements.Empty(set.RowBytes);
                if (removed.Count > 0 && set.Key[0] == NftType.Mark && !set.Interval)
                {
                    (removed, deferred) = SplitUnreachable(removed);
                }

                if (removed.Count > 0)
                {
                    @switch.Add(new NftOp.DeleteElements(family, table, set, removed));
                }

                if (added.Count > 0)
                {
                    @switch.Add(new NftOp.AddElements(family, table, set, added));
                }

                if (deferred.Count > 0)
                {
                    plan.cleanup.Add(new NftOp.DeleteElements(family, table, set, deferred));
                }
            }
        }

        // A packet on its way may already hold a class that the new ruleset no longer gives out. Its cells stay until
        // it is through; nothing else can reach them.
        private (NftElements Now, NftElements Later) SplitUnreachable(NftElements removed)
        {
            producedMarks ??= ProducedMarks();
            var now = new NftElements.Builder(removed.RowBytes);
            var later = new NftElements.Builder(removed.RowBytes);
            for (int i = 0; i < removed.Count; i++)
            {
                (producedMarks.Contains(BitConverter.ToUInt32(removed[i])) ? now : later).Add(removed[i]);
            }

            return (now.Build(), later.Build());
        }

        private HashSet<uint> ProducedMarks()
        {
            var marks = new HashSet<uint>();
            foreach (NftSet map in after.Sets)
            {
                if (map.Kind == NftSetKind.MarkMap)
                {
                    for (int i = 0; i < map.Elements.Count; i++)
                    {
                        marks.Add(BitConverter.ToUInt32(map.Elements[i][^4..]));
                    }
                }
            }

            foreach (NftChain chain in after.Chains)
            {
                foreach (NftRule rule in chain.Rules)
                {
                    foreach (NftExpr expr in rule.Exprs)
                    {
                        if (expr is NftExpr.Immediate { Data.Count: 4 } constant)
                        {
                            marks.Add(BitConverter.ToUInt32(constant.Data.Items.AsSpan()));
                        }
                    }
                }
            }

            return marks;
        }

        private void Remove()
        {
            foreach (NftChain chain in chains.Gone.Where(chain => chain.Rules.Count > 0))
            {
                plan.cleanup.Add(new NftOp.FlushChain(family, table, chain.Name));
            }

            plan.ExchangesMarkMaps |= sets.Gone.Exists(IsOfMarks) && chains.Others.Exists(pair =>
                pair.Old.Rules != pair.New.Rules
                && sets.Gone.Exists(set => IsOfMarks(set) && IsNamed(set, pair.Old)));
            foreach (NftSet set in sets.Gone)
            {
                plan.cleanup.Add(new NftOp.DeleteSet(family, table, set.Name));
            }

            foreach (NftChain chain in chains.Gone)
            {
                plan.cleanup.Add(new NftOp.DeleteChain(family, table, chain.Name));
            }
        }

        private static bool IsOfMarks(NftSet set) =>
            set is { Kind: NftSetKind.MarkMap, Interval: false, Key: [NftType.Mark] };

        private static bool IsNamed(NftSet set, NftChain chain) => chain.Rules.Any(
            rule => rule.Exprs.Any(expr => expr is NftExpr.LookupData look && look.Map == set.Name));
    }
}
