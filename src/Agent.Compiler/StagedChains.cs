using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Which packets a staged policy is asked about.</summary>
/// <param name="Name">First part of names.</param>
/// <param name="Offset">Of the hooks' priority, from the enforcing table's.</param>
internal sealed record StagedPhase(string Name, int Offset)
{
    /// <summary>Before the enforcing table: all that would open a session.</summary>
    public static readonly StagedPhase All = new("all", -1);

    /// <summary>Behind it: what it let pass.</summary>
    public static readonly StagedPhase Passed = new("passed", 1);
}

/// <summary>What a staged policy needs to know of the packets that it is asked about.</summary>
/// <param name="Phase">Which they are.</param>
/// <param name="Layer">Where they are met.</param>
/// <param name="Marks">Packet marks that they may carry; those with another one are left alone.</param>
/// <param name="ByVnic">Decisions are counted per vNIC.</param>
internal sealed record StagedPlace(StagedPhase Phase, Layer Layer, IReadOnlyList<uint> Marks, bool ByVnic);

/// <summary>
/// The chains that ask a staged policy about packets of new sessions, count its answer, and let them go as they came.
/// </summary>
/// <remarks>
/// <code>
/// PHASE_forward, _input, _output: ct state new -> PHASE_new: a packet mark that is known? -> PHASE_mark_M
/// PHASE_mark_M: jump PHASE_run, then the mark is M again
/// PHASE_run: iifname @PHASE_from -> PHASE_X_out: own judgement -> dropped: PHASE_out_count
///                                   `-> PHASE_to_VPC: for the host? PHASE_host
///                                       oifname @PHASE_to_VPC -> PHASE_Y_in; otherwise PHASE_out_count
///            oifname @PHASE_to   -> PHASE_Y_in: own judgement -> PHASE_in_count
///                                   `-> accepted, and sent by a vNIC: iifname @PHASE_again -> PHASE_X_again
/// PHASE_out_count: iifname . mark @n_PHASE_out
/// </code>
/// A packet is counted where it would be dropped, or at every end that would accept it. Nothing here is a verdict:
/// a chain ends by coming to its end, which is what lets <c>PHASE_mark_M</c> have the last word.
/// </remarks>
/// <param name="staged">The policy, compiled.</param>
/// <param name="place">Where it is asked.</param>
internal sealed class StagedChains(CompiledRuleset staged, StagedPlace place)
{
    /// <summary>Packets to or from a vNIC whose mark is not known: they are not asked about.</summary>
    public const string MarkedCounter = "marked";

    /// <summary>Interfaces of all vNICs, and of uplinks.</summary>
    public const string EndSet = "ends";

    private readonly Datapath datapath = RulesetCompiler.DatapathOf(staged.Request, place.Layer.Family);
    private readonly PolicySnapshot policy = staged.Request.Policy;

    /// <param name="phase">Phase.</param>
    /// <param name="from">At the sender, or at the receiver.</param>
    public static string CountSet(StagedPhase phase, bool from) => $"n_{phase.Name}_{Side(from)}";

    /// <summary>Of what passes, what opens its session.</summary>
    public static string OpenedSet(bool from) => $"n_opened_{Side(from)}";

    private static string Side(bool from) => from ? "out" : "in";

    private string N(string name) => $"{place.Phase.Name}_{name}";

    // No interface can be named so that its chains (PHASE_X_in, _out, _again) are called like one of these.
    private string Count(bool from) => N($"{Side(from)}_count");

    private string Instead(bool from, string reason) => N($"{Side(from)}_{reason}");

    /// <summary>The chains of this phase, without those that judge.</summary>
    public IEnumerable<NftChain> Chains()
    {
        foreach ((string name, NftHook hook) in
            ((string, NftHook)[])[("forward", NftHook.Forward), ("input", NftHook.Input), ("output", NftHook.Output)])
        {
            yield return Datapath.Hooked(N(name), hook,
                [Exprs.Rule(Exprs.CtState(CtStates.New), Exprs.Goto(N("new")))],
                datapath.Priority + place.Phase.Offset);
        }

        yield return Datapath.Regular(N("new"), [.. New()]);
        foreach (uint mark in place.Marks)
        {
            yield return Datapath.Regular(
                MarkChain(mark), Exprs.Rule(Exprs.Jump(N("run"))), Exprs.Rule(Exprs.MarkSet(mark)));
        }

        yield return Datapath.Regular(N("run"),
            Exprs.Rule(Exprs.InterfaceMap(incoming: true, N(Datapath.FromMap))),
            Exprs.Rule(Exprs.InterfaceMap(incoming: false, N(Datapath.ToMap))));
        foreach (bool from in (bool[])[true, false])
        {
            yield return Counting(from);
            foreach ((string reason, uint number) in StagedNumbers.Reasons)
            {
                yield return Datapath.Regular(Instead(from, reason), Dropped(from, number));
            }
        }

        foreach (NftChain chain in Host().Concat(policy.Vnics.Values.Where(IsOpen).SelectMany(OfVnic))
            .Concat(policy.Vnics.Values.Select(vnic => vnic.VpcId).Distinct(StringComparer.Ordinal).Select(Stage)))
        {
            yield return chain;
        }
    }

