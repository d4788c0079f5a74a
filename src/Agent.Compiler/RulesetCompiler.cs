using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Lowers a policy for one host.</summary>
public static class RulesetCompiler
{
    /// <summary>Chains as bridge tables have them.</summary>
    private static readonly ConditionalWeakTable<NftChain, NftChain> Bridged = [];

    /// <summary>Compiles. Pure: no clock, no file, no kernel.</summary>
    /// <returns>
    /// Inet, bridge (if the host has it) and netdev tables, always complete; vNICs that could not be compiled are
    /// closed or held back.
    /// </returns>
    public static CompiledRuleset Compile(CompileRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return new Compilation(request).Run();
    }

    /// <summary>Whether a table of the family judges packets.</summary>
    internal static bool Judges(CompileRequest request, NftFamily family) =>
        family == NftFamily.Inet || (family == NftFamily.Bridge && request.Host.Bridge == BridgeLayer.Open);

    internal static Datapath DatapathOf(CompileRequest request, NftFamily family) =>
        new(request.Settings, request.PolicySettings, request.Epoch, LayerOf(request, family),
            LogOf(request, family));

    internal static DropLog? LogOf(CompileRequest request, NftFamily family) =>
        DropLog.Of(request.Settings, request.Host, family);

    internal static Layer LayerOf(CompileRequest request, NftFamily family) => new(
        family, Zoned: !request.Policy.Vpcs.IsEmpty, Bridged: request.Host.Bridge == BridgeLayer.Open);

    /// <summary>The chain as a table of the family has it; of one chain always the same object.</summary>
    internal static NftChain Shaped(NftFamily family, NftChain chain) =>
        family == NftFamily.Bridge ? Bridged.GetValue(chain, Exprs.InBridge) : chain;

    internal static NftTable Table(
        CompileRequest request, NftFamily family, IEnumerable<NftChain> chains, IEnumerable<NftSet> sets,
        IEnumerable<NftObject> objects) => new(
            family, request.Settings.Table,
            new(ImmutableCollectionsMarshal.AsImmutableArray(NameOrder.Of(chains, chain => chain.Name))),
            new(ImmutableCollectionsMarshal.AsImmutableArray(NameOrder.Of(sets, set => set.Name))),
            new(ImmutableCollectionsMarshal.AsImmutableArray(NameOrder.Of(objects, item => item.Name))));

    /// <summary>One compilation's working state.</summary>
    private sealed class Compilation
    {
        private readonly CompileRequest request;
        private readonly PolicySnapshot policy;
        private readonly CompiledRuleset? previous;
        private readonly VnicIndex index;
        private readonly SortedDictionary<string, string> failed = new(StringComparer.Ordinal);
        private readonly Dictionary<string, CompiledProfile> compiled = new(StringComparer.Ordinal);
        private readonly Dictionary<string, string> closedProfiles = new(StringComparer.Ordinal);
        private readonly ImmutableSortedDictionary<string, ushort> zones;
        private readonly HashSet<string> open = new(StringComparer.Ordinal);

        // Profiles, classes, timeouts: alike in every table that judges.
        private readonly List<NftChain> chains = [];
        private readonly List<NftSet> sets = [];
        private readonly List<NftObject> objects = [];

        public Compilation(CompileRequest request)
        {
            this.request = request;
            policy = request.Policy;
            previous = request.Previous;
            index = VnicIndex.Of(policy, previous?.Memo?.Index);
            zones = ZoneNumbers.Of(policy, request.Settings, request.KnownZones);
        }

        public CompiledRuleset Run()
        {
            var classes = new Dictionary<string, AddressClasses>(StringComparer.Ordinal);
            foreach ((string vpc, ImmutableArray<Profile> profiles) in index.Vpcs)
            {
                classes.Add(vpc, AddVpc(vpc, profiles));
            }

            AddTimes();
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                Open(vnic);
            }

