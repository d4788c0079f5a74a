using System.Buffers.Binary;
using System.Net;

namespace Agent.TestNet;

/// <summary>An IP packet as it was seen on a wire.</summary>
public sealed record ReceivedPacket
{
    public required IPAddress Source { get; init; }

    public required IPAddress Destination { get; init; }

    /// <summary>The upper-layer protocol, behind a fragment header if there is one.</summary>
    public required byte Protocol { get; init; }

    /// <summary>Transport header and payload; of a fragment, the part that it carries.</summary>
    public required ReadOnlyMemory<byte> Transport { get; init; }

    public uint FragmentId { get; init; }

    /// <summary>In bytes.</summary>
    public int FragmentOffset { get; init; }

    public bool MoreFragments { get; init; }

    public bool IsFragment => FragmentOffset != 0 || MoreFragments;

    /// <summary>Null of an Ethernet frame that is no IP packet, or a broken one.</summary>
    public static ReceivedPacket? FromFrame(byte[] frame)
    {
        if (frame.Length < 34)
        {
            return null;
        }

        ushort type = BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(12));
        ReadOnlyMemory<byte> packet = frame.AsMemory(14);
        return type switch
        {
            Packets.EtherTypeIpv4 => FromIpv4(packet),
            Packets.EtherTypeIpv6 when packet.Length >= 40 => FromIpv6(packet),
            _ => null,
        };
    }

    /// <summary>As it would be seen.</summary>
    /// <exception cref="ArgumentException">It is no IP packet.</exception>
    public static ReceivedPacket FromIp(byte[] packet)
    {
        ReceivedPacket? parsed = packet[0] >> 4 == 4 ? FromIpv4(packet) : FromIpv6(packet);
        return parsed ?? throw new ArgumentException("not an IP packet", nameof(packet));
    }

    private static ReceivedPacket? FromIpv4(ReadOnlyMemory<byte> packet)
    {
        ReadOnlySpan<byte> header = packet.Span;
        int headerLength = (header[0] & 0xf) * 4;
        int total = BinaryPrimitives.ReadUInt16BigEndian(header[2..]);
        if (headerLength < 20 || total < headerLength || total > packet.Length)
        {
            return null;
        }

        int field = BinaryPrimitives.ReadUInt16BigEndian(header[6..]);
        return new ReceivedPacket
        {
            Source = new IPAddress(header.Slice(12, 4)),
            Destination = new IPAddress(header.Slice(16, 4)),
            Protocol = header[9],
            Transport = packet[headerLength..total],
            FragmentId = BinaryPrimitives.ReadUInt16BigEndian(header[4..]),
            FragmentOffset = (field & 0x1fff) * 8,
            MoreFragments = (field & 0x2000) != 0,
        };
    }

    private static ReceivedPacket? FromIpv6(ReadOnlyMemory<byte> packet)
    {
        ReadOnlySpan<byte> header = packet.Span;
        int total = 40 + BinaryPrimitives.ReadUInt16BigEndian(header[4..]);
        if (total > packet.Length)
        {
            return null;
        }

        bool fragment = header[6] == 44 && total >= 48;
        int field = fragment ? BinaryPrimitives.ReadUInt16BigEndian(header[42..]) : 0;
        return new ReceivedPacket
        {
            Source = new IPAddress(header.Slice(8, 16)),
            Destination = new IPAddress(header.Slice(24, 16)),
            Protocol = fragment ? header[40] : header[6],
            Transport = packet[(fragment ? 48 : 40)..total],
            FragmentId = fragment ? BinaryPrimitives.ReadUInt32BigEndian(header[44..]) : 0,
            FragmentOffset = field & 0xfff8,
            MoreFragments = (field & 1) != 0,
        };
    }
}
