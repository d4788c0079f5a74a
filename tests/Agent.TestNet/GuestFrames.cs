using System.Net;
using System.Security.Cryptography;

namespace Agent.TestNet;

/// <summary>A frame that a guest sends, and what its guard must say.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Bytes">From the destination's MAC address on.</param>
/// <param name="Kind">The counter that must move; null: it passes.</param>
/// <param name="KindOfRouter">The same for a guest whose addresses are not checked.</param>
public sealed record GuestFrame(string Name, byte[] Bytes, string? Kind, string? KindOfRouter)
{
    public override string ToString() => Name;
}

/// <summary>What is a guest's own, and what is not.</summary>
public sealed record GuestIdentity(byte[] Mac, byte[] PeerMac)
{
    public required IPAddress V4 { get; init; }

    /// <summary>Another own address, or one of a delegated prefix.</summary>
    public required IPAddress OtherV4 { get; init; }

    public required IPAddress V6 { get; init; }

    public required IPAddress OtherV6 { get; init; }

    public IPAddress ForeignV4 { get; init; } = IPAddress.Parse("10.66.0.66");

    public IPAddress ForeignV6 { get; init; } = IPAddress.Parse("2001:db8:66::66");

    public IPAddress PeerV4 { get; init; } = IPAddress.Parse("198.51.100.7");

    public IPAddress PeerV6 { get; init; } = IPAddress.Parse("2001:db8:ffff::7");

    /// <summary>By EUI-64 of the MAC address.</summary>
    public IPAddress LinkLocal => new(
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, (byte)(Mac[0] ^ 2), Mac[1], Mac[2], 0xff, 0xfe, Mac[3], Mac[4], Mac[5]]);
}

/// <summary>Every kind of frame that the guard tells apart, allowed and forbidden, in both families.</summary>
public sealed class GuestFrames
{
    private const byte EchoV6 = 128;
    private const byte RouterSolicitation = 133;
    private const byte RouterAdvertisement = 134;
    private const byte Solicitation = 135;
    private const byte Advertisement = 136;
    private static readonly byte[] Broadcast = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    private static readonly byte[] OtherMac = [0x02, 0x66, 0x66, 0x66, 0x66, 0x66];
    private static readonly byte[] RouterAlert = [0, 5, 2, 0, 0, 1, 0];
    private static readonly byte[] Padding = [0, 1, 4, 0, 0, 0, 0];
    private static readonly byte[] RouteHeader = [2, 0, 1, 0, 0, 0, 0, .. new byte[16]];
    private static readonly byte[] FirstFragment = [0, 0, 1, 0, 0, 0, 9];
    private static readonly byte[] LaterFragment = [0, 0, 9, 0, 0, 0, 9];
    private static readonly IPAddress AllNodes = IPAddress.Parse("ff02::1");
    private static readonly IPAddress AllRouters = IPAddress.Parse("ff02::2");
    private static readonly IPAddress Reports = IPAddress.Parse("ff02::16");

    private readonly GuestIdentity guest;
    private readonly List<GuestFrame> frames = [];

    private GuestFrames(GuestIdentity guest) => this.guest = guest;

    public static IReadOnlyList<GuestFrame> Of(GuestIdentity guest)
    {
        GuestFrames all = new(guest);
        all.AddLinkLayer();
        all.AddIpv4();
        all.AddIpv6();
        all.AddIpv6Headers();
        all.AddArp();
        all.AddNeighbours();
        all.AddForeignNeighbours();
        all.AddServers();
        return all.frames;
    }