    /// <summary>The verdict maps of this phase.</summary>
    /// <param name="gone">Interfaces that would be closed, though they are not now.</param>
    public IEnumerable<NftSet> Maps(IReadOnlyCollection<string> gone)
    {
        var from = new DispatchRows();
        var to = new DispatchRows();
        var again = new DispatchRows();
        foreach (IGrouping<string, Vnic> vpc in policy.Vnics.Values.GroupBy(vnic => vnic.VpcId, StringComparer.Ordinal))
        {
            var own = new DispatchRows();
            foreach (Vnic vnic in vpc)
            {
                string inward = IsOpen(vnic) ? Of(vnic, "in") : Instead(from: false, DropReason.Closed);
                from.Goto(vnic.InterfaceName,
                    IsOpen(vnic) ? Of(vnic, "out") : Instead(from: true, DropReason.Closed));
                to.Goto(vnic.InterfaceName, inward);
                own.Goto(vnic.InterfaceName, inward);
                if (IsOpen(vnic))
                {
                    again.Goto(vnic.InterfaceName, Of(vnic, "again"));
                }
            }

            foreach (string uplink in policy.Vpcs.GetValueOrDefault(vpc.Key)?.UplinkInterfaces ?? [])
            {
                own.Goto(uplink, Count(from: true));
            }

            yield return own.Map(N(Datapath.VpcMap(AddressClasses.NameOf(vpc.Key))));
        }

        foreach (string device in gone)
        {
            from.Goto(device, Instead(from: true, DropReason.Closed));
            to.Goto(device, Instead(from: false, DropReason.Closed));
        }

        yield return from.Map(N(Datapath.FromMap));
        yield return to.Map(N(Datapath.ToMap));
        yield return again.Map(N("again"));
    }

    private string MarkChain(uint mark) => N($"mark_{mark:x8}");

    private string Of(Vnic vnic, string side) => N($"{Names.OfInterface(vnic.InterfaceName)}_{side}");

    private string StageName(string vpc) => N(Datapath.StageTo(AddressClasses.NameOf(vpc)));

    private bool IsOpen(Vnic vnic) => !staged.Closed.Contains(vnic.Id);

    private IEnumerable<NftRule> New()
    {
        if (place.Layer.Bridged)
        {
            yield return Exprs.CommentedRule(
                "no rule's business", Exprs.MarkIs(Decision.HostAnswer), Exprs.Return());
        }

        yield return Exprs.CommentedRule(
            "no session starts in mid-stream", Exprs.L4Proto(IpProtocol.Tcp), Exprs.NotBareSyn(), Exprs.Return());
        foreach (uint mark in place.Marks)
        {
            yield return Exprs.Rule(Exprs.MarkIs(mark), Exprs.Goto(MarkChain(mark)));
        }

        foreach (bool incoming in place.Phase == StagedPhase.All ? (bool[])[true, false] : [])
        {
            yield return Exprs.CommentedRule("a mark that must survive", Exprs.InterfaceIn(incoming, EndSet),
                Exprs.CountIn(MarkedCounter), Exprs.Return());
        }
    }

    private NftChain Counting(bool from)
    {
        IEnumerable<NftExpr> Counted(string set) => Exprs.Counted(incoming: from, set, place.ByVnic);
        return Datapath.Regular(Count(from),
        [
            .. place.Phase == StagedPhase.Passed
                ? [Exprs.Rule(Exprs.CtUnconfirmed(), Counted(OpenedSet(from)))] : Array.Empty<NftRule>(),
            Exprs.Rule(Counted(CountSet(place.Phase, from))),
        ]);
    }

