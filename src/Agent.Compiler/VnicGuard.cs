using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Kinds of what a guest may not send: the middle part of the counters' names.</summary>
internal static class SpoofKind
{
    public const string Mac = "mac";
    public const string EtherType = "ethertype";
    public const string Ip4 = "ip4";
    public const string Ip6 = "ip6";
    public const string Arp = "arp";
    public const string NeighbourDiscovery = "nd";
    public const string RouterAdvertisement = "ra";
    public const string Redirect = "redirect";
    public const string DhcpServer = "dhcp";

    public static readonly ImmutableArray<string> All =
        [Mac, EtherType, Ip4, Ip6, Arp, NeighbourDiscovery, RouterAdvertisement, Redirect, DhcpServer];
}

/// <summary>
/// Stateless checks on what a guest sends, at its device, before a bridge, conntrack or the host see it.
/// </summary>
/// <remarks>
/// <code>
/// guard_IF, ingress of the device
///    source MAC is not the vNIC's ------------------------------------------> dropped: mac
///    IPv4 -> guard4_IF: own source? -> no DHCP server, redirect, advertisement -> accepted
///              `-> guardx4_IF: DHCP client without an address ---------------> accepted
///    IPv6 -> guard6_IF: own source? -> no DHCPv6 server, no source route ----> accepted
///              |          `-> guardnd_IF: ICMPv6, neighbour discovery -------> accepted
///              `-> guardx6_IF: duplicate address detection, RS, MLD from :: -> accepted
///    ARP  -> guardarp_IF: own sender in both fields -------------------------> accepted
///    anything else, tagged frames too ---------------------------------------> dropped: ethertype
/// </code>
/// Every chain ends with a drop, and every rule that accepts has read what it decides by: a header that is cut off,
/// or hidden behind others, does not match. Without the source/destination check, addresses are not looked at, the
/// rest is (semantics.md 5.4). The part of a name before the first '_' is never an interface's.
/// </remarks>
internal sealed partial class VnicGuard
{
    public const ushort EtherTypeIpv4 = 0x0800;
    public const ushort EtherTypeIpv6 = 0x86dd;
    public const ushort EtherTypeArp = 0x0806;

    /// <summary>Before every other user of the netdev ingress hook.</summary>
    private const int Priority = -500;

    private const uint EthernetSource = 6;
    private const uint EthernetType = 12;

    /// <summary>IPv6 headers behind which others may follow (RFC 8200 section 4): options, routing, fragment.</summary>
    private const string ExtensionHeaders = "extension_headers";

    private readonly Vnic vnic;
    private readonly DropLog? log;
    private readonly string name;
    private readonly OwnAddresses own4;
    private readonly OwnAddresses own6;

    private VnicGuard(Vnic vnic, DropLog? log)
    {
        this.vnic = vnic;
        this.log = log;
        name = Names.OfInterface(vnic.InterfaceName);
        own4 = OwnAddresses.Of(vnic, IpFamily.V4);
        own6 = OwnAddresses.Of(vnic, IpFamily.V6);
        Sets = vnic.SourceDestinationCheck ? [.. new[] { own4.Set, own6.Set }.OfType<NftSet>()] : [];
        Counters = [.. SpoofKind.All.Select(kind => new NftObject.Counter(CounterName(vnic, kind)))];
        Chains = [Entry(), .. Ipv4Chains(), .. Ipv6Chains(), Arp()];
    }

    public ImmutableArray<NftChain> Chains { get; }

    public ImmutableArray<NftSet> Sets { get; }

    public ImmutableArray<NftObject> Counters { get; }

    /// <summary>Sets that the guards of all vNICs use.</summary>
    public static ImmutableArray<NftSet> SharedSets => [ExtensionHeaderSet()];

    /// <summary>Where the guards of all vNICs send what they have counted, if it is reported.</summary>
    public static IEnumerable<NftChain> SharedChains(DropLog? log) => log is null ? []
        : SpoofKind.All.Select(kind => Datapath.Regular(ReportChain(kind),
            log.Rule(new RecordPrefix(From: true, kind), incoming: true), Exprs.Rule(Exprs.Drop())));

    /// <summary>The guard of a vNIC; the earlier one if nothing of it has changed.</summary>
    public static VnicGuard Of(Vnic vnic, DropLog? log, VnicGuard? earlier) =>
        earlier is not null && SameGuard(earlier.vnic, vnic) && earlier.log == log ? earlier : new VnicGuard(vnic, log);

    public string Device => vnic.InterfaceName;

    public static string ChainName(Vnic vnic) => $"guard_{Names.OfInterface(vnic.InterfaceName)}";

    public static string CounterName(Vnic vnic, string kind) => $"spoof_{kind}_{Names.OfInterface(vnic.InterfaceName)}";

    /// <summary>Whether a chain, set or counter of this name is part of the vNIC's guard.</summary>
    public static bool Owns(Vnic vnic, string objectName)
    {
        string[] parts = objectName.Split('_', 2);
        if (parts.Length == 2 && parts[0] == "spoof")
        {
            parts = parts[1].Split('_', 2);
        }
        else if (parts[0] is not ("own4" or "own6" or "net4" or "net6")
            && !parts[0].StartsWith("guard", StringComparison.Ordinal))
        {
            return false;
        }

        return parts.Length == 2 && parts[1] == Names.OfInterface(vnic.InterfaceName);
    }