    private void AddLinkLayer()
    {
        byte[] ip4 = Frame(Udp4(guest.V4));
        byte[] ip6 = Frame(Udp6(guest.V6));
        byte[] arp = ArpFrame(Arp(1, guest.Mac, guest.V4));
        Add("IPv4 from another MAC address", Packets.FrameOf(guest.PeerMac, OtherMac, Udp4(guest.V4)), "mac");
        Add("IPv6 from a group MAC address",
            Packets.FrameOf(guest.PeerMac, [0x03, .. guest.Mac.AsSpan(1)], Udp6(guest.V6)), "mac");
        Add("ARP from another MAC address",
            Packets.Frame(Broadcast, OtherMac, Packets.EtherTypeArp, Arp(1, guest.Mac, guest.V4)), "mac");
        foreach ((string name, ushort type) in (ReadOnlySpan<(string, ushort)>)
            [
                ("RARP", 0x8035), ("PPPoE discovery", 0x8863), ("PPPoE session", 0x8864), ("LLDP", 0x88cc),
                ("EAPOL", 0x888e), ("MPLS", 0x8847), ("IPX", 0x8137),
                ("unknown type", 0x1234), ("802.3 length", 0x0026),
            ])
        {
            Add(name, Packets.Frame(Broadcast, guest.Mac, type, [0x42, 0x42, 3, .. new byte[43]]), "ethertype");
        }

        Add("802.1Q, VLAN 5, IPv4", Packets.Tag(ip4, 0x8100, 5), "ethertype");
        Add("802.1Q, VLAN 0, IPv4", Packets.Tag(ip4, 0x8100, 0), "ethertype");
        Add("802.1Q, VLAN 0 and priority, IPv6", Packets.Tag(ip6, 0x8100, 0xe000), "ethertype");
        Add("802.1Q, VLAN 0, ARP", Packets.Tag(arp, 0x8100, 0), "ethertype");
        Add("802.1ad, VLAN 0, IPv4", Packets.Tag(ip4, 0x88a8, 0), "ethertype");
        Add("802.1ad and 802.1Q, IPv4", Packets.Tag(Packets.Tag(ip4, 0x8100, 5), 0x88a8, 7), "ethertype");
        Add("802.1Q twice, VLAN 0, IPv6", Packets.Tag(Packets.Tag(ip6, 0x8100, 0), 0x8100, 0), "ethertype");
        Add("802.1Q, VLAN 5, from another MAC address",
            Packets.Tag(Packets.FrameOf(guest.PeerMac, OtherMac, Udp4(guest.V4)), 0x8100, 5), "mac");
    }

    private void AddIpv4()
    {
        IPAddress own = guest.V4;
        IPEndPoint peer = new(guest.PeerV4, 80);
        Add("IPv4 TCP", Frame(Packets.Tcp(new IPEndPoint(own, 4000), peer, TcpFlags.Syn, 1, 0, [])), null);
        Add("IPv4 UDP from a second own address", Frame(Udp4(guest.OtherV4)), null);
        Add("IPv4 echo", Frame(Packets.Echo(own, guest.PeerV4, 1, 1, new byte[16])), null);
        Add("IPv4 GRE", Frame(Packets.Ip(own, guest.PeerV4, 47, [0, 0, 8, 0, .. new byte[24]])), null);
        byte[] datagram = Packets.Udp(own, guest.PeerV4, 4000, 53, new byte[64]);
        byte[][] fragments = Packets.Fragment(datagram, 32);
        Add("IPv4 UDP, first fragment", Frame(fragments[0]), null);
        Add("IPv4 UDP, later fragment", Frame(fragments[1]), null);
        byte[] ports = new byte[64];
        (ports[25], ports[27]) = (67, 68);
        Add("IPv4 UDP, later fragment that looks like a DHCP server",
            Frame(Packets.Fragment(Packets.Udp(own, guest.PeerV4, 4000, 53, ports), 32)[1]), null);
        Add("IPv4 TCP from a foreign address",
            Frame(Packets.Tcp(new IPEndPoint(guest.ForeignV4, 4000), peer, TcpFlags.Syn, 1, 0, [])), "ip4", null);
        Add("IPv4 UDP from a foreign address", Frame(Udp4(guest.ForeignV4)), "ip4", null);
        Add("IPv4 UDP from nobody", Frame(Udp4(IPAddress.Any)), "ip4", null);
        Add("IPv4 TCP 68 to 67 from nobody",
            Frame(Packets.Tcp(
                new IPEndPoint(IPAddress.Any, 68), new IPEndPoint(guest.PeerV4, 67), TcpFlags.Syn, 1, 0, [])),
            "ip4", null);
        Add("IPv4 UDP from broadcast", Frame(Udp4(IPAddress.Broadcast)), "ip4", null);
        byte[][] foreign = Packets.Fragment(Packets.Udp(guest.ForeignV4, guest.PeerV4, 4000, 53, new byte[64]), 32);
        Add("IPv4 later fragment from a foreign address", Frame(foreign[1]), "ip4", null);
        byte[] client = new byte[64];
        (client[25], client[27]) = (68, 67);
        Add("IPv4 later fragment from nobody that looks like a DHCP client",
            Frame(Packets.Fragment(Packets.Udp(IPAddress.Any, guest.PeerV4, 4000, 53, client), 32)[1]), "ip4", null);
        Add("IPv4 UDP cut off in the header", Frame(Packets.Ip(own, guest.PeerV4, 17, [0])), "ip4");
        byte[] tooLong = Udp4(own);
        tooLong[2] = 0x40;
        Add("IPv4 UDP, longer than the frame", Frame(tooLong), "ip4");
    }

