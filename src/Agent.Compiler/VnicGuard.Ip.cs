using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <content>IPv4 and IPv6. TCP and UDP come first: they are the traffic.</content>
/// <remarks>
/// A transport load of a fragment that is not the first one fails in new kernels. In older ones, loads of one, two and
/// four bytes give what stands there (IPv4), or the IPv6 header's own bytes: both are the sender's choice (measured on
/// 6.18). So a rule that drops by such a load stands behind the one that accepts later fragments.
/// </remarks>
internal sealed partial class VnicGuard
{
    // IANA protocol numbers of IPv6 extension headers.
    private const byte HopByHop = 0;
    private const byte Routing = 43;
    private const byte Fragment = 44;
    private const byte DestinationOptions = 60;

    private static readonly byte[] Extensions = [HopByHop, Routing, Fragment, DestinationOptions];

    private const byte IcmpRedirect = 5;
    private const byte IcmpRouterAdvertisement = 9;

    private const uint Ipv4FragmentField = 6;

    // Offsets from the IPv6 header; what follows it begins with the number of the header behind.
    private const uint Ipv6Length = 4;
    private const uint Ipv6NextHeader = 6;
    private const uint Ipv6Source = 8;
    private const uint Ipv6SecondNextHeader = 40;
    private const uint Ipv6FragmentField = 42;

    private static IEnumerable<NftExpr> Ipv4 => Exprs.EtherType(EtherTypeIpv4);

    private static IEnumerable<NftExpr> Ipv6 => Exprs.EtherType(EtherTypeIpv6);

    private static IEnumerable<NftExpr> Udp => Exprs.L4Proto(IpProtocol.Udp);

    private IEnumerable<NftChain> Ipv4Chains()
    {
        var rules = new List<NftRule>();
        if (vnic.SourceDestinationCheck)
        {
            rules.Add(Exprs.Rule(Ipv4, own4.IsNotAt(NftPayloadBase.Network, 12), Exprs.Goto(Name("guardx4"))));
            yield return Regular("guardx4",
            [
                Exprs.CommentedRule("not an own address", Ipv4,
                    Exprs.AnyBitOf(NftPayloadBase.Network, Ipv4FragmentField, 0x3fff), Drop(SpoofKind.Ip4)),
                Exprs.CommentedRule("DHCP client without an address", Ipv4,
                    Exprs.AddressIn(IpPrefix.Host(IpFamily.V4, 0), source: true), Udp,
                    Exprs.PortIs(source: true, 68), Exprs.PortIs(source: false, 67), Exprs.Accept()),
                Exprs.CommentedRule("not an own address", Drop(SpoofKind.Ip4)),
            ]);
        }

        rules.Add(Exprs.Rule(Exprs.L4Proto(IpProtocol.Tcp), Exprs.Accept()));
        rules.AddRange(UdpToOthers(server: 67, client: 68));
        // Without an upper layer, the header is broken, and perhaps has no source: that is not one's own.
        rules.Add(Exprs.CommentedRule("later fragment: the first one has the header", Ipv4,
            Exprs.L4ProtoIsNot(IpProtocol.Tcp),
            Exprs.AnyBitOf(NftPayloadBase.Network, Ipv4FragmentField, 0x1fff), Exprs.Accept()));
        rules.Add(NoDhcpServer(67));
        rules.Add(Exprs.CommentedRule("no redirect", Exprs.L4Proto(IpProtocol.Icmp),
            Exprs.IcmpType(IcmpRedirect), Drop(SpoofKind.Redirect)));
        rules.Add(Exprs.CommentedRule("no router advertisement", Exprs.L4Proto(IpProtocol.Icmp),
            Exprs.IcmpType(IcmpRouterAdvertisement), Drop(SpoofKind.RouterAdvertisement)));
        rules.Add(Exprs.Rule(
            Exprs.L4Proto(IpProtocol.Icmp), Exprs.IcmpTypeIsNot(IcmpRedirect), Exprs.Accept()));
        rules.Add(Exprs.Rule(Exprs.L4ProtoIsNot(IpProtocol.Udp, IpProtocol.Icmp), Exprs.Accept()));
        rules.Add(Exprs.CommentedRule("header cut off", Drop(SpoofKind.Ip4)));
        yield return Regular("guard4", rules);
    }

    private IEnumerable<NftChain> Ipv6Chains()
    {
        var rules = new List<NftRule>();
        if (vnic.SourceDestinationCheck)
        {
            rules.Add(Exprs.Rule(Ipv6, own6.IsNotAt(NftPayloadBase.Network, Ipv6Source), Exprs.Goto(Name("guardx6"))));
            yield return WithoutAddress();
        }

        rules.Add(Exprs.Rule(
            Ipv6, NextHeader(IpProtocol.Tcp), Exprs.L4Proto(IpProtocol.Tcp), Exprs.Accept()));
        rules.Add(Exprs.Rule(Ipv6, NextHeader(IpProtocol.Udp), Exprs.PortIsNot(source: false, 546), Exprs.Accept()));
        rules.Add(Exprs.CommentedRule("later fragment: the first one has the headers", Ipv6, NextHeader(Fragment),
            Exprs.AnyBitOf(NftPayloadBase.Network, Ipv6FragmentField, 0xfff8), Exprs.Accept()));
        if (vnic.SourceDestinationCheck)
        {
            rules.Add(Exprs.CommentedRule("source route", Ipv6, NextHeader(Routing), Drop(SpoofKind.Ip6)));
        }

        // Behind the first could be a route, or a fragment that is not seen as one. No stack sends two by itself.
        rules.AddRange(Extensions.Select(second => Exprs.CommentedRule("more than one extension header", Ipv6,
            Exprs.BytesIn(NftPayloadBase.Network, Ipv6NextHeader, 1, ExtensionHeaders),
            Exprs.Bytes(NftPayloadBase.Network, Ipv6SecondNextHeader, [second]), Drop(SpoofKind.Ip6))));
        rules.Add(Exprs.Rule(Exprs.L4Proto(IpProtocol.Icmpv6), Exprs.Goto(Name("guardnd"))));
        rules.AddRange(UdpToOthers(server: 547, client: 546));
        rules.Add(NoDhcpServer(547));
        rules.Add(Exprs.Rule(Exprs.L4ProtoIsNot(IpProtocol.Udp), Exprs.Accept()));
        rules.Add(Exprs.CommentedRule("header cut off", Drop(SpoofKind.Ip6)));
        yield return Regular("guard6", rules);
        yield return NeighbourDiscovery();
    }

    /// <summary>UDP passes, unless a server speaks to a client or its ports are not there.</summary>
    private static IEnumerable<NftRule> UdpToOthers(ushort server, ushort client) =>
    [
        Exprs.Rule(Udp, Exprs.PortIsNot(source: false, client), Exprs.Accept()),
        Exprs.Rule(Udp, Exprs.PortIsNot(source: true, server), Exprs.Accept()),
    ];

    /// <summary>Behind <see cref="UdpToOthers"/>: what has come here is for a client.</summary>
    private NftRule NoDhcpServer(ushort server) =>
        Exprs.CommentedRule("no DHCP server", Udp, Exprs.PortIs(source: true, server), Drop(SpoofKind.DhcpServer));

    private static IEnumerable<NftExpr> NextHeader(byte header) =>
        Exprs.Bytes(NftPayloadBase.Network, Ipv6NextHeader, [header]);
}
