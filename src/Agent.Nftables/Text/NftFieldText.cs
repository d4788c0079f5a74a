namespace Agent.Nftables;

/// <summary>What a rule has established about its packet so far: it decides how a payload is called.</summary>
internal struct NftTextContext
{
    /// <summary>ethertype, or 0.</summary>
    internal ushort EtherType;

    /// <summary>IANA number, or null.</summary>
    internal byte? L4;
}

/// <summary>Names of header fields and metadata, as nft calls them.</summary>
internal static class NftFieldText
{
    private const ushort Ip = 0x0800;
    private const ushort Arp = 0x0806;
    private const ushort Ip6 = 0x86dd;

    /// <summary>Name, type and length in bytes of the field at a place.</summary>
    internal readonly record struct Field(string Name, NftTextType Type, uint Length);

    internal static (string Name, NftTextType Type) Meta(NftMetaKey key) => key switch
    {
        NftMetaKey.Len => ("meta length", NftTextType.HostNumber),
        NftMetaKey.Protocol => ("meta protocol", NftTextType.EtherType),
        NftMetaKey.Priority => ("meta priority", NftTextType.HostNumber),
        NftMetaKey.Mark => ("meta mark", NftTextType.Mark),
        NftMetaKey.Iif => ("iif", NftTextType.IfIndex),
        NftMetaKey.Oif => ("oif", NftTextType.IfIndex),
        NftMetaKey.IifName => ("iifname", NftTextType.IfName),
        NftMetaKey.OifName => ("oifname", NftTextType.IfName),
        NftMetaKey.NfProto => ("meta nfproto", NftTextType.NfProto),
        NftMetaKey.L4Proto => ("meta l4proto", NftTextType.Proto),
        NftMetaKey.PktType => ("meta pkttype", NftTextType.PktType),
        NftMetaKey.PRandom => ("meta random", NftTextType.HostNumber),
        _ => ("meta " + key, NftTextType.Raw),
    };

    internal static (string Name, NftTextType Type) Ct(NftCtKey key) => key switch
    {
        NftCtKey.State => ("ct state", NftTextType.CtState),
        NftCtKey.Direction => ("ct direction", NftTextType.CtDirection),
        NftCtKey.Status => ("ct status", NftTextType.CtStatus),
        NftCtKey.Mark => ("ct mark", NftTextType.Mark),
        NftCtKey.Zone => ("ct zone", NftTextType.HostNumber),
        _ => ("ct " + key, NftTextType.Raw),
    };

    /// <returns>The field that starts at the place; null if nft has no name for it in this context.</returns>
    internal static Field? Payload(NftPayloadBase from, uint offset, in NftTextContext context) => from switch
    {
        NftPayloadBase.LinkLayer => offset switch
        {
            0 => new Field("ether daddr", NftTextType.Ether, 6),
            6 => new Field("ether saddr", NftTextType.Ether, 6),
            12 => new Field("ether type", NftTextType.EtherType, 2),
            _ => null,
        },
        NftPayloadBase.Network => context.EtherType switch
        {
            Ip => Ipv4Field(offset),
            Ip6 => Ipv6Field(offset),
            Arp => ArpField(offset),
            _ => null,
        },
        NftPayloadBase.Transport => TransportField(offset, context.L4),
        _ => null,
    };

    /// <summary>Bits of a place that has no name.</summary>
    internal static string Raw(NftExpr.Payload payload)
    {
        string name = payload.Base switch
        {
            NftPayloadBase.LinkLayer => "ll",
            NftPayloadBase.Network => "nh",
            _ => "th",
        };
        return $"@{name},{NftValueText.Text(payload.Offset * 8ul)},{NftValueText.Text(payload.Length * 8ul)}";
    }

    private static Field? Ipv4Field(uint offset) => offset switch
    {
        2 => new Field("ip length", NftTextType.Number, 2),
        4 => new Field("ip id", NftTextType.Number, 2),
        6 => new Field("ip frag-off", NftTextType.Number, 2),
        8 => new Field("ip ttl", NftTextType.Number, 1),
        9 => new Field("ip protocol", NftTextType.Proto, 1),
        12 => new Field("ip saddr", NftTextType.Ipv4, 4),
        16 => new Field("ip daddr", NftTextType.Ipv4, 4),
        _ => null,
    };

    private static Field? Ipv6Field(uint offset) => offset switch
    {
        4 => new Field("ip6 length", NftTextType.Number, 2),
        6 => new Field("ip6 nexthdr", NftTextType.Proto, 1),
        7 => new Field("ip6 hoplimit", NftTextType.Number, 1),
        8 => new Field("ip6 saddr", NftTextType.Ipv6, 16),
        24 => new Field("ip6 daddr", NftTextType.Ipv6, 16),
        _ => null,
    };

    private static Field? ArpField(uint offset) => offset switch
    {
        0 => new Field("arp htype", NftTextType.Number, 2),
        2 => new Field("arp ptype", NftTextType.EtherType, 2),
        4 => new Field("arp hlen", NftTextType.Number, 1),
        5 => new Field("arp plen", NftTextType.Number, 1),
        6 => new Field("arp operation", NftTextType.ArpOp, 2),
        8 => new Field("arp saddr ether", NftTextType.Ether, 6),
        14 => new Field("arp saddr ip", NftTextType.Ipv4, 4),
        18 => new Field("arp daddr ether", NftTextType.Ether, 6),
        24 => new Field("arp daddr ip", NftTextType.Ipv4, 4),
        _ => null,
    };

    private static Field? TransportField(uint offset, byte? protocol) => (protocol, offset) switch
    {
        (6, 13) => new Field("tcp flags", NftTextType.TcpFlags, 1),
        (17, 4) => new Field("udp length", NftTextType.Number, 2),
        (1, 0) => new Field("icmp type", NftTextType.Icmp, 1),
        (1, 1) => new Field("icmp code", NftTextType.Number, 1),
        (58, 0) => new Field("icmpv6 type", NftTextType.Icmpv6, 1),
        (58, 1) => new Field("icmpv6 code", NftTextType.Number, 1),
        (1 or 58, _) => null,
        (6, 0) => new Field("tcp sport", NftTextType.Service, 2),
        (6, 2) => new Field("tcp dport", NftTextType.Service, 2),
        (17, 0) => new Field("udp sport", NftTextType.Service, 2),
        (17, 2) => new Field("udp dport", NftTextType.Service, 2),
        (132, 0) => new Field("sctp sport", NftTextType.Service, 2),
        (132, 2) => new Field("sctp dport", NftTextType.Service, 2),
        (_, 0) => new Field("th sport", NftTextType.Service, 2),
        (_, 2) => new Field("th dport", NftTextType.Service, 2),
        _ => null,
    };
}
