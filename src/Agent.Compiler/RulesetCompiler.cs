using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Lowers a policy for one host.</summary>
public static class RulesetCompiler
{
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

    private static DropLog? LogOf(CompileRequest request, NftFamily family) =>
        DropLog.Of(request.Settings, request.Host, family);

    internal static Layer LayerOf(CompileRequest request, NftFamily family) => new(
        family, Zoned: !request.Policy.Vpcs.IsEmpty, Bridged: request.Host.Bridge == BridgeLayer.Open);

    internal static NftChain Shaped(NftFamily family, NftChain chain) =>
        family == NftFamily.Bridge ? Exprs.InBridge(chain) : chain;

    /// <summary>What a table is made of.</summary>
    private sealed class Parts
    {
        public List<NftChain> Chains { get; } = [];

        public List<NftSet> Sets { get; } = [];

        public List<NftObject> Objects { get; } = [];
    }

    /// <summary>One compilation's working state.</summary>
    private sealed class Compilation(CompileRequest request)
    {
        private readonly PolicySnapshot policy = request.Policy;
        private readonly ILookup<string, Vnic> vnicsOf = request.Policy.Vnics.Values
            .SelectMany(vnic => vnic.GroupIds.Select(id => (id, vnic)))
            .ToLookup(pair => pair.id, pair => pair.vnic, StringComparer.Ordinal);
        private readonly SortedDictionary<string, string> failed = new(StringComparer.Ordinal);
        private readonly Dictionary<string, CompiledProfile> compiled = new(StringComparer.Ordinal);
        private readonly Dictionary<string, string> closedProfiles = new(StringComparer.Ordinal);
        private readonly ImmutableSortedDictionary<string, ushort> zones =
            ZoneNumbers.Of(request.Policy, request.Settings, request.KnownZones);

        /// <summary>Profiles, classes, timeouts: alike in every table that judges.</summary>
        private readonly Parts shared = new();
        private readonly HashSet<string> open = new(StringComparer.Ordinal);
        private ImmutableSortedSet<string> counted = [];
        private int uncounted;

        /// <summary>Alike in every table that judges.</summary>
        private readonly DropCounters drops = DropCounters.Of(
            [.. request.Policy.Vnics.Values.Select(vnic => vnic.InterfaceName)],
            [.. request.Policy.Vpcs.Values.SelectMany(vpc => vpc.UplinkInterfaces)], request.Previous?.Drops);

        public CompiledRuleset Run()
        {
            var classes = new Dictionary<string, AddressClasses>(StringComparer.Ordinal);
            foreach (IGrouping<string, Profile> vpc in policy.Vnics.Values
                .Select(Profile.Of).Distinct().GroupBy(profile => profile.VpcId, StringComparer.Ordinal))
            {
                classes.Add(vpc.Key, AddVpc(vpc.Key, [.. vpc]));
            }

            AddTimes();
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                Open(vnic);
            }

            counted = RuleHits.Chosen(policy, request.Settings, RulesOf, out uncounted);
            shared.Sets.AddRange(RuleHits.Sets(
                request.Settings, policy.Vnics.Values.Where(vnic => counted.Contains(vnic.Id)), RulesOf));
            Dictionary<string, VnicGuard> guards = Guards();
            NftTable[] tables = [JudgingTable(NftFamily.Inet), GuardTable(guards.Values), .. BridgeTable()];
            return new CompiledRuleset(request, new Ruleset(tables.ToValueArray()), compiled, classes, guards, drops)
            {
                Failed = failed.ToImmutableSortedDictionary(StringComparer.Ordinal),
                Closed = [.. policy.Vnics.Keys.Where(id => !open.Contains(id))],
                Zones = zones,
                CountedVnics = counted,
                UncountedRules = uncounted,
            };
        }

        private IEnumerable<EffectiveRule> RulesOf(Vnic vnic) => !open.Contains(vnic.Id) ? []
            : ((Direction[])[Direction.Egress, Direction.Ingress])
                .SelectMany(way => RuleHits.Of(compiled[CompiledRuleset.ProfileOf(vnic)], way));