    /// <summary>The modified EUI-64 link-local address of a MAC (RFC 4291 appendix A).</summary>
    internal static IpPrefix LinkLocal(MacAddress mac)
    {
        ulong high = mac.Bits >> 24 ^ 0x020000;
        ulong low = mac.Bits & 0xffffff;
        UInt128 interfaceId = (UInt128)high << 40 | 0xfffe000000ul | low;
        return IpPrefix.Host(IpFamily.V6, (UInt128)0xfe80 << 112 | interfaceId);
    }

    private static bool SameGuard(Vnic one, Vnic other) =>
        ReferenceEquals(one, other)
        || (one.InterfaceName == other.InterfaceName && one.Mac == other.Mac
            && one.SourceDestinationCheck == other.SourceDestinationCheck
            && one.Addresses.SequenceEqual(other.Addresses)
            && one.DelegatedPrefixes.SequenceEqual(other.DelegatedPrefixes));

    /// <remarks>
    /// The kernel takes the outermost VLAN tag off before this hook and says the inner type in <c>meta protocol</c>,
    /// and a host that routes accepts a tag of VLAN 0 as none. The link layer's own bytes are loaded with the tag put
    /// back.
    /// </remarks>
    private NftChain Entry() => new(
        ChainName(vnic),
        new BaseHook(NftHook.Ingress, Priority, vnic.InterfaceName),
        [
            // One load for both: nearly every frame ends here, and a load from the link layer costs as much as three
            // others (measured on 6.18).
            Exprs.CommentedRule("IPv4",
                Exprs.Bytes(NftPayloadBase.LinkLayer, EthernetSource,
                    [.. vnic.Mac.ToBytes(), .. Exprs.Wire(EtherTypeIpv4)]),
                Exprs.Goto(Name("guard4"))),
            Exprs.CommentedRule("not the vNIC's MAC address",
                Exprs.Bytes(NftPayloadBase.LinkLayer, EthernetSource, vnic.Mac.ToBytes().ToValueArray(), NftCmpOp.Neq),
                Drop(SpoofKind.Mac)),
            Exprs.CommentedRule("IPv6", FrameType(EtherTypeIpv6), Exprs.Goto(Name("guard6"))),
            Exprs.CommentedRule("ARP", FrameType(EtherTypeArp), Exprs.Goto(Name("guardarp"))),
            Exprs.CommentedRule("only IPv4, IPv6 and ARP, untagged", Drop(SpoofKind.EtherType)),
        ]);

    private static IEnumerable<NftExpr> FrameType(ushort type) =>
        Exprs.Bytes(NftPayloadBase.LinkLayer, EthernetType, Exprs.Wire(type));

    private NftChain Arp()
    {
        IEnumerable<NftExpr> arp = Exprs.EtherType(EtherTypeArp);
        var rules = new List<NftRule>();
        if (vnic.SourceDestinationCheck)
        {
            // A sender of 0.0.0.0 probes whether an address is free (RFC 5227 section 2.1.1).
            rules.Add(Exprs.CommentedRule("not an own address", arp, own4.IsNotAt(NftPayloadBase.Network, 14),
                Exprs.Bytes(NftPayloadBase.Network, 14, [0, 0, 0, 0], NftCmpOp.Neq), Drop(SpoofKind.Arp)));
        }

        IEnumerable<NftExpr>[] genuine =
        [
            arp,
            Exprs.Bytes(NftPayloadBase.Network, 0, [0, 1]),
            Exprs.Bytes(NftPayloadBase.Network, 2, Exprs.Wire(EtherTypeIpv4)),
            Exprs.Bytes(NftPayloadBase.Network, 4, [6]),
            Exprs.Bytes(NftPayloadBase.Network, 5, [4]),
            Exprs.Bytes(NftPayloadBase.Network, 8, vnic.Mac.ToBytes().ToValueArray()),
            // The last field: the packet is whole.
            Exprs.Bytes(NftPayloadBase.Network, 24, [255, 255, 255, 255], NftCmpOp.Neq),
        ];
        rules.Add(Exprs.CommentedRule("request or probe",
            [.. genuine, Exprs.Bytes(NftPayloadBase.Network, 6, [0, 1]), Exprs.Accept()]));
        rules.Add(Exprs.CommentedRule("reply",
        [
            .. genuine,
            Exprs.Bytes(NftPayloadBase.Network, 6, [0, 2]),
            Exprs.Bytes(NftPayloadBase.Network, 14, [0, 0, 0, 0], NftCmpOp.Neq),
            Exprs.Accept(),
        ]));
        rules.Add(Exprs.Rule(Drop(SpoofKind.Arp)));
        return Regular("guardarp", rules);
    }

    private string Name(string part) => $"{part}_{name}";

    private NftChain Regular(string part, IEnumerable<NftRule> rules) =>
        new(Name(part), Hook: null, rules.ToValueArray());

    private IEnumerable<NftExpr> Drop(string kind) => Exprs.CountIn(CounterName(vnic, kind))
        .Concat(log is null ? Exprs.Drop() : Exprs.Goto(ReportChain(kind)));

    private static string ReportChain(string kind) => $"spoofed_{kind}";

    private static NftSet ExtensionHeaderSet()
    {
        var rows = new NftElements.Builder(1);
        foreach (byte header in Extensions)
        {
            rows.Add([header]);
        }

        return new NftSet(ExtensionHeaders, [NftType.InetProto], Interval: false, NftSetKind.Set, Size: null,
            Counters: false, rows.Build());
    }
}