    private void AddIpv6()
    {
        IPAddress own = guest.V6;
        IPEndPoint peer = new(guest.PeerV6, 80);
        Add("IPv6 TCP", Frame(Packets.Tcp(new IPEndPoint(own, 4000), peer, TcpFlags.Syn, 1, 0, [])), null);
        Add("IPv6 UDP from a second own address", Frame(Udp6(guest.OtherV6)), null);
        Add("IPv6 echo", Frame(Packets.Echo(own, guest.PeerV6, 1, 1, new byte[16])), null);
        Add("IPv6 echo from the link-local address", Frame(Packets.Echo(guest.LinkLocal, AllNodes, 1, 1, [])), null);
        Add("IPv6 ESP", Frame(Packets.Ip(own, guest.PeerV6, 50, new byte[24])), null);
        byte[][] fragments = Packets.Fragment(Packets.Udp(own, guest.PeerV6, 4000, 53, new byte[64]), 32);
        Add("IPv6 UDP, first fragment", Frame(fragments[0]), null);
        Add("IPv6 UDP, later fragment", Frame(fragments[1]), null);
        Add("IPv6 UDP behind options", Frame(Packets.Extend(Udp6(own), 60, Padding)), null);
        Add("IPv6 TCP from a foreign address",
            Frame(Packets.Tcp(new IPEndPoint(guest.ForeignV6, 4000), peer, TcpFlags.Syn, 1, 0, [])), "ip6", null);
        Add("IPv6 UDP from a foreign address", Frame(Udp6(guest.ForeignV6)), "ip6", null);
        Add("IPv6 UDP from a foreign link-local address", Frame(Udp6(IPAddress.Parse("fe80::66"))), "ip6", null);
        Add("IPv6 UDP from nobody", Frame(Udp6(IPAddress.IPv6Any)), "ip6", null);
        Add("IPv6 echo from nobody", Frame(Packets.Echo(IPAddress.IPv6Any, guest.PeerV6, 1, 1, [])), "ip6", null);
        byte[][] foreign = Packets.Fragment(Packets.Udp(guest.ForeignV6, guest.PeerV6, 4000, 53, new byte[64]), 32);
        Add("IPv6 later fragment from a foreign address", Frame(foreign[1]), "ip6", null);
        Add("IPv6 UDP cut off in the header", Frame(Packets.Ip(own, guest.PeerV6, 17, [0])), "ip6");
    }

    private void AddIpv6Headers()
    {
        byte[] udp = Udp6(guest.V6);
        byte[] advertisement = Packets.Icmp(guest.LinkLocal, AllNodes, RouterAdvertisement, 0, new byte[12]);
        Add("IPv6 UDP with a source route", Frame(Packets.Extend(udp, 43, RouteHeader)), "ip6", null);
        Add("IPv6 UDP with a source route behind options",
            Frame(Packets.Extend(Packets.Extend(udp, 43, RouteHeader), 0, Padding)), "ip6");
        Add("IPv6 later fragment behind options",
            Frame(Packets.Extend(Packets.Extend(udp, 44, LaterFragment), 60, Padding)), "ip6");
        // The second fragment would bring the type: nobody may say that he has seen it.
        byte[] hidden = Packets.Extend(Packets.Extend(advertisement[..40], 60, Padding), 44, FirstFragment);
        Add("ICMPv6 with its type in the second fragment", Frame(hidden), "ip6");
        byte[] nested = Packets.Extend(Packets.Extend(advertisement, 44, LaterFragment), 44, FirstFragment);
        Add("ICMPv6 later fragment in a first one", Frame(nested), "ip6");
        Add("router advertisement behind options", Frame(Packets.Extend(advertisement, 0, RouterAlert)), "ra");
        Add("router advertisement behind a fragment header",
            Frame(Packets.Extend(advertisement, 44, FirstFragment)), "ra");
        byte[] reply = Packets.Udp(guest.V6, guest.PeerV6, 547, 546, new byte[16]);
        Add("DHCPv6 server behind options", Frame(Packets.Extend(reply, 60, Padding)), "dhcp");
        Add("DHCPv6 server, first fragment", Frame(Packets.Extend(reply, 44, FirstFragment)), "dhcp");
        Add("DHCPv6 server with its ports in the second fragment",
            Frame(Packets.Extend(Packets.Extend(reply[..40], 60, Padding), 44, FirstFragment)), "ip6");
    }

