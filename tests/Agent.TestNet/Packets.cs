using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Agent.TestNet;

[Flags]
public enum TcpFlags : byte
{
    None = 0,
    Fin = 1,
    Syn = 2,
    Reset = 4,
    Push = 8,
    Ack = 16,
    Urgent = 32,
}

/// <summary>IP packets and Ethernet frames as bytes, checksums complete: whatever a hostile guest could send.</summary>
public static class Packets
{
    public const ushort EtherTypeIpv4 = 0x0800;
    public const ushort EtherTypeArp = 0x0806;
    public const ushort EtherTypeIpv6 = 0x86dd;

    private const byte HopLimit = 64;
    private const int Ipv4HeaderLength = 20;
    private const int Ipv6HeaderLength = 40;
    private const byte FragmentHeader = 44;
    private static int identification;

    public static byte[] Udp(
        IPAddress source, IPAddress destination, int sourcePort, int destinationPort, byte[] payload)
    {
        ArgumentNullException.ThrowIfNull(payload);
        byte[] segment = new byte[8 + payload.Length];
        WritePort(segment, 0, sourcePort);
        WritePort(segment, 2, destinationPort);
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(4), (ushort)segment.Length);
        payload.CopyTo(segment, 8);
        ushort sum = TransportChecksum(source, destination, 17, segment);
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(6), sum == 0 ? ushort.MaxValue : sum);
        return Ip(source, destination, 17, segment);
    }

    /// <param name="source">Sender.</param>
    /// <param name="destination">Receiver.</param>
    /// <param name="flags">Flags.</param>
    /// <param name="sequence">Sequence number.</param>
    /// <param name="acknowledged">Acknowledgement number.</param>
    /// <param name="payload">Payload.</param>
    /// <param name="urgent">The urgent pointer: without its flag it means nothing, and tells segments apart.</param>
    public static byte[] Tcp(
        IPEndPoint source, IPEndPoint destination, TcpFlags flags, uint sequence, uint acknowledged, byte[] payload,
        ushort urgent = 0)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentNullException.ThrowIfNull(payload);
        byte[] segment = new byte[20 + payload.Length];
        WritePort(segment, 0, source.Port);
        WritePort(segment, 2, destination.Port);
        BinaryPrimitives.WriteUInt32BigEndian(segment.AsSpan(4), sequence);
        BinaryPrimitives.WriteUInt32BigEndian(segment.AsSpan(8), acknowledged);
        segment[12] = 0x50;
        segment[13] = (byte)flags;
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(14), 0xffff);
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(18), urgent);
        payload.CopyTo(segment, 20);
        BinaryPrimitives.WriteUInt16BigEndian(
            segment.AsSpan(16), TransportChecksum(source.Address, destination.Address, 6, segment));
        return Ip(source.Address, destination.Address, 6, segment);
    }

    /// <summary>Echo request of the family of the addresses, or its reply.</summary>
    public static byte[] Echo(
        IPAddress source, IPAddress destination, int identifier, int sequence, byte[] payload, bool reply = false)
    {
        ArgumentNullException.ThrowIfNull(payload);
        bool v4 = IsV4(source);
        byte[] body = new byte[4 + payload.Length];
        BinaryPrimitives.WriteUInt16BigEndian(body, (ushort)identifier);
        BinaryPrimitives.WriteUInt16BigEndian(body.AsSpan(2), (ushort)sequence);
        payload.CopyTo(body, 4);
        byte type = (v4, reply) switch { (true, false) => 8, (true, true) => 0, (false, false) => 128, _ => 129 };
        return Icmp(source, destination, type, 0, body);
    }

    /// <summary>Any ICMP (v4 addresses) or ICMPv6 (v6 addresses) message.</summary>
    public static byte[] Icmp(IPAddress source, IPAddress destination, byte type, byte code, byte[] body)
    {
        ArgumentNullException.ThrowIfNull(body);
        byte[] message = new byte[4 + body.Length];
        message[0] = type;
        message[1] = code;
        body.CopyTo(message, 4);
        byte protocol = IsV4(source) ? (byte)1 : (byte)58;
        ushort sum = IsV4(source)
            ? Fold(Sum(message, 0))
            : TransportChecksum(source, destination, protocol, message);
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(2), sum);
        return Ip(source, destination, protocol, message);
    }

    /// <summary>
    /// "Fragmentation needed" or "packet too big" from a router about a packet that it could not forward.
    /// </summary>
    public static byte[] TooBig(IPAddress router, IPAddress destination, byte[] offending, int mtu)
    {
        ArgumentNullException.ThrowIfNull(offending);
        bool v4 = IsV4(router);
        int quoted = Math.Min(offending.Length, v4 ? Ipv4HeaderLength + 8 : 1200);
        byte[] body = new byte[4 + quoted];
        BinaryPrimitives.WriteUInt32BigEndian(body, (uint)mtu);
        offending.AsSpan(0, quoted).CopyTo(body.AsSpan(4));
        return v4 ? Icmp(router, destination, 3, 4, body) : Icmp(router, destination, 2, 0, body);
    }

    public static byte[] Ip(IPAddress source, IPAddress destination, byte protocol, byte[] payload)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentNullException.ThrowIfNull(payload);
        return IsV4(source)
            ? Ipv4(source, destination, protocol, payload, NextIdentification(), 0)
            : Ipv6(source, destination, protocol, payload);
    }

    /// <summary>Cuts an IP packet into fragments that carry at most <paramref name="size"/> bytes each.</summary>
    /// <param name="packet">An unfragmented packet.</param>
    /// <param name="size">A multiple of eight.</param>
    public static byte[][] Fragment(byte[] packet, int size)
    {
        ArgumentNullException.ThrowIfNull(packet);
        ArgumentOutOfRangeException.ThrowIfNotEqual(size % 8, 0);
        ReceivedPacket whole = ReceivedPacket.FromIp(packet);
        byte[] payload = whole.Transport.ToArray();
        int id = NextIdentification();
        List<byte[]> fragments = [];
        for (int offset = 0; offset < payload.Length; offset += size)
        {
            byte[] part = payload[offset..Math.Min(offset + size, payload.Length)];
            bool more = offset + size < payload.Length;
            fragments.Add(IsV4(whole.Source)
                ? Ipv4(whole.Source, whole.Destination, whole.Protocol, part, id, offset / 8 | (more ? 0x2000 : 0))
                : Ipv6Fragment(whole, part, id, offset | (more ? 1 : 0)));
        }

        return [.. fragments];
    }

    public static byte[] Frame(byte[] destinationMac, byte[] sourceMac, ushort etherType, byte[] payload)
    {
        byte[] type = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(type, etherType);
        return [.. destinationMac, .. sourceMac, .. type, .. payload];
    }

    /// <summary>The frame of an IP packet, with the EtherType of its family.</summary>
    public static byte[] FrameOf(byte[] destinationMac, byte[] sourceMac, byte[] packet)
    {
        ArgumentNullException.ThrowIfNull(packet);
        return Frame(destinationMac, sourceMac, packet[0] >> 4 == 4 ? EtherTypeIpv4 : EtherTypeIpv6, packet);
    }

    /// <summary>Puts a VLAN tag (802.1Q 0x8100, 802.1ad 0x88a8) outside of all others.</summary>
    public static byte[] Tag(byte[] frame, ushort tagType, int vlan)
    {
        byte[] tag = [(byte)(tagType >> 8), (byte)(tagType & 0xff), (byte)(vlan >> 8), (byte)(vlan & 0xff)];
        return [.. frame.AsSpan(0, 12), .. tag, .. frame.AsSpan(12)];
    }

    /// <summary>An IPv6 packet with an extension header put in front of what follows its IPv6 header.</summary>
    /// <param name="packet">An IPv6 packet.</param>
    /// <param name="type">0 hop-by-hop, 43 routing, 44 fragment, 60 destination options.</param>
    /// <param name="rest">
    /// The extension header without its first octet, which names what follows; 7 octets and more.
    /// </param>
    public static byte[] Extend(byte[] packet, byte type, params byte[] rest)
    {
        ArgumentNullException.ThrowIfNull(packet);
        ArgumentNullException.ThrowIfNull(rest);
        byte[] extended =
            [.. packet.AsSpan(0, Ipv6HeaderLength), packet[6], .. rest, .. packet.AsSpan(Ipv6HeaderLength)];
        extended[6] = type;
        BinaryPrimitives.WriteUInt16BigEndian(extended.AsSpan(4), (ushort)(extended.Length - Ipv6HeaderLength));
        return extended;
    }

    /// <summary>The body of an ARP packet: operation 1 asks, 2 answers.</summary>
    public static byte[] Arp(int operation, byte[] senderMac, IPAddress sender, byte[] targetMac, IPAddress target)
    {
        ArgumentNullException.ThrowIfNull(sender);
        ArgumentNullException.ThrowIfNull(target);
        return
        [
            0, 1, 8, 0, 6, 4, 0, (byte)operation,
            .. senderMac, .. sender.GetAddressBytes(), .. targetMac, .. target.GetAddressBytes(),
        ];
    }

    public static bool IsV4(IPAddress address) => address.AddressFamily == AddressFamily.InterNetwork;

    private static byte[] Ipv4(
        IPAddress source, IPAddress destination, byte protocol, byte[] payload, int id, int fragmentField)
    {
        byte[] packet = new byte[Ipv4HeaderLength + payload.Length];
        packet[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)packet.Length);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(4), (ushort)id);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(6), (ushort)fragmentField);
        packet[8] = HopLimit;
        packet[9] = protocol;
        source.TryWriteBytes(packet.AsSpan(12), out _);
        destination.TryWriteBytes(packet.AsSpan(16), out _);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), Fold(Sum(packet.AsSpan(0, Ipv4HeaderLength), 0)));
        payload.CopyTo(packet, Ipv4HeaderLength);
        return packet;
    }

    private static byte[] Ipv6(IPAddress source, IPAddress destination, byte nextHeader, byte[] payload)
    {
        byte[] packet = new byte[Ipv6HeaderLength + payload.Length];
        packet[0] = 0x60;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(4), (ushort)payload.Length);
        packet[6] = nextHeader;
        // Neighbour discovery is only believed with 255, and nothing else cares.
        packet[7] = nextHeader == 58 ? byte.MaxValue : HopLimit;
        source.TryWriteBytes(packet.AsSpan(8), out _);
        destination.TryWriteBytes(packet.AsSpan(24), out _);
        payload.CopyTo(packet, Ipv6HeaderLength);
        return packet;
    }

    private static byte[] Ipv6Fragment(ReceivedPacket whole, byte[] part, int id, int offsetField)
    {
        byte[] body = new byte[8 + part.Length];
        body[0] = whole.Protocol;
        BinaryPrimitives.WriteUInt16BigEndian(body.AsSpan(2), (ushort)offsetField);
        BinaryPrimitives.WriteInt32BigEndian(body.AsSpan(4), id);
        part.CopyTo(body, 8);
        return Ipv6(whole.Source, whole.Destination, FragmentHeader, body);
    }

    private static ushort TransportChecksum(IPAddress source, IPAddress destination, byte protocol, byte[] segment)
    {
        uint sum = Sum(source.GetAddressBytes(), 0);
        sum = Sum(destination.GetAddressBytes(), sum);
        return Fold(Sum(segment, sum + protocol + (uint)segment.Length));
    }

    private static uint Sum(ReadOnlySpan<byte> bytes, uint sum)
    {
        for (int i = 0; i + 1 < bytes.Length; i += 2)
        {
            sum += BinaryPrimitives.ReadUInt16BigEndian(bytes[i..]);
        }

        return bytes.Length % 2 == 0 ? sum : sum + ((uint)bytes[^1] << 8);
    }

    private static ushort Fold(uint sum)
    {
        while (sum >> 16 != 0)
        {
            sum = (sum & 0xffff) + (sum >> 16);
        }

        return (ushort)(~sum & 0xffff);
    }

    private static int NextIdentification() => Interlocked.Increment(ref identification) & 0x7fff;

    private static void WritePort(byte[] segment, int offset, int port) =>
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(offset), (ushort)port);
}
