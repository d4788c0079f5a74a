using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Why a packet is dropped: the last part of the names of drop chains and counters.</summary>
internal static class DropReason
{
    public const string Default = "default";
    public const string Rule = "rule";
    public const string Stale = "stale";
    public const string Invalid = "invalid";
    public const string NotSyn = "notsyn";
    public const string Host = "host";
    public const string Closed = "closed";

    /// <summary>Reasons counted per interface, by the side on which they occur.</summary>
    public static readonly ImmutableArray<string> From = [Default, Rule, Stale, Invalid, NotSyn, Host];

    public static readonly ImmutableArray<string> To = [Default, Rule, Stale, Invalid, NotSyn];
}

/// <summary>The fixed part of the inet table: hooks, state, dispatch, drops (datapath.md section 3).</summary>
/// <remarks>
/// <code>
/// sg_forward / sg_input / sg_output
///    established, related -> live: established, live epoch ---------------> accept
///                                  ICMP error of a session of it ---------> accept
///    iifname @vnic_from -> vnic_X_out: state, egress judgement  --drop-->  counted, final
///                             `-> stage_to: for the host? host_gate
///    oifname @vnic_to   -> vnic_Y_in:  state, ingress judgement --drop-->  counted, final
///                             `-> admit -> stamp: ct mark := epoch -------> accept
///    tap*, vnet* that no policy names ------------------------------------> closed
///    everything else: untouched
/// </code>
/// A packet of a session (whichever way it travels) is judged by the session's original direction: replies go through
/// the mirrored chains. The mark is written last, after both ends passed. Only <c>live</c> and <c>stamp</c> name the
/// epoch, so that a new one is five messages, whatever else the ruleset holds.
/// </remarks>
internal sealed class Datapath(CompilerSettings settings, PolicySettings policy, uint epoch)
{
    public const string FromMap = "vnic_from";
    public const string ToMap = "vnic_to";
    public const string Admit = "admit";
    public const string StageTo = "stage_to";

    /// <summary>Interfaces whose running sessions are taken over (<see cref="CompileRequest.Adopting"/>).</summary>
    public const string AdoptingSet = "adopting";

    /// <summary>Writes the epoch into a session's mark.</summary>
    public const string Stamp = "stamp";

    private const string Live = "live";
    private const string HostGate = "host_gate";
    private const string DhcpTo = "dhcp_to";
    private const string Related = "related";

    /// <summary>nf_tables hook priority "filter".</summary>
    private const int FilterPriority = 0;

    public static string DropFrom(string reason) => $"drop_from_{reason}";

    public static string DropTo(string reason) => $"drop_to_{reason}";

    public static string ClosedCounter(bool from) => from ? "closed_from" : "closed_to";

    public static IEnumerable<NftObject> Objects() =>
        [new NftObject.Counter(ClosedCounter(from: true)), new NftObject.Counter(ClosedCounter(from: false))];