    private void AddArp()
    {
        byte[] request = Arp(1, guest.Mac, guest.V4);
        Add("ARP request", ArpFrame(request), null);
        Add("ARP request from a second own address", ArpFrame(Arp(1, guest.Mac, guest.OtherV4)), null);
        Add("ARP reply", ArpFrame(Arp(2, guest.Mac, guest.V4)), null);
        Add("ARP announcement", ArpFrame(Packets.Arp(1, guest.Mac, guest.V4, new byte[6], guest.V4)), null);
        Add("ARP probe", ArpFrame(Packets.Arp(1, guest.Mac, IPAddress.Any, new byte[6], guest.V4)), null);
        Add("ARP request with another MAC address", ArpFrame(Arp(1, OtherMac, guest.V4)), "arp");
        Add("ARP reply with another MAC address", ArpFrame(Arp(2, OtherMac, guest.V4)), "arp");
        Add("ARP request from a foreign address", ArpFrame(Arp(1, guest.Mac, guest.ForeignV4)), "arp", null);
        Add("ARP reply for a foreign address", ArpFrame(Arp(2, guest.Mac, guest.ForeignV4)), "arp", null);
        Add("ARP reply for nobody", ArpFrame(Arp(2, guest.Mac, IPAddress.Any)), "arp");
        Add("reverse ARP request as ARP", ArpFrame(Arp(3, guest.Mac, guest.V4)), "arp");
        Add("ARP of another hardware", ArpFrame([0, 6, .. request.AsSpan(2)]), "arp");
        Add("ARP of another protocol", ArpFrame([.. request.AsSpan(0, 2), 0x86, 0xdd, .. request.AsSpan(4)]), "arp");
        Add("ARP with long hardware addresses", ArpFrame([.. request.AsSpan(0, 4), 8, .. request.AsSpan(5)]), "arp");
        Add("ARP with long protocol addresses", ArpFrame([.. request.AsSpan(0, 5), 16, .. request.AsSpan(6)]), "arp");
        Add("ARP cut off", ArpFrame(request[..24]), "arp");
    }

    private void AddNeighbours()
    {
        byte[] mine = [1, 1, .. guest.Mac];
        byte[] target = [2, 1, .. guest.Mac];
        byte[] nonce = [14, 1, 1, 2, 3, 4, 5, 6];
        IPAddress none = IPAddress.IPv6Any;
        Add("solicitation", Discovery(guest.LinkLocal, Solicitation, guest.PeerV6, mine), null);
        Add("solicitation from a global address", Discovery(guest.V6, Solicitation, guest.PeerV6, mine), null);
        Add("solicitation without option", Discovery(guest.V6, Solicitation, guest.PeerV6), null);
        Add("duplicate address detection", Discovery(none, Solicitation, guest.V6), null);
        Add("duplicate address detection with nonce", Discovery(none, Solicitation, guest.LinkLocal, nonce), null);
        Add("advertisement", Discovery(guest.V6, Advertisement, guest.V6, target), null);
        Add("advertisement of the link-local address",
            Discovery(guest.LinkLocal, Advertisement, guest.LinkLocal, target), null);
        Add("advertisement of a second own address",
            Discovery(guest.LinkLocal, Advertisement, guest.OtherV6, target), null);
        Add("advertisement without option", Discovery(guest.V6, Advertisement, guest.V6), null);
        Add("router solicitation",
            Icmpv6(guest.LinkLocal, AllRouters, RouterSolicitation, [0, 0, 0, 0, .. mine]), null);
        Add("router solicitation without option",
            Icmpv6(guest.LinkLocal, AllRouters, RouterSolicitation, new byte[4]), null);
        Add("router solicitation from nobody", Icmpv6(none, AllRouters, RouterSolicitation, new byte[4]), null);
        byte[] report = Packets.Icmp(
            guest.LinkLocal, Reports, 143, 0, [0, 0, 0, 1, 4, 0, 0, 0, .. AllNodes.GetAddressBytes()]);
        byte[] early = Packets.Icmp(none, Reports, 143, 0, [0, 0, 0, 1, 4, 0, 0, 0, .. AllNodes.GetAddressBytes()]);
        byte[] old = Packets.Icmp(none, AllNodes, 131, 0, [0, 0, 0, 0, .. AllNodes.GetAddressBytes()]);
        Add("listener report", Frame(Packets.Extend(report, 0, RouterAlert)), null);
        Add("listener report from nobody", Frame(Packets.Extend(early, 0, RouterAlert)), null);
        Add("old listener report from nobody", Frame(Packets.Extend(old, 0, RouterAlert)), null);
        Add("listener report from nobody behind a fragment header",
            Frame(Packets.Extend(early, 44, FirstFragment)), "ip6", null);
    }

