using System.Buffers.Binary;
using Agent.Policy;

namespace Agent.Evaluator.Guards;

/// <summary>What should become of a frame that a guest sends.</summary>
/// <param name="Fault">What is wrong with it; null: it passes.</param>
/// <param name="Why">In words.</param>
public readonly record struct FrameVerdict(FrameFault? Fault, string Why)
{
    public bool Passes => Fault is null;
}

/// <summary>
/// Judges single frames of a guest by the specification alone: a vNIC sends from its own MAC address and, unless its
/// source/destination check is off, from its own addresses; it speaks for nobody else in ARP and neighbour discovery,
/// and it is no router and no DHCP server (semantics.md 5.4 and 9.5).
/// </summary>
/// <remarks>
/// A frame passes only by what stands in it: what is cut off, hidden behind more than one extension header, or comes
/// in another fragment, may be anything. Later fragments pass if their source may send: they are nothing without the
/// first one. Neighbour discovery passes with no option, or with the one that names the sender's MAC address, as stacks
/// send it; RFC 6980 forbids it in fragments.
/// </remarks>
public static class GuardOracle
{
    private const int ArpBytes = 28;
    private const int Ipv4SourceEnd = 16;
    private const int Ipv6SourceEnd = 24;
    private const int Ipv6Bytes = 40;
    private const ushort DhcpClient = 68;
    private const ushort DhcpServer = 67;
    private const ushort Dhcpv6Client = 546;
    private const ushort Dhcpv6Server = 547;
    private const ushort Solicitation = 24;
    private const ushort RouterSolicitation = 8;
    private const ushort Option = 8;

    private static readonly FrameVerdict Pass = new(null, "it may send this");

    /// <param name="vnic">The sender.</param>
    /// <param name="frame">As its device has received it.</param>
    public static FrameVerdict Judge(Vnic vnic, PacketBytes frame)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        ArgumentNullException.ThrowIfNull(frame);
        if (!frame.Link.AsSpan(6, 6).SequenceEqual(vnic.Mac.ToBytes()))
        {
            return new FrameVerdict(FrameFault.Mac, "not the vNIC's MAC address");
        }

