using System.Buffers.Binary;
using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator;

/// <summary>Byte 13 of the TCP header (RFC 9293 3.1).</summary>
[Flags]
public enum TcpFlags : byte
{
    None = 0,
    Fin = 1,
    Syn = 2,
    Rst = 4,
    Psh = 8,
    Ack = 16,
    Urg = 32,
}

/// <summary>What a packet has besides its tuple.</summary>
public sealed record PacketShape
{
    /// <summary>A bare SYN, an echo request, a datagram with an empty payload.</summary>
    public static readonly PacketShape Default = new();

    public TcpFlags Tcp { get; init; } = TcpFlags.Syn;

    /// <summary>Null: an echo request of the family.</summary>
    public byte? IcmpType { get; init; }

    public byte IcmpCode { get; init; }

    public ushort IcmpId { get; init; }

    /// <summary>Bytes behind the network header; null: the shortest whole header of the protocol.</summary>
    public int? TransportBytes { get; init; }

    /// <summary>With both set, the packet has an Ethernet header.</summary>
    public MacAddress? SourceMac { get; init; }

    public MacAddress? DestinationMac { get; init; }

    /// <summary>The type in hand: RFC 792 and RFC 4443 echo request by default.</summary>
    public byte IcmpTypeOf(IpFamily family) => IcmpType ?? (family == IpFamily.V4 ? (byte)8 : (byte)128);
}

/// <summary>The headers that payload expressions load from.</summary>
/// <remarks>
/// <code>
/// +-----------------+---------------------------+---------------------------------+
/// | Link: 14, 18, 0 | Network: 20 (v4), 40 (v6) | behind TransportOffset: 0 bytes |
/// | dst src tag type| and options, extensions   | or more                         |
/// +-----------------+---------------------------+---------------------------------+
///                   '------------------- Network (one array) ---------------------'
/// </code>
/// </remarks>
/// <param name="Link">Ethernet header, the outermost VLAN tag in it; empty where the hook has none.</param>
/// <param name="Network">From the first byte of the IP (or ARP) header to the end of the packet.</param>
/// <param name="TransportOffset">
/// Of the upper-layer header in <paramref name="Network"/>; negative: none (ARP), or the way to it cannot be followed.
/// </param>
/// <param name="Protocol">IANA number of the upper layer.</param>
/// <param name="EtherType">skb->protocol as a number: 0x0800, 0x86dd, 0x0806.</param>
public sealed partial record PacketBytes(
    ImmutableArray<byte> Link,
    ImmutableArray<byte> Network,
    int TransportOffset,
    byte Protocol,
    ushort EtherType)
{
    private const ushort EtherTypeIpv4 = 0x0800;
    private const ushort EtherTypeIpv6 = 0x86dd;
    private const int Ipv4HeaderBytes = 20;
    private const int Ipv6HeaderBytes = 40;
    private const byte HopLimit = 64;

    /// <summary>
    /// A fragment that is not the first: the upper layer's number is known, its header is not here.
    /// </summary>
    public bool IsLaterFragment { get; init; }

    /// <summary>Builds the packet that has this tuple. Transport checksums are zero.</summary>
    public static PacketBytes Of(PacketTuple tuple, PacketShape? shape = null)
    {
        shape ??= PacketShape.Default;
        byte[] transport = Transport(tuple, shape);
        byte[] network = tuple.Family == IpFamily.V4 ? Ipv4(tuple, transport) : Ipv6(tuple, transport);
        ushort etherType = tuple.Family == IpFamily.V4 ? EtherTypeIpv4 : EtherTypeIpv6;
        return new PacketBytes(
            Ethernet(shape, etherType), [.. network], network.Length - transport.Length, tuple.Protocol, etherType);
    }

    private static ImmutableArray<byte> Ethernet(PacketShape shape, ushort etherType) =>
        shape is { SourceMac: { } source, DestinationMac: { } destination }
            ? [.. destination.ToBytes(), .. source.ToBytes(), (byte)(etherType >> 8), (byte)(etherType & 0xff)]
            : [];

    private static byte[] Ipv4(PacketTuple tuple, byte[] transport)
    {
        byte[] packet = new byte[Ipv4HeaderBytes + transport.Length];
        packet[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)packet.Length);
        packet[8] = HopLimit;
        packet[9] = tuple.Protocol;
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(12), (uint)tuple.Source);
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(16), (uint)tuple.Destination);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), HeaderChecksum(packet.AsSpan(0, Ipv4HeaderBytes)));
        transport.CopyTo(packet.AsSpan(Ipv4HeaderBytes));
        return packet;
    }

    private static byte[] Ipv6(PacketTuple tuple, byte[] transport)
    {
        byte[] packet = new byte[Ipv6HeaderBytes + transport.Length];
        packet[0] = 0x60;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(4), (ushort)transport.Length);
        packet[6] = tuple.Protocol;
        packet[7] = HopLimit;
        BinaryPrimitives.WriteUInt128BigEndian(packet.AsSpan(8), tuple.Source);
        BinaryPrimitives.WriteUInt128BigEndian(packet.AsSpan(24), tuple.Destination);
        transport.CopyTo(packet.AsSpan(Ipv6HeaderBytes));
        return packet;
    }

    private static byte[] Transport(PacketTuple tuple, PacketShape shape)
    {
        byte[] header = new byte[tuple.Protocol == IpProtocol.Tcp ? 20 : 8];
        switch (tuple.Protocol)
        {
            case IpProtocol.Tcp:
                PutPorts(header, tuple);
                header[12] = 5 << 4;
                header[13] = (byte)shape.Tcp;
                break;
            case IpProtocol.Udp:
                PutPorts(header, tuple);
                BinaryPrimitives.WriteUInt16BigEndian(
                    header.AsSpan(4), (ushort)(shape.TransportBytes ?? header.Length));
                break;
            case IpProtocol.Icmp or IpProtocol.Icmpv6:
                header[0] = shape.IcmpTypeOf(tuple.Family);
                header[1] = shape.IcmpCode;
                BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(4), shape.IcmpId);
                break;
        }

        Array.Resize(ref header, shape.TransportBytes ?? header.Length);
        return header;
    }

    private static void PutPorts(byte[] header, PacketTuple tuple)
    {
        BinaryPrimitives.WriteUInt16BigEndian(header, tuple.SourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(2), tuple.DestinationPort);
    }

    /// <summary>RFC 791: ones' complement of the ones' complement sum of the header's words.</summary>
    private static ushort HeaderChecksum(ReadOnlySpan<byte> header)
    {
        uint sum = 0;
        for (int i = 0; i < header.Length; i += 2)
        {
            sum += BinaryPrimitives.ReadUInt16BigEndian(header[i..]);
        }

        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (ushort)(~sum & 0xffff);
    }
}