    public IEnumerable<NftChain> Chains()
    {
        yield return Hooked("sg_forward", NftHook.Forward, [.. FastPath(), .. DispatchFrom(), .. DispatchTo()]);
        yield return Hooked("sg_input", NftHook.Input, [.. FastPath(), .. DispatchFrom()]);
        yield return Hooked("sg_output", NftHook.Output, [.. FastPath(), .. DispatchTo()]);
        yield return Regular(Live,
            Exprs.CommentedRule("sessions judged at this epoch", Exprs.CtState(CtStates.Established),
                Exprs.CtMarkMasked(settings.EpochMask, epoch), Exprs.Accept()),
            Exprs.Rule(Exprs.CtState(CtStates.Related), Exprs.CtMarkMasked(settings.EpochMask, epoch), Exprs.Jump(Related)));
        yield return Regular(Admit, Exprs.Rule(Exprs.MarkSet(0)), Exprs.Rule(Exprs.Goto(Stamp)));
        yield return Regular(Stamp, Exprs.Rule(Exprs.CtMarkSet(settings.EpochMask, epoch), Exprs.Accept()));
        yield return Regular(StageTo,
        [
            Exprs.Rule(Exprs.MarkSet(0)),
            Exprs.Rule(Exprs.HasNoOutgoing(), Exprs.Goto(HostGate)),
            .. DispatchTo(),
            Exprs.Rule(Exprs.Goto(Admit)),
        ]);
        yield return Regular(HostGate,
        [
            Exprs.CommentedRule("the host asked", Exprs.CtDirection(reply: true), Exprs.Goto(Admit)),
            .. HostServices(),
            Exprs.Rule(Exprs.Goto(DropFrom(DropReason.Host))),
        ]);
        yield return Regular(DhcpTo,
        [
            Exprs.CommentedRule("this host", Exprs.HasNoIncoming(), Exprs.Goto(Admit)),
            .. policy.DhcpServers.Select(server => Exprs.Rule(
                Exprs.Family(server.Family), Exprs.AddressIn(server, source: true), Exprs.Goto(Admit))),
        ]);
        yield return Regular(Related, [.. IcmpErrors()]);
        foreach (NftChain chain in StateChains(from: true).Concat(StateChains(from: false)))
        {
            yield return chain;
        }

        foreach (NftChain chain in DropChains())
        {
            yield return chain;
        }
    }

    /// <summary>Sets that count drops per interface and reason.</summary>
    public static IEnumerable<NftSet> DropSets(IReadOnlyCollection<string> interfaces) =>
        DropReason.From.Select(DropFrom).Concat(DropReason.To.Select(DropTo))
            .Select(chain => InterfaceSet(CountSet(chain), interfaces, counters: true));

    public static NftSet InterfaceSet(string name, IEnumerable<string> interfaces, bool counters)
    {
        var rows = new NftElements.Builder(16);
        foreach (string device in interfaces)
        {
            NftElements.PutName(rows.Add(), device);
        }

        return new NftSet(name, [NftType.IfName], Interval: false, NftSetKind.Set, Size: null, counters, rows.Build());
    }

    public static string CountSet(string dropChain) => $"n_{dropChain}";

    /// <summary>Guest to anywhere.</summary>
    public static NftChain VnicOut(string name, string judge, string judgeReply) => Regular(name,
        Exprs.Rule(Exprs.Jump("state_from")),
        Exprs.CommentedRule("DHCP client", Exprs.L4Proto(IpProtocol.Udp), Exprs.PortIs(source: true, 68),
            Exprs.PortIs(source: false, 67), Exprs.Goto(StageTo)),
        Exprs.CommentedRule("DHCPv6 client", Exprs.L4Proto(IpProtocol.Udp), Exprs.PortIs(source: true, 546),
            Exprs.PortIs(source: false, 547), Exprs.Goto(StageTo)),
        Exprs.Rule(Exprs.CtDirection(reply: false), Exprs.Jump(judge)),
        Exprs.Rule(Exprs.CtDirection(reply: true), Exprs.Jump(judgeReply)),
        Exprs.Rule(Exprs.Goto(StageTo)));