            ImmutableSortedSet<string> counted = RuleHits.Chosen(policy, request.Settings, RulesOf, out int uncounted);
            sets.AddRange(RuleHits.Sets(
                request.Settings, policy.Vnics.Values.Where(vnic => counted.Contains(vnic.Id)), RulesOf));
            DropCounters drops = DropCounters.Of(
                index.Interfaces, [.. policy.Vpcs.Values.SelectMany(vpc => vpc.UplinkInterfaces)], previous?.Drops);
            HostLayout layout = LayoutOf(drops, counted);
            var @fixed = new Dictionary<NftFamily, FixedChains>();
            NftTable[] tables =
            [
                JudgingTable(NftFamily.Inet, layout, drops, @fixed),
                layout.GuardTable,
                .. request.Host.Bridge == BridgeLayer.Open
                    ? [JudgingTable(NftFamily.Bridge, layout, drops, @fixed)]
                    : layout.ClosedBridgeTable is { } closed ? [closed] : Array.Empty<NftTable>(),
            ];
            return new CompiledRuleset(
                request, new Ruleset(tables.ToValueArray()), compiled, classes, layout.Guards, drops)
            {
                Failed = failed.ToImmutableSortedDictionary(StringComparer.Ordinal),
                Closed = [.. policy.Vnics.Keys.Where(id => !open.Contains(id))],
                Zones = zones,
                CountedVnics = counted,
                UncountedRules = uncounted,
                Memo = new CompilerMemo(index, layout, @fixed),
            };
        }

        private IEnumerable<EffectiveRule> RulesOf(Vnic vnic) => !open.Contains(vnic.Id) ? []
            : ((Direction[])[Direction.Egress, Direction.Ingress])
                .SelectMany(way => RuleHits.Of(compiled[CompiledRuleset.ProfileOf(vnic)], way));

        // It needs the vNICs and VPCs of the policy only, and may outlive the rest.
        private HostLayout LayoutOf(DropCounters drops, ImmutableSortedSet<string> counted)
        {
            CompileRequest host = request with
            {
                Policy = PolicySnapshot.Empty with { Vnics = policy.Vnics, Vpcs = policy.Vpcs },
                HeldBack = ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty,
                Previous = null,
            };
            return HostLayout.Of(
                new HostBasis(host, index, drops, zones, open, counted), compiled, previous?.Memo?.Layout);
        }

        private AddressClasses AddVpc(string vpcId, ImmutableArray<Profile> profiles)
        {
            var sources = new List<(Profile Profile, ProfileSource Source, CompiledProfile? Earlier)>();
            foreach (Profile profile in profiles)
            {
                PolicySnapshot? rules = policy;
                if (request.HeldBack.TryGetValue(profile.Name, out (PolicySnapshot? Policy, string Reason) held))
                {
                    rules = held.Policy;
                    closedProfiles.Add(profile.Name, held.Reason);
                }

                if (rules is not null)
                {
                    CompiledProfile? earlier = Earlier(profile);
                    sources.Add((
                        profile, ProfileSource.Of(profile, rules, request.PolicySettings, earlier), earlier));
                }
            }

            AddressClasses? before = previous?.Classes.GetValueOrDefault(vpcId);
            AddressClasses classes = AddressClasses.Of(vpcId, TagsOf(sources, before?.Tags), before);
            sets.AddRange(classes.Maps());
            chains.AddRange(classes.Chains());
            HashSet<string> moved = classes.TagsThatMoved(before);
            foreach ((Profile profile, ProfileSource source, CompiledProfile? earlier) in sources)
            {
                bool same = earlier is not null && ReferenceEquals(earlier.Source, source)
                    && !source.Tags.Overlaps(moved);
                Add(profile, same ? earlier! : CompiledProfile.Of(profile, source, classes, request.Settings));
            }

            return classes;
        }

        // Where each profile names what it named before, and there is no other one, the tags are those of before.
        private TagTable TagsOf(
            List<(Profile Profile, ProfileSource Source, CompiledProfile? Earlier)> sources, TagTable? before)
        {
            // A profile that keeps yesterday's rules may name what is gone today.
            var kept = new Dictionary<string, PolicySnapshot>(StringComparer.Ordinal);
            foreach ((Profile profile, ProfileSource source, _) in sources)
            {
                foreach (string tag in request.HeldBack.ContainsKey(profile.Name) ? source.Tags : [])
                {
                    kept.TryAdd(tag, source.Policy);
                }
            }

            return before is not null && before.Sources == sources.Count && sources.TrueForAll(one =>
                one.Earlier is not null && (ReferenceEquals(one.Earlier.Source, one.Source)
                    || one.Earlier.Source.Tags.SetEquals(one.Source.Tags)))
                ? before.With(AddressesOf)
                : TagTable.Of([.. sources.Select(one => one.Source.Tags)], AddressesOf, before);

            TagAddresses AddressesOf(string tag) => this.AddressesOf(tag, kept.GetValueOrDefault(tag));
        }