        private AddressClasses AddVpc(string vpcId, Profile[] profiles)
        {
            var sources = new Dictionary<Profile, ProfileSource>();
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
                    sources.Add(profile, ProfileSource.Of(profile, rules, request.PolicySettings, Earlier(profile)));
                }
            }

            AddressClasses? before = request.Previous?.Classes.GetValueOrDefault(vpcId);
            AddressClasses classes = AddressClasses.Of(vpcId, Tags(sources.Values), before);
            shared.Sets.AddRange(classes.Maps());
            shared.Chains.AddRange(classes.Chains());
            HashSet<string> moved = classes.TagsThatMoved(before);
            foreach ((Profile profile, ProfileSource source) in sources)
            {
                CompiledProfile? earlier = Earlier(profile);
                bool same = earlier is not null && ReferenceEquals(earlier.Source, source)
                    && !source.Tags.Overlaps(moved);
                Add(profile, same ? earlier! : CompiledProfile.Of(profile, source, classes, request.Settings));
            }

            return classes;
        }

        private CompiledProfile? Earlier(Profile profile) =>
            request.Previous is { } previous && previous.Request.Settings == request.Settings
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
            shared.Sets.AddRange(part.Sets);
            shared.Chains.AddRange(part.Chains);
        }

        private Dictionary<string, IReadOnlyCollection<IpPrefix>> Tags(IEnumerable<ProfileSource> sources)
        {
            var tags = new Dictionary<string, IReadOnlyCollection<IpPrefix>>(StringComparer.Ordinal);
            foreach (ProfileSource source in sources)
            {
                foreach (string tag in source.Tags)
                {
                    if (!tags.ContainsKey(tag))
                    {
                        tags.Add(tag, PrefixesOf(tag, source.Policy));
                    }
                }
            }

            return tags;
        }

        // Members and lists are facts of today, also for a profile that keeps yesterday's rules.
        private IReadOnlyCollection<IpPrefix> PrefixesOf(string tag, PolicySnapshot source)
        {
            string id = tag[2..];
            return tag[0] switch
            {
                'c' => [IpPrefix.Parse(id)],
                'l' => (policy.PrefixLists.GetValueOrDefault(id) ?? source.PrefixLists[id]).Entries,
                'g' => Members(policy.Groups.GetValueOrDefault(id) ?? source.Groups[id]),
                _ => throw new ArgumentOutOfRangeException(nameof(tag), tag, "unknown tag"),
            };
        }

        private List<IpPrefix> Members(SecurityGroup group)
        {
            var members = new List<IpPrefix>(group.Members);
            foreach (Vnic vnic in vnicsOf[group.Id])
            {
                members.AddRange(vnic.Addresses);
                members.AddRange(vnic.DelegatedPrefixes);
            }

            return members;
        }

        private NftTable JudgingTable(NftFamily family)
        {
            Datapath datapath = DatapathOf(request, family);
            var parts = new Parts();
            parts.Chains.AddRange(shared.Chains.Concat(datapath.Chains()));
            parts.Sets.AddRange(shared.Sets);
            parts.Objects.AddRange(shared.Objects.Concat(Datapath.Objects()));
            AddVnics(datapath, parts);
            AddZones(parts, datapath);
            if (datapath.IsBridge)
            {
                var ports = new BridgePorts(policy, zones, open, request.Settings);
                parts.Chains.AddRange(ports.Chains());
                parts.Sets.AddRange(ports.Sets());
            }

            if (request.Settings.AdoptsSessions)
            {
                parts.Sets.Add(Datapath.InterfaceSet(Datapath.AdoptingSet, policy.Vnics.Values
                    .Where(vnic => request.Adopting.Contains(vnic.Id))
                    .Select(vnic => vnic.InterfaceName)));
            }

            if (family == NftFamily.Inet && request.Host.Bridge == BridgeLayer.Open)
            {
                parts.Sets.Add(Datapath.InterfaceSet(Datapath.BridgeSet, request.Host.Bridges));
            }

            parts.Sets.AddRange(drops.Maps);
            parts.Sets.AddRange(LogSet(family, drops.Interfaces));
            return Table(
                family, parts.Chains.Select(chain => Shaped(family, chain)), parts.Sets, parts.Objects, drops.Objects);
        }

        private NftTable[] BridgeTable() => request.Host.Bridge switch
        {
            BridgeLayer.Open => [JudgingTable(NftFamily.Bridge)],
            BridgeLayer.Closed => [Table(
                NftFamily.Bridge,
                ClosedBridge.Chains(request.Settings, LogOf(request, NftFamily.Bridge)),
                [
                    ClosedBridge.Vnics(policy.Vnics.Values.Select(vnic => vnic.InterfaceName)),
                    .. LogSet(NftFamily.Bridge, policy.Vnics.Values.Select(vnic => vnic.InterfaceName)),
                ],
                Datapath.Objects())],
            _ => [],
        };

        private IEnumerable<NftSet> LogSet(NftFamily family, IEnumerable<string> interfaces) =>
            LogOf(request, family) is { } log ? [log.Set(interfaces)] : [];

        private void AddVnics(Datapath datapath, Parts parts)
        {
            var from = new DispatchRows();
            var to = new DispatchRows();
            foreach (IGrouping<string, Vnic> vpc in
                policy.Vnics.Values.GroupBy(vnic => vnic.VpcId, StringComparer.Ordinal))
            {
                var own = new DispatchRows();
                foreach (Vnic vnic in vpc)
                {
                    string profile = CompiledRuleset.ProfileOf(vnic);
                    var its = new VnicChains(vnic, request.Settings, request.Host, counted.Contains(vnic.Id))
                    {
                        Flows = FlowLog.Of(
                            vnic, compiled.GetValueOrDefault(profile), request.Settings,
                            request.Host.LogFamilies.Contains(datapath.Family)),
                    };
                    bool isOpen = open.Contains(vnic.Id);
                    parts.Chains.AddRange(isOpen ? its.Chains(datapath, profile) : []);
                    parts.Sets.AddRange(isOpen ? its.Sets : []);
                    from.Goto(vnic.InterfaceName, isOpen ? its.Out : Datapath.DropFrom(DropReason.Closed));
                    to.Goto(vnic.InterfaceName, isOpen ? its.In : Datapath.DropTo(DropReason.Closed));
                    own.Goto(vnic.InterfaceName, isOpen ? its.In : Datapath.DropTo(DropReason.Closed));
                }

                foreach (string uplink in policy.Vpcs.GetValueOrDefault(vpc.Key)?.UplinkInterfaces ?? [])
                {
                    own.Goto(uplink, Datapath.Admit);
                }

                parts.Chains.Add(datapath.Stage(AddressClasses.NameOf(vpc.Key)));
                parts.Sets.Add(own.Map(Datapath.VpcMap(AddressClasses.NameOf(vpc.Key))));
            }

            parts.Chains.AddRange(datapath.PassOnChain(policy.Vnics.Values
                .Select(vnic => AddressClasses.NameOf(vnic.VpcId)).Distinct(StringComparer.Ordinal)));
            parts.Sets.Add(from.Map(Datapath.FromMap));
            parts.Sets.Add(to.Map(Datapath.ToMap));
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

        private void AddZones(Parts parts, Datapath datapath)
        {
            if (policy.Vpcs.IsEmpty)
            {
                return;
            }

            var gate = new DispatchRows();
            foreach (Vnic vnic in policy.Vnics.Values)
            {
                gate.Add(vnic.InterfaceName, NftVerdict.Jump(Datapath.Gate(BridgePorts.ZoneOf(vnic, zones))));
            }

            var rows = new NftElements.Builder(
                NftElements.RowLength([NftType.IfName], interval: false, NftSetKind.ZoneMap));
            foreach ((string name, ushort zone) in ZoneNumbers.ByInterface(policy, zones))
            {
                Span<byte> row = rows.Add();
                NftElements.PutName(row[..NftElements.InterfaceBytes], name);
                BitConverter.TryWriteBytes(row[NftElements.InterfaceBytes..], zone);
            }

            parts.Chains.AddRange(
                zones.Select(pair => Datapath.GateChain(AddressClasses.NameOf(pair.Key), pair.Value)));
            parts.Sets.AddRange(datapath.IsBridge ? [] : [gate.Map(Datapath.GateMap)]);
            parts.Sets.Add(new NftSet(
                Datapath.ZoneMap, [NftType.IfName], Interval: false, NftSetKind.ZoneMap, Size: null, Counters: false,
                rows.Build()));
        }

        private void AddTimes()
        {
            ImmutableArray<byte> protocols = request.Host.TimeoutProtocols;
            if (protocols.IsEmpty)
            {
                return;
            }

            SessionTimeouts[] used = [.. policy.Vnics.Values.Select(vnic => vnic.Timeouts).Distinct()];
            shared.Chains.AddRange(used.Select(times => SessionTimes.Chain(times, protocols)));
            shared.Objects.AddRange(used.SelectMany(times => SessionTimes.Objects(times, protocols))
                .Concat(request.KeptTimes.Select(SessionTimes.Object).OfType<NftObject.CtTimeout>())
                .DistinctBy(item => item.Name));
        }

        private Dictionary<string, VnicGuard> Guards()
        {
            DropLog? log = LogOf(request, NftFamily.Netdev);
            return policy.Vnics.Values
                .Where(vnic => !request.ClosedVnics.ContainsKey(vnic.Id))
                .Where(vnic => request.Host.NetdevHooksByName
                    || request.Host.PresentInterfaces.Contains(vnic.InterfaceName))
                .ToDictionary(
                    vnic => vnic.Id,
                    vnic => VnicGuard.Of(vnic, log, request.Previous?.Guards.GetValueOrDefault(vnic.Id)),
                    StringComparer.Ordinal);
        }

        private NftTable GuardTable(Dictionary<string, VnicGuard>.ValueCollection guards) => Table(
            NftFamily.Netdev,
            guards.Count == 0 ? [] : guards.SelectMany(guard => guard.Chains)
                .Concat(VnicGuard.SharedChains(LogOf(request, NftFamily.Netdev))),
            guards.Count == 0 ? [] : VnicGuard.SharedSets.Concat(guards.SelectMany(guard => guard.Sets))
                .Concat(LogSet(NftFamily.Netdev, guards.Select(guard => guard.Device))),
            guards.SelectMany(guard => guard.Counters));

        private NftTable Table(
            NftFamily family, IEnumerable<NftChain> chains, IEnumerable<NftSet> sets,
            IEnumerable<NftObject> objects, IReadOnlyList<NftObject>? ordered = null) => new(
                family, request.Settings.Table,
                chains.OrderBy(chain => chain.Name, StringComparer.Ordinal).ToValueArray(),
                sets.OrderBy(set => set.Name, StringComparer.Ordinal).ToValueArray(),
                InOrder([.. objects.OrderBy(item => item.Name, StringComparer.Ordinal)], ordered ?? []));

        // Counters of drops are thousands, and mostly those of the compilation before: not sorted again.
        private static ValueArray<NftObject> InOrder(NftObject[] few, IReadOnlyList<NftObject> many)
        {
            var all = new List<NftObject>(few.Length + many.Count);
            int next = 0;
            foreach (NftObject one in many)
            {
                while (next < few.Length && string.CompareOrdinal(few[next].Name, one.Name) < 0)
                {
                    all.Add(few[next++]);
                }

                all.Add(one);
            }

            all.AddRange(few.AsSpan(next));
            return all.ToValueArray();
        }
    }
}
