using System.Buffers.Binary;

namespace Agent.Evaluator;

/// <content>
/// A frame as the ingress hook of a device finds it (nf_tables_ipv4.h, nf_tables_ipv6.h, ipv6_find_hdr).
/// </content>
public sealed partial record PacketBytes
{
    private const int EthernetBytes = 14;
    private const int TagBytes = 4;
    private const ushort EtherTypeVlan = 0x8100;
    private const ushort EtherTypeQinq = 0x88a8;
    private const ushort EtherTypeFirst = 0x0600;
    private const ushort Protocol8022 = 0x0004; // linux/if_ether.h ETH_P_802_2

    private const byte HopByHop = 0;
    private const byte Routing = 43;
    private const byte Fragment = 44;
    private const byte Authentication = 51;
    private const byte DestinationOptions = 60;

    /// <summary>
    /// What a device has received. The outermost VLAN tag is taken off; link-layer loads see it put back.
    /// </summary>
    /// <exception cref="ArgumentException">Shorter than an Ethernet header.</exception>
    public static PacketBytes OfFrame(ReadOnlySpan<byte> frame)
    {
        if (frame.Length < EthernetBytes)
        {
            throw new ArgumentException("shorter than an Ethernet header", nameof(frame));
        }

        ushort type = BinaryPrimitives.ReadUInt16BigEndian(frame[12..]);
        bool tagged = type is EtherTypeVlan or EtherTypeQinq && frame.Length >= EthernetBytes + TagBytes;
        int link = tagged ? EthernetBytes + TagBytes : EthernetBytes;
        ushort inner = BinaryPrimitives.ReadUInt16BigEndian(frame[(link - 2)..]);
        ushort protocol = inner < EtherTypeFirst ? Protocol8022 : inner;
        ReadOnlySpan<byte> network = frame[link..];
        (int offset, byte upper, bool later) = protocol switch
        {
            EtherTypeIpv4 => FollowIpv4(network),
            EtherTypeIpv6 => FollowIpv6(network),
            _ => (-1, (byte)0, false),
        };
        return new PacketBytes([.. frame[..link]], [.. network], offset, upper, protocol) { IsLaterFragment = later };
    }

    private static (int Offset, byte Protocol, bool Later) FollowIpv4(ReadOnlySpan<byte> packet)
    {
        if (packet.Length < Ipv4HeaderBytes)
        {
            return (-1, (byte)0, false);
        }

        int header = (packet[0] & 0xf) * 4;
        int total = BinaryPrimitives.ReadUInt16BigEndian(packet[2..]);
        bool whole = packet[0] >> 4 == 4 && header >= Ipv4HeaderBytes && total >= header && total <= packet.Length;
        return whole
            ? (header, packet[9], (BinaryPrimitives.ReadUInt16BigEndian(packet[6..]) & 0x1fff) != 0)
            : (-1, (byte)0, false);
    }

    private static (int Offset, byte Protocol, bool Later) FollowIpv6(ReadOnlySpan<byte> packet)
    {
        if (packet.Length < Ipv6HeaderBytes || packet[0] >> 4 != 6
            || BinaryPrimitives.ReadUInt16BigEndian(packet[4..]) + Ipv6HeaderBytes > packet.Length)
        {
            return (-1, (byte)0, false);
        }

        byte next = packet[6];
        int at = Ipv6HeaderBytes;
        // An authentication header is where the kernel stops too (IP6_FH_F_AUTH).
        while (next is HopByHop or Routing or Fragment or DestinationOptions)
        {
            if (at + 8 > packet.Length)
            {
                return (-1, (byte)0, false);
            }

            byte behind = packet[at];
            if (next == Fragment && (BinaryPrimitives.ReadUInt16BigEndian(packet[(at + 2)..]) & 0xfff8) != 0)
            {
                // What a later fragment begins with is not a header; a number that would need following is refused.
                bool ends = behind is not (HopByHop or Routing or Fragment or DestinationOptions or Authentication);
                return ends ? (at, behind, true) : (-1, (byte)0, false);
            }

            at += next == Fragment ? 8 : (packet[at + 1] + 1) * 8;
            next = behind;
        }

        return (Math.Min(at, packet.Length), next, false); // a header may claim to be longer than the packet
    }
}