        private CompiledProfile? Earlier(Profile profile) =>
            previous is not null && previous.Request.Settings == request.Settings
            && previous.Request.PolicySettings == request.PolicySettings
                ? previous.Profiles.GetValueOrDefault(profile.Name) : null;

        private void Add(Profile profile, CompiledProfile part)
        {
            if (part.TooLarge is string reason)
            {
                closedProfiles[profile.Name] = reason;
                return;
            }

            compiled.Add(profile.Name, part);
            sets.AddRange(part.Sets);
            chains.AddRange(part.Chains);
        }

        // Members and lists are facts of today, also for a profile that keeps yesterday's rules.
        private TagAddresses AddressesOf(string tag, PolicySnapshot? kept)
        {
            string id = tag[2..];
            return tag[0] switch
            {
                'l' => new TagAddresses(
                    (policy.PrefixLists.GetValueOrDefault(id) ?? kept!.PrefixLists[id]).Entries, []),
                'g' => new TagAddresses(
                    (policy.Groups.GetValueOrDefault(id) ?? kept!.Groups[id]).Members, index.AddressesOf(id)),
                _ => throw new ArgumentOutOfRangeException(nameof(tag), tag, "unknown tag"),
            };
        }

        private NftTable JudgingTable(
            NftFamily family, HostLayout layout, DropCounters drops, Dictionary<NftFamily, FixedChains> fixedOnes)
        {
            var @fixed = FixedChains.Of(request, family, previous?.Memo?.Fixed.GetValueOrDefault(family));
            fixedOnes.Add(family, @fixed);
            NftChain[] own = NameOrder.Of(chains.Select(chain => Shaped(family, chain)), chain => chain.Name);
            NftChain[] all = NameOrder.Merge(
                NameOrder.Merge(@fixed.Chains, own, chain => chain.Name), layout.Chains(family), chain => chain.Name);
            NftSet[] maps = NameOrder.Merge(
                NameOrder.Of(sets, set => set.Name), layout.Sets(family), set => set.Name);
            NftObject[] items = NameOrder.Merge(
                NameOrder.Of(objects.Concat(Datapath.Objects()), item => item.Name), drops.Objects, item => item.Name);
            return new NftTable(
                family, request.Settings.Table, new(ImmutableCollectionsMarshal.AsImmutableArray(all)),
                new(ImmutableCollectionsMarshal.AsImmutableArray(maps)),
                new(ImmutableCollectionsMarshal.AsImmutableArray(items)));
        }

        private void Open(Vnic vnic)
        {
            string profile = CompiledRuleset.ProfileOf(vnic);
            bool unbridged = request.Host.Bridge != BridgeLayer.Open
                && request.Host.BridgePorts.Contains(vnic.InterfaceName);
            string? reason = request.ClosedVnics.GetValueOrDefault(vnic.Id)
                ?? closedProfiles.GetValueOrDefault(profile);
            bool zoneless = policy.Vpcs.ContainsKey(vnic.VpcId) && !zones.ContainsKey(vnic.VpcId);
            reason ??= zoneless ? $"no conntrack zone is left for VPC {vnic.VpcId}"
                : unbridged ? $"is a port of a bridge: {request.Host.BridgeObstacle}" : null;
            if (reason is not null)
            {
                failed.Add(vnic.Id, reason);
            }

            if (compiled.ContainsKey(profile) && !request.ClosedVnics.ContainsKey(vnic.Id) && !zoneless && !unbridged)
            {
                open.Add(vnic.Id);
            }
        }

        private void AddTimes()
        {
            ImmutableArray<byte> protocols = request.Host.TimeoutProtocols;
            if (protocols.IsEmpty)
            {
                return;
            }

            chains.AddRange(index.Times.Select(times => SessionTimes.Chain(times, protocols)));
            objects.AddRange(index.Times.SelectMany(times => SessionTimes.Objects(times, protocols))
                .Concat(request.KeptTimes.Select(SessionTimes.Object).OfType<NftObject.CtTimeout>())
                .DistinctBy(item => item.Name));
        }
    }
}