    /// <summary>Anywhere to guest.</summary>
    public NftChain VnicIn(string name, string judge, string judgeReply)
    {
        var rules = new List<NftRule>();
        foreach (uint mark in policy.TrustedMarks)
        {
            rules.Add(Exprs.CommentedRule("trusted mark", Exprs.MarkIs(mark), Exprs.Goto(Stamp)));
        }

        rules.Add(Exprs.Rule(Exprs.Jump("state_to")));
        rules.Add(Exprs.CommentedRule("DHCP server", Exprs.L4Proto(IpProtocol.Udp), Exprs.PortIs(source: true, 67),
            Exprs.PortIs(source: false, 68), Exprs.Jump(DhcpTo)));
        rules.Add(Exprs.CommentedRule("DHCPv6 server", Exprs.L4Proto(IpProtocol.Udp), Exprs.PortIs(source: true, 547),
            Exprs.PortIs(source: false, 546), Exprs.Jump(DhcpTo)));
        rules.Add(Exprs.Rule(Exprs.CtDirection(reply: false), Exprs.Jump(judge)));
        rules.Add(Exprs.Rule(Exprs.CtDirection(reply: true), Exprs.Jump(judgeReply)));
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

    private IEnumerable<NftRule> DispatchTo() =>
    [
        Exprs.Rule(Exprs.InterfaceMap(incoming: false, ToMap)),
        .. settings.ManagedInterfaces.Select(pattern => Exprs.Rule(
            Exprs.InterfaceIs(incoming: false, pattern), Exprs.Goto(DropTo(DropReason.Closed)))),
    ];

    private IEnumerable<NftRule> HostServices()
    {
        yield return Exprs.CommentedRule("DHCP server", Exprs.L4Proto(IpProtocol.Udp),
            Exprs.PortIs(source: true, 68), Exprs.PortIs(source: false, 67), Exprs.Goto(Admit));
        yield return Exprs.CommentedRule("DHCPv6 server", Exprs.L4Proto(IpProtocol.Udp),
            Exprs.PortIs(source: true, 546), Exprs.PortIs(source: false, 547), Exprs.Goto(Admit));
        foreach (IpPrefix address in policy.MetadataAddresses)
        {
            yield return Exprs.CommentedRule("metadata", Exprs.Family(address.Family),
                Exprs.AddressIn(address, source: false), Exprs.Goto(Admit));
        }

        foreach (HostService service in policy.HostServices)
        {
            IEnumerable<NftExpr> port = service.Port is ushort number ? Exprs.PortIs(source: false, number) : [];
            IEnumerable<NftExpr> at = service.Address is IpPrefix address
                ? [.. Exprs.Family(address.Family), .. Exprs.AddressIn(address, source: false)] : [];
            yield return Exprs.CommentedRule("host service", at, Exprs.L4Proto(service.Protocol), port, Exprs.Goto(Admit));
        }
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
        yield return Regular($"state_{side}",
            Exprs.Rule(Exprs.CtState(CtStates.New), Exprs.L4Proto(IpProtocol.Tcp), Exprs.Goto($"syn_{side}")),
            Exprs.Rule(Exprs.CtState(CtStates.New | CtStates.Established), Exprs.Return()),
            Exprs.Rule(Exprs.CtState(CtStates.Untracked), Exprs.Goto($"infra_{side}")),
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

        // Neighbour discovery and multicast listener reports are never tracked (RFC 4861, RFC 3810).
        byte[] types = from ? [133, 135, 136, 131, 132, 143] : [130, 134, 135, 136];
        yield return Regular($"infra_{side}",
        [
            .. types.Select(type => Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.IcmpType(type), Exprs.Accept())),
            Exprs.Rule(Exprs.Goto(drop(DropReason.Invalid))),
        ]);
    }

    private static IEnumerable<NftChain> DropChains()
    {
        foreach (bool from in (bool[])[true, false])
        {
            foreach (string chain in from ? DropReason.From.Select(DropFrom) : DropReason.To.Select(DropTo))
            {
                yield return Regular(chain,
                    Exprs.Rule(Exprs.InterfaceIn(incoming: from, CountSet(chain)), Exprs.Drop()),
                    Exprs.Rule(Exprs.Drop()));
            }

            yield return Regular(
                from ? DropFrom(DropReason.Closed) : DropTo(DropReason.Closed),
                Exprs.Rule(Exprs.CountIn(ClosedCounter(from)), Exprs.Drop()));
        }
    }

    private static NftChain Hooked(string name, NftHook hook, NftRule[] rules) =>
        new(name, new BaseHook(hook, FilterPriority), rules.ToValueArray());

    private static NftChain Regular(string name, params ReadOnlySpan<NftRule> rules) =>
        new(name, Hook: null, ValueArray.Create(rules));
}