    private NftRule Dropped(bool from, uint number) =>
        Exprs.Rule(Exprs.MarkSet(Decision.Of(Verdict.Drop, number)), Exprs.Goto(Count(from)));

    // What a guest asks of this host itself (Datapath.HostGate). A bridge cannot tell it from what will be routed.
    private IEnumerable<NftChain> Host() => place.Layer.IsBridge ? [] :
    [
        Datapath.Regular(N(DropReason.Host),
        [
            .. datapath.HostServices(reply: false, Exprs.Goto(Count(from: true))),
            Exprs.Rule(Exprs.Goto(Instead(from: true, DropReason.Host))),
        ]),
    ];

    private IEnumerable<NftChain> OfVnic(Vnic vnic)
    {
        string profile = CompiledRuleset.ProfileOf(vnic);
        var its = new VnicChains(vnic, staged.Request.Settings, staged.Request.Host);
        yield return Datapath.Regular(Of(vnic, "out"),
        [
            .. datapath.DhcpClient(Exprs.Return()), // no rule's business (datapath.md 5)
            .. its.Addressed(from: true, Instead(from: true, DropReason.Address)),
            Exprs.Rule(Exprs.Jump($"{profile}_out")),
            Exprs.Rule(Exprs.MarkMasked(Decision.DropBit, Decision.DropBit), Exprs.Goto(Count(from: true))),
            Exprs.Rule(Exprs.Goto(StageName(vnic.VpcId))),
        ]);
        yield return Datapath.Regular(Of(vnic, "in"),
        [
            .. PassedElsewhere(vnic),
            .. Servers(IpFamily.V4, source: 67, destination: 68),
            .. Servers(IpFamily.V6, source: 547, destination: 546),
            .. its.Addressed(from: false, Instead(from: false, DropReason.Address)),
            Exprs.Rule(Exprs.Jump($"{profile}_in")),
            Exprs.Rule(Exprs.MarkMasked(Decision.DropBit, Decision.DropBit), Exprs.Goto(Count(from: false))),
            Exprs.Rule(Exprs.Jump(Count(from: false))),
            Exprs.Rule(Exprs.InterfaceMap(incoming: true, N("again"))),
        ]);
        yield return Datapath.Regular(Of(vnic, "again"),
            Exprs.Rule(Exprs.Jump($"{profile}_out")), Exprs.Rule(Exprs.Goto(Count(from: true))));
    }

    private IEnumerable<NftRule> PassedElsewhere(Vnic vnic) => !place.Layer.Bridged ? [] :
    [
        Exprs.Rule(Exprs.MarkMasked(Decision.Passed, Decision.Passed),
            Exprs.MarkIsNot(Decision.PassedFrom(AddressClasses.NameOf(vnic.VpcId))),
            Exprs.Goto(Instead(from: false, DropReason.Zone))),
    ];

    private IEnumerable<NftRule> Servers(IpFamily family, ushort source, ushort destination) =>
        staged.Request.PolicySettings.DhcpServers.Where(server => server.Family == family)
            .Select(server => (IEnumerable<NftExpr>)
                [.. Exprs.Family(family), .. Exprs.AddressIn(server, source: true)])
            .Append(Exprs.HasNoIncoming())
            .Select(condition => Exprs.CommentedRule("DHCP", Exprs.L4Proto(IpProtocol.Udp),
                Exprs.PortIs(source: true, source), Exprs.PortIs(source: false, destination), condition,
                Exprs.Return()));

    // As Datapath.Stage does, with the sender's decision still in the mark.
    private NftChain Stage(string vpc) => Datapath.Regular(StageName(vpc),
    [
        Exprs.Rule(
            Exprs.HasNoOutgoing(), Exprs.Goto(place.Layer.IsBridge ? Count(from: true) : N(DropReason.Host))),
        Exprs.Rule(Exprs.InterfaceMap(incoming: false, N(Datapath.VpcMap(AddressClasses.NameOf(vpc))))),
        Exprs.Rule(
            Exprs.InterfaceIn(incoming: false, EndSet), Exprs.Goto(Instead(from: true, DropReason.Zone))),
        .. staged.Request.Settings.ManagedInterfaces.Select(pattern => Exprs.Rule(
            Exprs.InterfaceIs(incoming: false, pattern), Exprs.Goto(Instead(from: true, DropReason.Closed)))),
        Exprs.Rule(Exprs.Goto(Count(from: true))),
    ]);
}
