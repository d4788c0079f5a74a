using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Where a datapath stands.</summary>
/// <param name="Family">inet for routed vNICs, bridge for ports of a bridge.</param>
/// <param name="Zoned">Some VPC is listed.</param>
/// <param name="Bridged">Packets may be judged at a bridge before or after they are routed.</param>
internal readonly record struct Layer(NftFamily Family, bool Zoned, bool Bridged)
{
    public bool IsBridge => Family == NftFamily.Bridge;
}

/// <summary>
/// The fixed part of the inet and of the bridge table: hooks, state, dispatch, drops (datapath.md section 3).
/// </summary>
/// <remarks>
/// <code>
/// sg_zone_prerouting / sg_zone_output, before conntrack: ct zone := @zones of the interface
/// sg_forward / sg_input / sg_output
///    oifname @zone_gate: tracked in another zone than the vNIC's ----------> counted, final
///    established, related -> live: established, live epoch ---------------> accept
///                                  ICMP error of a session of it ---------> accept
///    iifname @vnic_from -> vnic_X_out: state, egress judgement  --drop-->  counted, final
///                             `-> stage_to_VPC: for the host? host_gate
///                                 oifname @to_VPC -> vnic_Y_in; of another VPC --> counted, final
///    oifname @vnic_to   -> vnic_Y_in:  state, ingress judgement --drop-->  counted, final
///                             `-> admit -> stamp: ct mark := epoch -------> accept
///    tap*, vnet* that no policy names ------------------------------------> closed
///    everything else: untouched
/// </code>
/// A packet of a session (whichever way it travels) is judged by the session's original direction: replies go through
/// the mirrored chains. The mark is written last, after both ends passed. Only <c>live</c> and <c>stamp</c> name the
/// epoch, so that a new one is five messages, whatever else the ruleset holds.
///
/// Zones and their gate are written only if a VPC is listed. The gate stands before the fast path: a session that was
/// admitted in one zone never reaches a vNIC of another one, even if a route changes under it.
///
/// The bridge table has the same hooks and chains; frames between two ports pass its forward hook. What leaves the
/// bridge to be routed, or was routed to it, passes both tables, and the session's mark must wait for the last of them:
/// <code>
/// bridge input:  sender judged -> packet mark := passed(VPC)
/// inet input:    passed -> host_gate -> admit
/// inet forward:  receiver judged; passed -> stage_to_VPC; to a bridge -> packet mark := passed(VPC)
/// inet output:   answer of no service to a bridge -> packet mark := unserved
/// bridge output: unserved, to a vNIC -> drop
///                receiver judged, passed of another VPC -> drop; otherwise passed -> admit
/// </code>
/// </remarks>
/// <param name="settings">Switches of the layout.</param>
/// <param name="policy">Switches of the semantics.</param>
/// <param name="epoch">The policy epoch.</param>
/// <param name="layer">Where it stands.</param>
/// <param name="log">Reports what is dropped; null: nothing does.</param>
internal sealed partial class Datapath(
    CompilerSettings settings, PolicySettings policy, uint epoch, Layer layer, DropLog? log)
{
    public const string FromMap = "vnic_from";
    public const string ToMap = "vnic_to";
    public const string Admit = "admit";
    public const string ZoneMap = "zones";
    public const string GateMap = "zone_gate";

    /// <summary>Interfaces whose running sessions are taken over (<see cref="CompileRequest.Adopting"/>).</summary>
    public const string AdoptingSet = "adopting";

    /// <summary>Writes the epoch into a session's mark.</summary>
    public const string Stamp = "stamp";

    private const string Live = "live";
    /// <summary>Names of the bridge devices.</summary>
    public const string BridgeSet = "bridges";

    private const string PassOn = "pass_on";
    private const string HostGate = "host_gate";
    private const string HostReplies = "host_replies";
    private const string DhcpTo = "dhcp_to";
    private const string Related = "related";

    /// <summary>nf_tables hook priority "filter".</summary>
    private const int FilterPriority = 0;

    /// <summary>
    /// Behind bridge conntrack (-200), before br_netfilter (-1): where that module is loaded and asked to pass frames
    /// to iptables, it takes them away and goes on behind priority 0 (net/bridge/br_netfilter_hooks.c,
    /// br_nf_hook_thresh).
    /// </summary>
    public const int BridgePriority = -100;

    /// <summary>
    /// NF_IP_PRI_RAW_BEFORE_DEFRAG: conntrack puts fragments together at -400, by zone; later, those of two VPCs with
    /// the same addresses would mix.
    /// </summary>
    private const int BeforeDefragPriority = -450;

    public static string DropFrom(string reason) => $"drop_from_{reason}";

    public static string DropTo(string reason) => $"drop_to_{reason}";

    /// <param name="vpc">The VPC's part of names (<see cref="AddressClasses.Name"/>).</param>
    public static string StageTo(string vpc) => $"stage_to_{vpc}";

    /// <summary>Dispatches to the vNICs of one VPC.</summary>
    public static string VpcMap(string vpc) => $"to_{vpc}";

    /// <summary>Passes what is tracked in the VPC's zone.</summary>
    public static string Gate(string vpc) => $"gate_{vpc}";

    /// <summary>Stands for all VPCs that are not listed.</summary>
    public const string Unlisted = "unlisted";

    public static string ClosedCounter(bool from) => from ? "closed_from" : "closed_to";

    public static IEnumerable<NftObject> Objects() =>
        [new NftObject.Counter(ClosedCounter(from: true)), new NftObject.Counter(ClosedCounter(from: false))];

    public bool IsBridge => layer.IsBridge;

    public NftFamily Family => layer.Family;

    public int Priority => layer.IsBridge ? BridgePriority : FilterPriority;

    /// <summary>Those of the chains that name the epoch.</summary>
    public IEnumerable<NftChain> EpochChains()
    {
        yield return Regular(Live,
        [
            Exprs.CommentedRule("sessions judged at this epoch", Exprs.CtState(CtStates.Established),
                Exprs.CtMarkMasked(settings.EpochMask, epoch), Exprs.Accept()),
            Exprs.Rule(
                Exprs.CtState(CtStates.Related), Exprs.CtMarkMasked(settings.EpochMask, epoch), Exprs.Jump(Related)),
            .. LaterFragments(
                Exprs.CtMarkMasked(settings.EpochMask, epoch), Exprs.MarkSet(0), Exprs.Accept()),
            // The first one was dropped; what lacks its ports must not revive the session.
            .. Fragments().SelectMany(fragment => CountedTo(DropReason.Stale, AFragment,
                fragment, Exprs.CtState(CtStates.New | CtStates.Established | CtStates.Related))),
        ]);
        yield return Regular(Stamp, Exprs.Rule(Exprs.CtMarkSet(settings.EpochMask, epoch), Exprs.Accept()));
    }

    public IEnumerable<NftChain> Chains()
    {
        yield return Hooked("sg_forward", NftHook.Forward,
            [.. GateRules(), .. FastPath(), .. LinkLocal(), .. DispatchFrom(), .. DispatchTo(ToMap),
            .. Passed(PassOn)], Priority);
        yield return Hooked(
            "sg_input", NftHook.Input, [.. FastPath(), .. DispatchFrom(), .. Passed(HostGate)], Priority);
        yield return Hooked("sg_output", NftHook.Output,
            layer.IsBridge
                ? [.. GateRules(), .. FastPath(), .. LaterFragments(Exprs.Jump(Live)), .. Unserved(),
                    .. DispatchTo(ToMap), .. PassedRule(Admit)]
                : [.. GateRules(), .. FastPath(),
                    Exprs.Rule(Exprs.CtDirection(reply: true), Exprs.Jump(HostReplies)),
                    .. DispatchTo(ToMap), .. HostAnswers()], Priority);
        yield return Regular(Admit, Exprs.Rule(Exprs.MarkSet(0)), Exprs.Rule(Exprs.Goto(Stamp)));
        yield return Regular(Related, [.. IcmpErrors()]);
        foreach (NftChain chain in EpochChains().Concat(StateChains(from: true)).Concat(StateChains(from: false)))
        {
            yield return chain;
        }

        foreach (NftChain chain in DropChains().Append(DhcpChain()).Concat(HostChains())
            .Concat(layer.Zoned ? ZoneChains() : []))
        {
            yield return chain;
        }
    }

    /// <summary>After the judgement of a sender: on to the receiver, if it is of the same VPC.</summary>
    public NftChain Stage(string vpc) => Regular(StageTo(vpc),
    [
        Exprs.Rule(Exprs.MarkSet(0)),
        layer.IsBridge
            ? Exprs.CommentedRule("to be routed, or to this host", Exprs.HasNoOutgoing(),
                Exprs.MarkSet(Decision.PassedFrom(vpc)), Exprs.Accept())
            : Exprs.Rule(Exprs.HasNoOutgoing(), Exprs.Goto(HostGate)),
        Exprs.Rule(Exprs.InterfaceMap(incoming: false, VpcMap(vpc))),
        .. CountedTo(DropReason.Zone, "of another VPC"),
        .. ClosedTo(),
        .. layer is { IsBridge: false, Bridged: true }
            ? ToBridge(Exprs.MarkSet(Decision.PassedFrom(vpc)), Exprs.Accept()) : [],
        Exprs.Rule(Exprs.Goto(Admit)),
    ]);

    /// <summary>Behind a bridge: on from where the sender was judged, as if it had been judged here.</summary>
    /// <param name="vpcs">The VPCs' parts of names.</param>
    public IEnumerable<NftChain> PassOnChain(IEnumerable<string> vpcs) => layer is { IsBridge: false, Bridged: true }
        ? [Regular(PassOn, [.. vpcs.Select(vpc =>
            Exprs.Rule(Exprs.MarkIs(Decision.PassedFrom(vpc)), Exprs.Goto(StageTo(vpc))))])]
        : []; // another mark is somebody else's

    private static IEnumerable<NftRule> ToBridge(params IEnumerable<NftExpr>[] then) =>
        [Exprs.CommentedRule("judged again behind the bridge",
            [Exprs.InterfaceIn(incoming: false, BridgeSet), .. then])];

    // At the bridge nobody can tell whether a frame will be routed, or was; here it is. What a bridge says itself is of
    // no session, so that to a bridge nothing may go that looks like it.
    private IEnumerable<NftRule> LinkLocal() => layer is { IsBridge: false, Bridged: true }
        ? ((bool[])[true, false]).Select(incoming => Exprs.CommentedRule(
            "link-local", Exprs.CtState(incoming ? CtStates.Untracked : CtStates.Untracked | CtStates.Invalid),
            Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.Family(IpFamily.V6), Exprs.InterfaceIn(incoming, BridgeSet),
            Exprs.Drop())) // in this order nft lists both
        : [];

    // What was judged at a bridge and reached no vNIC here.
    private IEnumerable<NftRule> Passed(string next) =>
        layer is { IsBridge: false, Bridged: true } ? PassedRule(next) : [];

    private static IEnumerable<NftRule> PassedRule(string next) =>
        [Exprs.Rule(Exprs.MarkMasked(Decision.Passed, Decision.Passed), Exprs.Goto(next))];

    // Only the inet table knows that the host itself answers, only the bridge knows whether it answers a vNIC.
    private IEnumerable<NftRule> Unserved() =>
    [
        .. CountedTo(DropReason.Stale, "of a service that is closed", Exprs.MarkIs(Decision.HostUnserved)),
        Exprs.Rule(Exprs.MarkIs(Decision.HostUnserved), Exprs.MarkSet(0)),
    ];

    /// <summary>Jumped to for every packet to a vNIC of the VPC.</summary>
    public static NftChain GateChain(string vpc, ushort zone) =>
        Regular(Gate(vpc), Exprs.Rule(Exprs.CtZoneIsNot(zone), Exprs.Goto(DropTo(DropReason.Zone))));

    public static NftSet InterfaceSet(string name, IEnumerable<string> interfaces)
    {
        var rows = new NftElements.Builder(16);
        foreach (string device in interfaces)
        {
            NftElements.PutName(rows.Add(), device);
        }

        return new NftSet(
            name, [NftType.IfName], Interval: false, NftSetKind.Set, Size: null, Counters: false, rows.Build());
    }

    /// <summary>Guest to anywhere.</summary>
    public NftChain VnicOut(
        string name, string vpc, string judge, string judgeReply, IEnumerable<NftRule> addressed, string next,
        bool counted) => Regular(name,
    [
        .. LinkRules(CtStates.Untracked, BridgePorts.LinkFrom(vpc)),
        Exprs.Rule(Exprs.Jump("state_from")),
        .. DhcpClient(Exprs.Goto(next)),
        .. addressed,
        Exprs.Rule(Exprs.CtDirection(reply: false), Exprs.Jump(judge)),
        .. RuleHits.Judged(from: true, counted),
        Exprs.Rule(Exprs.CtDirection(reply: true), Exprs.Jump(judgeReply)),
        Exprs.Rule(Exprs.Goto(next)),
    ]);

    private NftRule[] LinkRules(uint states, string chain) =>
        layer.IsBridge ? [Exprs.Rule(Exprs.CtState(states), Exprs.Jump(chain))] : [];

    /// <summary>Anywhere to guest.</summary>
    public NftChain VnicIn(
        string name, string vpc, string judge, string judgeReply,
        IEnumerable<NftRule> addressed, IEnumerable<NftRule> opening, bool counted)
    {
        var rules = new List<NftRule>();
        if (layer.Bridged)
        {
            rules.Add(Exprs.Rule(Exprs.MarkMasked(Decision.Passed, Decision.Passed),
                Exprs.MarkIsNot(Decision.PassedFrom(vpc)), Exprs.Goto(DropTo(DropReason.Zone))));
        }

        foreach (uint mark in policy.TrustedMarks)
        {
            rules.Add(Exprs.CommentedRule("trusted mark", Exprs.MarkIs(mark), Exprs.Goto(Stamp)));
        }

        rules.AddRange(LinkRules(CtStates.Untracked | CtStates.Invalid, BridgePorts.LinkTo(vpc)));
        rules.Add(Exprs.Rule(Exprs.Jump("state_to")));
        rules.Add(Exprs.CommentedRule("DHCP server", Exprs.L4Proto(IpProtocol.Udp), Exprs.PortIs(source: true, 67),
            Exprs.PortIs(source: false, 68), Exprs.Jump(DhcpTo)));
        rules.Add(Exprs.CommentedRule("DHCPv6 server", Exprs.L4Proto(IpProtocol.Udp), Exprs.PortIs(source: true, 547),
            Exprs.PortIs(source: false, 546), Exprs.Jump(DhcpTo)));
        rules.AddRange(addressed);
        rules.AddRange([Exprs.Rule(Exprs.CtDirection(reply: false), Exprs.Jump(judge)),
            .. RuleHits.Judged(from: false, counted)]);
        rules.Add(Exprs.Rule(Exprs.CtDirection(reply: true), Exprs.Jump(judgeReply)));
        rules.AddRange(opening);
        rules.Add(Exprs.Rule(Exprs.Goto(Admit)));
        return Regular(name, [.. rules]);
    }

    // A jump costs a packet 20 ns of some 2,500, and saves three hooks from being written anew with every epoch.
    private static NftRule[] FastPath() =>
        [Exprs.Rule(Exprs.CtState(CtStates.Established | CtStates.Related), Exprs.Jump(Live))];

    private IEnumerable<NftRule> DispatchFrom() =>
    [
        Exprs.Rule(Exprs.InterfaceMap(incoming: true, FromMap)),
        .. settings.ManagedInterfaces.Select(pattern => Exprs.Rule(
            Exprs.InterfaceIs(incoming: true, pattern), Exprs.Goto(DropFrom(DropReason.Closed)))),
    ];

    private IEnumerable<NftRule> DispatchTo(string map) =>
        [Exprs.Rule(Exprs.InterfaceMap(incoming: false, map)), .. ClosedTo()];

    private IEnumerable<NftRule> ClosedTo() => settings.ManagedInterfaces.Select(pattern => Exprs.Rule(
        Exprs.InterfaceIs(incoming: false, pattern), Exprs.Goto(DropTo(DropReason.Closed))));

    private NftRule[] GateRules() => layer switch
    {
        { IsBridge: true } => [Exprs.Rule(Exprs.InterfaceMap(incoming: false, BridgePorts.GateMap))],
        { Zoned: true } => [Exprs.Rule(Exprs.InterfaceMap(incoming: false, GateMap))],
        _ => [],
    };

    // What the host sends or routes to a bridge has been cut to the MTU when it gets there. The first fragment, which
    // goes before the others, was judged by its ports and has marked the session, even one without an answer so far.
    private IEnumerable<NftRule> LaterFragments(params IEnumerable<IEnumerable<NftExpr>> then) =>
        Fragments().Select(fragment => Exprs.CommentedRule(AFragment, [fragment, .. then]));

    private const string AFragment = "follows its first fragment";

    private IEnumerable<IEnumerable<NftExpr>> Fragments() => !layer.IsBridge ? []
        : ((IpFamily[])[IpFamily.V4, IpFamily.V6]).Select(Exprs.LaterFragment);

    private IEnumerable<NftChain> ZoneChains()
    {
        yield return Hooked("sg_zone_prerouting", NftHook.Prerouting,
            [Exprs.Rule(Exprs.CtZoneFrom(incoming: true, ZoneMap))], BeforeDefragPriority);
        if (!layer.IsBridge) // what this host sends has been tracked when it reaches a bridge
        {
            yield return Hooked("sg_zone_output", NftHook.Output,
                [Exprs.Rule(Exprs.CtZoneFrom(incoming: false, ZoneMap))], BeforeDefragPriority);
        }

        yield return GateChain(Unlisted, zone: 0);
    }

    // Conntrack calls an expected connection of a helper RELATED too, and it inherits the mark: only ICMP errors pass.
    // A redirect is no error: it would let a neighbour bend a guest's routes.
    private static IEnumerable<NftRule> IcmpErrors()
    {
        foreach (byte type in (byte[])[3, 11, 12])
        {
            yield return Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmp), Exprs.IcmpType(type), Exprs.Accept());
        }

        foreach (byte type in (byte[])[1, 2, 3, 4])
        {
            yield return Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.IcmpType(type), Exprs.Accept());
        }
    }

    private IEnumerable<NftChain> StateChains(bool from)
    {
        string side = from ? "from" : "to";
        Func<string, string> drop = from ? DropFrom : DropTo;
        // What a bridge or this host itself says on a link (ARP, multicast queries) has met no conntrack at all.
        uint infrastructure =
            layer.IsBridge && !from ? CtStates.Untracked | CtStates.Invalid : CtStates.Untracked;
        yield return Regular($"state_{side}",
            Exprs.Rule(Exprs.CtState(CtStates.New), Exprs.L4Proto(IpProtocol.Tcp), Exprs.Goto($"syn_{side}")),
            Exprs.Rule(Exprs.CtState(CtStates.New | CtStates.Established), Exprs.Return()),
            Exprs.Rule(Exprs.CtState(infrastructure), Exprs.Goto($"infra_{side}")),
            Exprs.Rule(Exprs.CtState(CtStates.Related), Exprs.Goto($"related_{side}")),
            Exprs.Rule(Exprs.Goto(drop(DropReason.Invalid))));

        // An error about a session that is yet to be judged again, or no error at all. Everything else that conntrack
        // calls related was announced by a helper: to us it is a new session like any other.
        yield return Regular($"related_{side}",
            Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmp), Exprs.Goto(drop(DropReason.Stale))),
            Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.Goto(drop(DropReason.Stale))),
            Exprs.Rule(Exprs.L4Proto(IpProtocol.Tcp), Exprs.Goto($"syn_{side}")));
        yield return Regular($"syn_{side}",
        [
            Exprs.CommentedRule("no session starts in mid-stream", Exprs.BareSyn(), Exprs.Return()),
            .. settings.AdoptsSessions
                ? [Exprs.CommentedRule("but for a while, on a vNIC that is new here",
                    Exprs.InterfaceIn(incoming: from, AdoptingSet), Exprs.Return())]
                : Array.Empty<NftRule>(),
            Exprs.Rule(Exprs.Goto(drop(DropReason.NotSyn))),
        ]);

        // Neighbour discovery and multicast listener reports are never tracked (RFC 4861, RFC 3810). They concern one
        // link, which ends here unless this is a bridge: routed, they would carry anything past all rules.
        byte[] types = from ? [133, 135, 136, 131, 132, 143] : [130, 131, 132, 143, 134, 135, 136];
        yield return Regular($"infra_{side}",
        [
            layer.IsBridge
                ? Exprs.Rule(Exprs.EtherType(0x0806), Exprs.Accept())
                : Exprs.CommentedRule("routed", Exprs.HasInterface(incoming: !from),
                    Exprs.Goto(drop(DropReason.Invalid))),
            .. layer.IsBridge // where IPv4 may be of no session as well, and carry any protocol
                ? [Exprs.Rule(Exprs.Family(IpFamily.V4), Exprs.Goto(drop(DropReason.Invalid)))]
                : Array.Empty<NftRule>(),
            .. types.Select(type => Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.IcmpType(type), Exprs.Accept())),
            Exprs.Rule(Exprs.Goto(drop(DropReason.Invalid))),
        ]);
    }

    internal static NftChain Hooked(string name, NftHook hook, NftRule[] rules, int priority = FilterPriority) =>
        new(name, new BaseHook(hook, priority), rules.ToValueArray());

    internal static NftChain Regular(string name, params ReadOnlySpan<NftRule> rules) =>
        new(name, Hook: null, ValueArray.Create(rules));
}
