using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// What tables hold because of the host and its vNICs: dispatch, chains of each vNIC, guards, zones. Rules and members
/// are not in it, so that a change of those takes it over as it is.
/// </summary>
internal sealed class HostLayout
{
    private readonly HostBasis basis;
    private readonly CompileRequest request;
    private readonly PolicySnapshot policy;
    private readonly Dictionary<NftFamily, Side> sides = [];

    private HostLayout(
        HostBasis basis, IReadOnlyDictionary<string, CompiledProfile> profiles, HostLayout? earlier)
    {
        this.basis = basis;
        request = basis.Request;
        policy = request.Policy;
        Guards = FindGuards(earlier);
        GuardTable = MakeGuardTable(earlier);
        ClosedBridgeTable = request.Host.Bridge == BridgeLayer.Closed ? MakeClosedBridgeTable() : null;
        foreach (NftFamily family in ((NftFamily[])[NftFamily.Inet, NftFamily.Bridge])
            .Where(family => RulesetCompiler.Judges(request, family)))
        {
            HostLayout? alike = earlier is not null && basis.IsLaidOutAs(earlier.basis) ? earlier : null;
            sides.Add(family, new Side(this, family, profiles, alike?.sides.GetValueOrDefault(family)));
        }
    }

    /// <summary>By vNIC id; only of devices that can be guarded.</summary>
    public IReadOnlyDictionary<string, VnicGuard> Guards { get; }

    public NftTable GuardTable { get; }

    /// <summary>Null: there is none, or it judges.</summary>
    public NftTable? ClosedBridgeTable { get; }

    /// <param name="basis">What it is made of.</param>
    /// <param name="profiles">By name; asked for which sessions are reported.</param>
    /// <param name="earlier">Taken if it has the same basis; otherwise what is the same in it.</param>
    public static HostLayout Of(
        HostBasis basis, IReadOnlyDictionary<string, CompiledProfile> profiles, HostLayout? earlier) =>
        earlier is not null && basis.IsSame(earlier.basis) ? earlier : new HostLayout(basis, profiles, earlier);

    /// <summary>Chains of a judging table, in the order of their names.</summary>
    public NftChain[] Chains(NftFamily family) => sides[family].Chains;

    /// <summary>Sets, likewise.</summary>
    public NftSet[] Sets(NftFamily family) => sides[family].Sets;

    private IEnumerable<NftSet> LogSet(NftFamily family, IEnumerable<string> interfaces) =>
        RulesetCompiler.LogOf(request, family) is { } log ? [log.Set(interfaces)] : [];

    private Dictionary<string, VnicGuard> FindGuards(HostLayout? earlier)
    {
        DropLog? log = RulesetCompiler.LogOf(request, NftFamily.Netdev);
        return policy.Vnics.Values
            .Where(vnic => !request.ClosedVnics.ContainsKey(vnic.Id))
            .Where(vnic => request.Host.NetdevHooksByName
                || request.Host.PresentInterfaces.Contains(vnic.InterfaceName))
            .ToDictionary(
                vnic => vnic.Id,
                vnic => VnicGuard.Of(vnic, log, earlier?.Guards.GetValueOrDefault(vnic.Id)),
                StringComparer.Ordinal);
    }

    private NftTable MakeGuardTable(HostLayout? earlier) =>
        earlier is not null && Guards.Count == earlier.Guards.Count && earlier.basis.HasLogOf(basis)
            && Guards.All(guard => ReferenceEquals(guard.Value, earlier.Guards.GetValueOrDefault(guard.Key)))
            ? earlier.GuardTable
        : RulesetCompiler.Table(
            request, NftFamily.Netdev,
            Guards.Count == 0 ? [] : Guards.Values.SelectMany(guard => guard.Chains)
                .Concat(VnicGuard.SharedChains(RulesetCompiler.LogOf(request, NftFamily.Netdev))),
            Guards.Count == 0 ? [] : VnicGuard.SharedSets.Concat(Guards.Values.SelectMany(guard => guard.Sets))
                .Concat(LogSet(NftFamily.Netdev, Guards.Values.Select(guard => guard.Device))),
            Guards.Values.SelectMany(guard => guard.Counters));

    private NftTable MakeClosedBridgeTable() => RulesetCompiler.Table(
        request, NftFamily.Bridge,
        ClosedBridge.Chains(request.Settings, RulesetCompiler.LogOf(request, NftFamily.Bridge)),
        [
            ClosedBridge.Vnics(basis.Index.Interfaces),
            .. LogSet(NftFamily.Bridge, basis.Index.Interfaces),
        ],
        Datapath.Objects());

    /// <summary>A vNIC's own chains and sets in one table.</summary>
    private sealed record VnicPiece(
        Vnic Vnic, bool IsCounted, FlowLog? Flows, ImmutableArray<NftChain> Chains, ImmutableArray<NftSet> Sets);

    /// <summary>The part of one judging table.</summary>
    private sealed class Side
    {
        private readonly HostLayout layout;
        private readonly PolicySnapshot policy;
        private readonly Datapath datapath;
        private readonly Dictionary<string, VnicPiece> pieces = new(StringComparer.Ordinal);
        private readonly List<NftChain> chains = [];
        private readonly List<NftSet> sets = [];

