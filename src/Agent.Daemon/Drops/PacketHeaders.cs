using System.Buffers.Binary;
using System.Net;
using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>What can be read of a packet that may be anything, and may be cut off anywhere.</summary>
internal readonly record struct PacketHeaders
{
    private const ushort EtherTypeIpv4 = 0x0800;
    private const ushort EtherTypeIpv6 = 0x86dd;
    private const ushort EtherTypeArp = 0x0806;
    private const int Ipv4Bytes = 20;
    private const int Ipv6Bytes = 40;
    private const int ArpBytes = 28;

    /// <summary>IANA number of SCTP, whose ports stand where those of TCP do.</summary>
    private const byte Sctp = 132;

    /// <summary>More extension headers than any sender has a reason for.</summary>
    private const int ExtensionsMax = 8;

    public ushort EtherType { get; private init; }

    public IPAddress? Source { get; private init; }

    public IPAddress? Destination { get; private init; }

    /// <summary>IANA number; null: not IP, or the way to it cannot be followed.</summary>
    public byte? Protocol { get; private init; }

    public ushort? SourcePort { get; private init; }

    public ushort? DestinationPort { get; private init; }

    /// <summary>RFC 9293 3.1, byte 13.</summary>
    public byte? TcpFlags { get; private init; }

    public byte? IcmpType { get; private init; }

    public byte? IcmpCode { get; private init; }

    /// <summary>As the header says, 0 if it says nothing.</summary>
    public int LengthBytes { get; private init; }

    public bool IsLaterFragment { get; private init; }

    public bool IsArp => EtherType == EtherTypeArp;

    /// <param name="etherType">As a number.</param>
    /// <param name="network">From the network header on.</param>
    public static PacketHeaders Read(ushort etherType, ReadOnlySpan<byte> network)
    {
        var headers = new PacketHeaders { EtherType = etherType };
        return etherType switch
        {
            EtherTypeIpv4 when network.Length >= Ipv4Bytes && network[0] >> 4 == 4 => Ipv4(headers, network),
            EtherTypeIpv6 when network.Length >= Ipv6Bytes && network[0] >> 4 == 6 => Ipv6(headers, network),
            EtherTypeArp when network.Length >= ArpBytes && network[4] == 6 && network[5] == 4 => headers with
            {
                Source = new IPAddress(network.Slice(14, 4)),
                Destination = new IPAddress(network.Slice(24, 4)),
                LengthBytes = ArpBytes,
            },
            _ => headers,
        };
    }

    private static PacketHeaders Ipv4(PacketHeaders headers, ReadOnlySpan<byte> network)
    {
        int headerBytes = (network[0] & 0xf) * 4;
        headers = headers with
        {
            Source = new IPAddress(network.Slice(12, 4)),
            Destination = new IPAddress(network.Slice(16, 4)),
            Protocol = network[9],
            LengthBytes = BinaryPrimitives.ReadUInt16BigEndian(network[2..]),
            IsLaterFragment = (BinaryPrimitives.ReadUInt16BigEndian(network[6..]) & 0x1fff) != 0,
        };
        return headers.IsLaterFragment || headerBytes < Ipv4Bytes || headerBytes > network.Length
            ? headers : Transport(headers, network[headerBytes..]);
    }

    private static PacketHeaders Ipv6(PacketHeaders headers, ReadOnlySpan<byte> network)
    {
        headers = headers with
        {
            Source = new IPAddress(network.Slice(8, 16)),
            Destination = new IPAddress(network.Slice(24, 16)),
            LengthBytes = Ipv6Bytes + BinaryPrimitives.ReadUInt16BigEndian(network[4..]),
        };
        byte next = network[6];
        ReadOnlySpan<byte> rest = network[Ipv6Bytes..];
        for (int i = 0; i < ExtensionsMax; i++)
        {
            int bytes;
            switch (next)
            {
                case 0 or 43 or 60 when rest.Length >= 2: bytes = (rest[1] + 1) * 8; break;
                case 51 when rest.Length >= 2: bytes = (rest[1] + 2) * 4; break;
                case 44 when rest.Length >= 8:
                    bytes = 8;
                    headers = headers with
                    {
                        IsLaterFragment = (BinaryPrimitives.ReadUInt16BigEndian(rest[2..]) & 0xfff8) != 0,
                    };
                    break;
                case 0 or 43 or 60 or 51 or 44: return headers;
                default: return Transport(headers with { Protocol = next }, rest);
            }

            if (headers.IsLaterFragment)
            {
                return headers with { Protocol = rest[0] };
            }

            if (bytes > rest.Length)
            {
                return headers;
            }

            next = rest[0];
            rest = rest[bytes..];
        }

        return headers;
    }

    private static PacketHeaders Transport(PacketHeaders headers, ReadOnlySpan<byte> transport)
    {
        switch (headers.Protocol)
        {
            case IpProtocol.Tcp or IpProtocol.Udp or Sctp when transport.Length >= 4:
                return headers with
                {
                    SourcePort = BinaryPrimitives.ReadUInt16BigEndian(transport),
                    DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(transport[2..]),
                    TcpFlags = headers.Protocol == IpProtocol.Tcp && transport.Length > 13 ? transport[13] : null,
                };
            case IpProtocol.Icmp or IpProtocol.Icmpv6 when transport.Length >= 2:
                return headers with { IcmpType = transport[0], IcmpCode = transport[1] };
            default:
                return headers;
        }
    }

    /// <summary>
    /// Conntrack may call it related: an error about a session, or a redirect (net/netfilter/nf_conntrack_proto_icmp.c,
    /// nf_conntrack_proto_icmpv6.c). Such types never answer a request.
    /// </summary>
    public bool IsIcmpError => Protocol switch
    {
        IpProtocol.Icmp => IcmpType is 3 or 4 or 5 or 11 or 12,
        IpProtocol.Icmpv6 => IcmpType is < 128 or 137,
        _ => false,
    };

    /// <summary>A DHCP client's packet; no rule decides those that go to servers everybody may ask.</summary>
    public bool IsDhcpRequest => Protocol == IpProtocol.Udp
        && (SourcePort, DestinationPort) is (68, 67) or (546, 547);
}