    private void AddForeignNeighbours()
    {
        byte[] mine = [1, 1, .. guest.Mac];
        byte[] target = [2, 1, .. guest.Mac];
        byte[] other = [1, 1, .. OtherMac];
        byte[] otherTarget = [2, 1, .. OtherMac];
        IPAddress none = IPAddress.IPv6Any;
        Add("solicitation with another MAC address", Discovery(guest.V6, Solicitation, guest.PeerV6, other), "nd");
        Add("solicitation, a second option",
            Discovery(guest.V6, Solicitation, guest.PeerV6, [.. mine, .. other]), "nd");
        Add("solicitation, another option first",
            Discovery(guest.V6, Solicitation, guest.PeerV6, [14, 1, 0, 0, 0, 0, 0, 0, .. other]), "nd");
        Add("solicitation with a long option",
            Discovery(guest.V6, Solicitation, guest.PeerV6, [1, 2, .. guest.Mac]), "nd");
        byte[] solicitation = Packets.Icmp(
            guest.V6, guest.PeerV6, Solicitation, 0, [0, 0, 0, 0, .. guest.PeerV6.GetAddressBytes(), .. other]);
        Add("solicitation behind options", Frame(Packets.Extend(solicitation, 60, Padding)), "nd");
        Add("solicitation in a fragment, its option in the next",
            Frame([.. Packets.Extend(solicitation[..^8], 44, FirstFragment), .. mine]), "nd");
        Add("detection for a foreign address", Discovery(none, Solicitation, guest.ForeignV6), "nd", null);
        Add("detection with a MAC address", Discovery(none, Solicitation, guest.V6, mine), "nd", null);
        Add("advertisement for a foreign address",
            Discovery(guest.V6, Advertisement, guest.ForeignV6, target), "nd", null);
        Add("advertisement for the gateway",
            Discovery(guest.LinkLocal, Advertisement, IPAddress.Parse("fe80::1"), target), "nd", null);
        Add("advertisement with another MAC address", Discovery(guest.V6, Advertisement, guest.V6, otherTarget), "nd");
        Add("advertisement, a second option",
            Discovery(guest.V6, Advertisement, guest.V6, [.. target, .. otherTarget]), "nd");
        Add("advertisement with the other option", Discovery(guest.V6, Advertisement, guest.V6, mine), "nd");
        Add("advertisement from nobody", Discovery(none, Advertisement, guest.V6, target), "ip6", null);
        Add("router solicitation with another MAC address",
            Icmpv6(guest.LinkLocal, AllRouters, RouterSolicitation, [0, 0, 0, 0, .. other]), "nd");
        Add("router solicitation from nobody with a MAC address",
            Icmpv6(none, AllRouters, RouterSolicitation, [0, 0, 0, 0, .. mine]), "nd", null);
        Add("advertisement of a foreign guest",
            Discovery(guest.ForeignV6, Advertisement, guest.ForeignV6, target), "ip6", null);
    }