        ReadOnlySpan<byte> bytes = frame.Network.AsSpan();
        return frame.Link.Length != 14 ? new FrameVerdict(FrameFault.EtherType, "it is tagged") : frame.EtherType switch
        {
            FrameShape.Ipv4 => Ipv4(vnic, frame, bytes),
            FrameShape.Ipv6 => Ipv6(vnic, frame, bytes),
            FrameShape.Arp => Arp(vnic, bytes),
            _ => new FrameVerdict(FrameFault.EtherType, "neither IPv4, IPv6 nor ARP"),
        };
    }

    private static FrameVerdict Arp(Vnic vnic, ReadOnlySpan<byte> arp)
    {
        if (arp.Length < ArpBytes)
        {
            return new FrameVerdict(FrameFault.Arp, "it is cut off");
        }

        uint sender = BinaryPrimitives.ReadUInt32BigEndian(arp[14..]);
        ushort operation = U16(arp[6..]);
        bool ethernet = U16(arp) == 1 && U16(arp[2..]) == FrameShape.Ipv4 && arp[4] == 6 && arp[5] == 4;
        bool known = operation == 1 || (operation == 2 && sender != 0);
        return !ethernet || !known
            ? new FrameVerdict(FrameFault.Arp, "neither a request nor a reply of IPv4 on Ethernet")
            : !arp.Slice(8, 6).SequenceEqual(vnic.Mac.ToBytes())
            ? new FrameVerdict(FrameFault.Arp, "its sender has another MAC address")
            : sender != 0 && !Owns(vnic, IpFamily.V4, sender)
            ? new FrameVerdict(FrameFault.Arp, "its sender has another address")
            : BinaryPrimitives.ReadUInt32BigEndian(arp[24..]) == uint.MaxValue
            ? new FrameVerdict(FrameFault.Arp, "nobody has the broadcast address") : Pass;
    }

    private static FrameVerdict Ipv4(Vnic vnic, PacketBytes frame, ReadOnlySpan<byte> packet)
    {
        if (frame.TransportOffset < 0 || packet.Length < Ipv4SourceEnd)
        {
            return new FrameVerdict(FrameFault.Ip4, "its header cannot be followed");
        }

        uint source = BinaryPrimitives.ReadUInt32BigEndian(packet[12..]);
        ReadOnlySpan<byte> upper = packet[frame.TransportOffset..];
        if (!Owns(vnic, IpFamily.V4, source))
        {
            bool whole = (U16(packet[6..]) & 0x3fff) == 0;
            bool client = frame.Protocol == IpProtocol.Udp && upper.Length >= 4 && U16(upper) == DhcpClient
                && U16(upper[2..]) == DhcpServer;
            return source == 0 && whole && client ? Pass : new FrameVerdict(FrameFault.Ip4, "not one of its addresses");
        }

        if (frame.IsLaterFragment)
        {
            return Pass;
        }

        switch (frame.Protocol)
        {
            case IpProtocol.Udp:
                return Udp(upper, DhcpServer, DhcpClient, FrameFault.Ip4);
            case IpProtocol.Icmp when upper.IsEmpty:
                return new FrameVerdict(FrameFault.Ip4, "ICMP of no type");
            case IpProtocol.Icmp when upper[0] == 5:
                return new FrameVerdict(FrameFault.Redirect, "only routers redirect");
            case IpProtocol.Icmp when upper[0] == 9:
                return new FrameVerdict(FrameFault.RouterAdvertisement, "only routers advertise");
            default:
                return Pass;
        }
    }

    private static FrameVerdict Ipv6(Vnic vnic, PacketBytes frame, ReadOnlySpan<byte> packet)
    {
        if (packet.Length < Ipv6Bytes)
        {
            return new FrameVerdict(FrameFault.Ip6, "its header is cut off");
        }

        UInt128 source = BinaryPrimitives.ReadUInt128BigEndian(packet[8..]);
        if (!Owns(vnic, IpFamily.V6, source))
        {
            return source == 0 ? WithoutAddress(vnic, frame, packet)
                : new FrameVerdict(FrameFault.Ip6, "not one of its addresses");
        }

        byte next = packet[6];
        if (next == FrameShape.Fragment && packet.Length >= 44 && (U16(packet[42..]) & 0xfff8) != 0)
        {
            return Pass;
        }

        if (next == FrameShape.Routing && vnic.SourceDestinationCheck)
        {
            return new FrameVerdict(FrameFault.Ip6, "a source route");
        }

        if (frame.TransportOffset < 0)
        {
            return new FrameVerdict(FrameFault.Ip6, "its headers cannot be followed");
        }

        if (IsExtension(next) && IsExtension(packet[Ipv6Bytes]))
        {
            return new FrameVerdict(FrameFault.Ip6, "more than one extension header");
        }

        ReadOnlySpan<byte> upper = packet[frame.TransportOffset..];
        return frame.Protocol switch
        {
            IpProtocol.Icmpv6 => Icmpv6(vnic, packet, upper),
            IpProtocol.Udp => Udp(upper, Dhcpv6Server, Dhcpv6Client, FrameFault.Ip6),
            _ => Pass,
        };
    }

    /// <summary>What a guest sends before it has an address (RFC 4862, RFC 3590).</summary>
    private static FrameVerdict WithoutAddress(Vnic vnic, PacketBytes frame, ReadOnlySpan<byte> packet)
    {
        var other = new FrameVerdict(FrameFault.Ip6, "only discovery starts without an address");
        if (frame.TransportOffset < 0 || frame.IsLaterFragment || frame.Protocol != IpProtocol.Icmpv6
            || frame.TransportOffset >= packet.Length)
        {
            return other;
        }

        ReadOnlySpan<byte> message = packet[frame.TransportOffset..];
        bool direct = packet[6] == IpProtocol.Icmpv6;
        ushort length = U16(packet[4..]);
        switch (message[0])
        {
            case 135:
                bool probe = direct && (length == Solicitation
                    || (length == Solicitation + Option && message[Solicitation..].StartsWith<byte>([14, 1])));
                return probe && Owns(vnic, IpFamily.V6, BinaryPrimitives.ReadUInt128BigEndian(message[8..])) ? Pass
                    : new FrameVerdict(FrameFault.NeighbourDiscovery, "no detection of a duplicate of its own address");
            case 133:
                return direct && length == RouterSolicitation ? Pass
                    : new FrameVerdict(FrameFault.NeighbourDiscovery, "a solicitation with options from nobody");
            case 131 or 132 or 143 when packet[6] == FrameShape.HopByHop && packet[Ipv6Bytes] == IpProtocol.Icmpv6:
                return Pass;
            default:
                return other;
        }
    }

    private static FrameVerdict Icmpv6(Vnic vnic, ReadOnlySpan<byte> packet, ReadOnlySpan<byte> message)
    {
        if (message.IsEmpty)
        {
            return new FrameVerdict(FrameFault.Ip6, "ICMPv6 of no type");
        }

        ushort length = packet[6] == IpProtocol.Icmpv6 ? U16(packet[4..]) : ushort.MaxValue;
        byte[] mac = vnic.Mac.ToBytes();
        switch (message[0])
        {
            case 134:
                return new FrameVerdict(FrameFault.RouterAdvertisement, "only routers advertise");
            case 137:
                return new FrameVerdict(FrameFault.Redirect, "only routers redirect");
            case 133:
                return length == RouterSolicitation || Has(message, length, RouterSolicitation, [1, 1, .. mac])
                    ? Pass : Foreign();
            case 135:
                return length == Solicitation || Has(message, length, Solicitation, [1, 1, .. mac])
                    || (!vnic.SourceDestinationCheck && Has(message, length, Solicitation, [14, 1])) ? Pass : Foreign();
            case 136:
                bool plain = length == Solicitation || Has(message, length, Solicitation, [2, 1, .. mac]);
                return plain && Owns(vnic, IpFamily.V6, BinaryPrimitives.ReadUInt128BigEndian(message[8..]))
                    ? Pass : Foreign();
            default:
                return Pass;
        }

        static FrameVerdict Foreign() => new(
            FrameFault.NeighbourDiscovery, "it may speak for another MAC address, or for another address");
    }

    /// <summary>The message ends with one option, which begins so.</summary>
    private static bool Has(ReadOnlySpan<byte> message, ushort length, ushort from, ReadOnlySpan<byte> option) =>
        length == from + Option && message[from..].StartsWith(option);

    private static FrameVerdict Udp(ReadOnlySpan<byte> upper, ushort server, ushort client, FrameFault cut)
    {
        if (upper.Length < 2)
        {
            return new FrameVerdict(cut, "UDP without ports");
        }

        bool mayServe = U16(upper) == server && (upper.Length < 4 || U16(upper[2..]) == client);
        return mayServe ? new FrameVerdict(FrameFault.DhcpServer, "a DHCP server speaks to a client") : Pass;
    }

    private static bool Owns(Vnic vnic, IpFamily family, UInt128 address) =>
        PolicyOracle.OwnAddressesOf(vnic, family).Contains(address);

    private static bool IsExtension(byte header) => header
        is FrameShape.HopByHop or FrameShape.Routing or FrameShape.Fragment or FrameShape.DestinationOptions;

    private static ushort U16(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt16BigEndian(bytes);
}
