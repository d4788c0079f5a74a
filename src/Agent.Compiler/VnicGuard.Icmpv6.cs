using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <content>
/// Neighbour discovery (RFC 4861), and what a guest may send before it has an address (RFC 4862, RFC 3590).
/// </content>
/// <remarks>
/// nf_tables cannot walk a list of options, and the length says how long the list is: a message is believed with none,
/// or with exactly one that is the right one. Real stacks send no more. RFC 6980 forbids it in fragments, and nothing
/// may stand between it and the IPv6 header, so that the length is the message's own.
/// </remarks>
internal sealed partial class VnicGuard
{
    private const byte ListenerReport = 131;
    private const byte ListenerDone = 132;
    private const byte RouterSolicitation = 133;
    private const byte RouterAdvertisement = 134;
    private const byte NeighbourSolicitation = 135;
    private const byte NeighbourAdvertisement = 136;
    private const byte Icmpv6Redirect = 137;
    private const byte ListenerReportV2 = 143;

    private const uint NeighbourTarget = 8;
    private const ushort RouterSolicitationBytes = 8;
    private const ushort NeighbourBytes = 24;
    private const ushort OptionBytes = 8;

    // Option types, each with its length in units of eight bytes behind it.
    private const byte SourceLinkLayer = 1;
    private const byte TargetLinkLayer = 2;
    private const byte Nonce = 14;

    /// <summary>The source is not an own address: is it none yet?</summary>
    private NftChain WithoutAddress() => Regular("guardx6",
    [
        Exprs.CommentedRule("not an own address", Ipv6,
            Exprs.Bytes(NftPayloadBase.Network, Ipv6Source, new byte[16].ToValueArray(), NftCmpOp.Neq),
            Drop(SpoofKind.Ip6)),
        Exprs.CommentedRule("claims a foreign address", Discovery(NeighbourSolicitation),
            own6.IsNotAt(NftPayloadBase.Transport, NeighbourTarget), Drop(SpoofKind.NeighbourDiscovery)),
        Bare("duplicate address detection", NeighbourSolicitation, NeighbourBytes),
        Detection(),
        Bare("router solicitation", RouterSolicitation, RouterSolicitationBytes),
        Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.IcmpType(NeighbourSolicitation),
            Drop(SpoofKind.NeighbourDiscovery)),
        Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.IcmpType(RouterSolicitation),
            Drop(SpoofKind.NeighbourDiscovery)),
        Exprs.CommentedRule("multicast listener",
            Report(), Exprs.IcmpTypeIn(ListenerReport, ListenerDone), Exprs.Accept()),
        Exprs.CommentedRule("multicast listener", Report(), Exprs.IcmpType(ListenerReportV2), Exprs.Accept()),
        Exprs.CommentedRule("only discovery starts without an address", Drop(SpoofKind.Ip6)),
    ]);

    private NftChain NeighbourDiscovery()
    {
        bool check = vnic.SourceDestinationCheck;
        IEnumerable<NftRule> rules =
        [
            Exprs.CommentedRule("no router advertisement", Exprs.L4Proto(IpProtocol.Icmpv6),
                Exprs.IcmpType(RouterAdvertisement), Drop(SpoofKind.RouterAdvertisement)),
            Exprs.CommentedRule("no redirect", Exprs.L4Proto(IpProtocol.Icmpv6),
                Exprs.IcmpType(Icmpv6Redirect), Drop(SpoofKind.Redirect)),
            Bare("solicitation", NeighbourSolicitation, NeighbourBytes),
            WithMac("solicitation, own MAC address", NeighbourSolicitation, NeighbourBytes, SourceLinkLayer),
            .. check ? [] : new[] { Detection() },
            .. check ? [ForeignTarget()] : Array.Empty<NftRule>(),
            Bare("advertisement", NeighbourAdvertisement, NeighbourBytes),
            WithMac("advertisement, own MAC address", NeighbourAdvertisement, NeighbourBytes, TargetLinkLayer),
            Bare("router solicitation", RouterSolicitation, RouterSolicitationBytes),
            WithMac(
                "router solicitation, own MAC address", RouterSolicitation, RouterSolicitationBytes, SourceLinkLayer),
            Exprs.CommentedRule("other options or a foreign MAC address", Exprs.L4Proto(IpProtocol.Icmpv6),
                Exprs.IcmpTypeIn(RouterSolicitation, NeighbourAdvertisement), Drop(SpoofKind.NeighbourDiscovery)),
            Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.IcmpTypeIsNot(Icmpv6Redirect), Exprs.Accept()),
            Exprs.CommentedRule("header cut off", Drop(SpoofKind.Ip6)),
        ];
        return Regular("guardnd", rules);
    }

    private NftRule ForeignTarget() => Exprs.CommentedRule(
        "answers for a foreign address", Discovery(NeighbourAdvertisement),
        own6.IsNotAt(NftPayloadBase.Transport, NeighbourTarget), Drop(SpoofKind.NeighbourDiscovery));

    /// <summary>A nonce tells a stack its own probe from another's (RFC 7527); Linux sends one by default.</summary>
    private static NftRule Detection() => Exprs.CommentedRule("duplicate address detection, with nonce",
        Discovery(NeighbourSolicitation), Length(NeighbourBytes + OptionBytes),
        Exprs.Bytes(NftPayloadBase.Transport, NeighbourBytes, [Nonce, 1]), Exprs.Accept());

    private static NftRule Bare(string comment, byte type, ushort length) =>
        Exprs.CommentedRule(comment, Discovery(type), Length(length), Exprs.Accept());

    private NftRule WithMac(string comment, byte type, ushort length, byte option) => Exprs.CommentedRule(
        comment, Discovery(type), Length((ushort)(length + OptionBytes)),
        Exprs.Bytes(NftPayloadBase.Transport, length, [option, 1, .. vnic.Mac.ToBytes()]), Exprs.Accept());

    private static IEnumerable<NftExpr> Discovery(byte type) =>
        [.. Ipv6, .. NextHeader(IpProtocol.Icmpv6), .. Exprs.L4Proto(IpProtocol.Icmpv6), .. Exprs.IcmpType(type)];

    /// <summary>A listener's message stands behind hop-by-hop options: the router alert (RFC 2710, RFC 3810).</summary>
    private static IEnumerable<NftExpr> Report() =>
    [
        .. Ipv6, .. NextHeader(HopByHop),
        .. Exprs.Bytes(NftPayloadBase.Network, Ipv6SecondNextHeader, [IpProtocol.Icmpv6]),
        .. Exprs.L4Proto(IpProtocol.Icmpv6),
    ];

    private static IEnumerable<NftExpr> Length(ushort bytes) =>
        Exprs.Bytes(NftPayloadBase.Network, Ipv6Length, Exprs.Wire(bytes));
}