        public Side(
            HostLayout layout, NftFamily family, IReadOnlyDictionary<string, CompiledProfile> profiles, Side? earlier)
        {
            this.layout = layout;
            policy = layout.policy;
            datapath = RulesetCompiler.DatapathOf(layout.request, family);
            AddVnics(profiles, earlier);
            AddZones();
            AddBridge();
            if (layout.request.Settings.AdoptsSessions)
            {
                sets.Add(Datapath.InterfaceSet(Datapath.AdoptingSet, policy.Vnics.Values
                    .Where(vnic => layout.request.Adopting.Contains(vnic.Id))
                    .Select(vnic => vnic.InterfaceName)));
            }

            sets.AddRange(layout.basis.Drops.Maps);
            sets.AddRange(layout.LogSet(family, layout.basis.Drops.Interfaces));
            Chains = NameOrder.Of(chains, chain => chain.Name);
            Sets = NameOrder.Of(sets, set => set.Name);
        }

        public NftChain[] Chains { get; }

        public NftSet[] Sets { get; }

        private void AddBridge()
        {
            CompileRequest request = layout.request;
            if (datapath.IsBridge)
            {
                var ports = new BridgePorts(policy, layout.basis.Zones, layout.basis.Open, request.Settings);
                Add(ports.Chains());
                sets.AddRange(ports.Sets());
            }
            else if (request.Host.Bridge == BridgeLayer.Open)
            {
                sets.Add(Datapath.InterfaceSet(Datapath.BridgeSet, request.Host.Bridges));
            }
        }

        private void Add(IEnumerable<NftChain> more) =>
            chains.AddRange(more.Select(chain => RulesetCompiler.Shaped(datapath.Family, chain)));

        private void AddVnics(IReadOnlyDictionary<string, CompiledProfile> profiles, Side? earlier)
        {
            var from = new DispatchRows();
            var to = new DispatchRows();
            foreach (IGrouping<string, Vnic> vpc in
                policy.Vnics.Values.GroupBy(vnic => vnic.VpcId, StringComparer.Ordinal))
            {
                var own = new DispatchRows();
                foreach (Vnic vnic in vpc)
                {
                    string name = Names.OfInterface(vnic.InterfaceName);
                    bool isOpen = layout.basis.Open.Contains(vnic.Id);
                    if (isOpen)
                    {
                        VnicPiece piece = PieceOf(
                            vnic, profiles.GetValueOrDefault(CompiledRuleset.ProfileOf(vnic)),
                            earlier?.pieces.GetValueOrDefault(vnic.Id));
                        pieces.Add(vnic.Id, piece);
                        chains.AddRange(piece.Chains);
                        sets.AddRange(piece.Sets);
                    }

                    string inward = isOpen ? VnicChains.In(name) : Datapath.DropTo(DropReason.Closed);
                    from.Goto(vnic.InterfaceName,
                        isOpen ? VnicChains.Out(name) : Datapath.DropFrom(DropReason.Closed));
                    to.Goto(vnic.InterfaceName, inward);
                    own.Goto(vnic.InterfaceName, inward);
                }

                foreach (string uplink in policy.Vpcs.GetValueOrDefault(vpc.Key)?.UplinkInterfaces ?? [])
                {
                    own.Goto(uplink, Datapath.Admit);
                }

                Add([datapath.Stage(AddressClasses.NameOf(vpc.Key))]);
                sets.Add(own.Map(Datapath.VpcMap(AddressClasses.NameOf(vpc.Key))));
            }

            Add(datapath.PassOnChain(policy.Vnics.Values
                .Select(vnic => vnic.VpcId).Distinct(StringComparer.Ordinal).Select(AddressClasses.NameOf)));
            sets.Add(from.Map(Datapath.FromMap));
            sets.Add(to.Map(Datapath.ToMap));
        }

        private VnicPiece PieceOf(Vnic vnic, CompiledProfile? profile, VnicPiece? earlier)
        {
            CompileRequest request = layout.request;
            bool counted = layout.basis.Counted.Contains(vnic.Id);
            FlowLog? flows = FlowLog.Of(
                vnic, profile, request.Settings, request.Host.LogFamilies.Contains(datapath.Family));
            if (earlier is not null && ReferenceEquals(earlier.Vnic, vnic) && earlier.IsCounted == counted
                && earlier.Flows == flows)
            {
                return earlier;
            }

            var its = new VnicChains(vnic, request.Settings, request.Host, counted) { Flows = flows };
            return new VnicPiece(vnic, counted, flows,
                [
                    .. its.Chains(datapath, CompiledRuleset.ProfileOf(vnic))
                        .Select(chain => RulesetCompiler.Shaped(datapath.Family, chain)),
                ],
                [.. its.Sets]);
        }

        private void AddZones()
        {
            if (policy.Vpcs.IsEmpty)
            {
                return;
            }

            ImmutableSortedDictionary<string, ushort> zones = layout.basis.Zones;
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

            Add(zones.Select(pair => Datapath.GateChain(AddressClasses.NameOf(pair.Key), pair.Value)));
            sets.AddRange(datapath.IsBridge ? [] : [gate.Map(Datapath.GateMap)]);
            sets.Add(new NftSet(
                Datapath.ZoneMap, [NftType.IfName], Interval: false, NftSetKind.ZoneMap, Size: null, Counters: false,
                rows.Build()));
        }
    }
}