    private void AddServers()
    {
        Add("DHCP client", Frame(Packets.Udp(IPAddress.Any, IPAddress.Broadcast, 68, 67, new byte[240])), null);
        Add("DHCP client with an address", Frame(Packets.Udp(guest.V4, guest.PeerV4, 68, 67, new byte[240])), null);
        Add("DHCP relay", Frame(Packets.Udp(guest.V4, guest.PeerV4, 67, 67, new byte[240])), null);
        Add("UDP to port 68", Frame(Packets.Udp(guest.V4, guest.PeerV4, 4000, 68, [])), null);
        Add("DHCPv6 client",
            Frame(Packets.Udp(guest.LinkLocal, IPAddress.Parse("ff02::1:2"), 546, 547, new byte[32])), null);
        Add("UDP to port 546", Frame(Packets.Udp(guest.V6, guest.PeerV6, 4000, 546, [])), null);
        byte[] offer = Packets.Udp(guest.V4, IPAddress.Broadcast, 67, 68, new byte[240]);
        Add("DHCP server", Frame(offer), "dhcp");
        Add("DHCP server, first fragment", Frame(Packets.Fragment(offer, 128)[0]), "dhcp");
        Add("DHCP server from nobody",
            Frame(Packets.Udp(IPAddress.Any, IPAddress.Broadcast, 67, 68, [])), "ip4", "dhcp");
        Add("DHCPv6 server", Frame(Packets.Udp(guest.LinkLocal, guest.PeerV6, 547, 546, new byte[32])), "dhcp");
        Add("router advertisement", Icmpv6(guest.LinkLocal, AllNodes, RouterAdvertisement, new byte[12]), "ra");
        Add("router advertisement from a global address",
            Icmpv6(guest.V6, AllNodes, RouterAdvertisement, new byte[12]), "ra");
        Add("router advertisement from the gateway",
            Icmpv6(IPAddress.Parse("fe80::1"), AllNodes, RouterAdvertisement, new byte[12]), "ip6", "ra");
        Add("IPv4 router advertisement", Frame(Packets.Icmp(guest.V4, guest.PeerV4, 9, 0, new byte[12])), "ra");
        Add("IPv4 redirect", Frame(Packets.Icmp(guest.V4, guest.PeerV4, 5, 1, new byte[32])), "redirect");
        Add("IPv6 redirect", Icmpv6(guest.LinkLocal, guest.PeerV6, 137, new byte[36]), "redirect");
        Add("ICMP too big", Frame(Packets.TooBig(guest.V4, guest.PeerV4, Udp4(guest.V4), 1400)), null);
        Add("ICMPv6 too big", Frame(Packets.TooBig(guest.V6, guest.PeerV6, Udp6(guest.V6), 1400)), null);
        Add("ICMPv6 echo reply", Icmpv6(guest.V6, guest.PeerV6, EchoV6 + 1, new byte[4]), null);
    }

    private void Add(string name, byte[] bytes, string? kind) => Add(name, bytes, kind, kind);

    private void Add(string name, byte[] bytes, string? kind, string? kindOfRouter) =>
        frames.Add(new GuestFrame(name, bytes, kind, kindOfRouter));

    private byte[] Udp4(IPAddress source) =>
        Packets.Udp(source, guest.PeerV4, 4000, 53, RandomNumberGenerator.GetBytes(16));

    private byte[] Udp6(IPAddress source) =>
        Packets.Udp(source, guest.PeerV6, 4000, 53, RandomNumberGenerator.GetBytes(16));

    private byte[] Frame(byte[] packet) => Packets.FrameOf(guest.PeerMac, guest.Mac, packet);

    private byte[] Arp(int operation, byte[] mac, IPAddress sender) =>
        Packets.Arp(operation, mac, sender, new byte[6], guest.PeerV4);

    private byte[] ArpFrame(byte[] body) => Packets.Frame(Broadcast, guest.Mac, Packets.EtherTypeArp, body);

    private byte[] Icmpv6(IPAddress source, IPAddress destination, byte type, byte[] body) =>
        Frame(Packets.Icmp(source, destination, type, 0, body));

    private byte[] Discovery(IPAddress source, byte type, IPAddress target, params byte[] options) => Icmpv6(
        source, type == Advertisement ? AllNodes : guest.PeerV6, type,
        [0, 0, 0, 0, .. target.GetAddressBytes(), .. options]);
}
