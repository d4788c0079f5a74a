using System.Net;
using Agent.Daemon.Drops;
using CsCheck;
using Packets = Agent.TestNet.Packets;

namespace Agent.Tests.Daemon;

/// <summary>Headers are read of whole packets, and never read beyond of those that are not.</summary>
public sealed class PacketHeadersTests
{
    private const ushort Ipv4 = 0x0800;
    private const ushort Ipv6 = 0x86dd;
    private const ushort Arp = 0x0806;

    private static readonly IPAddress A = IPAddress.Parse("10.0.0.8");
    private static readonly IPAddress B = IPAddress.Parse("198.51.100.7");
    private static readonly IPAddress A6 = IPAddress.Parse("2001:db8::8");
    private static readonly IPAddress B6 = IPAddress.Parse("2001:db8:ffff::7");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Addresses_ports_and_flags_are_read(bool v6)
    {
        (IPAddress from, IPAddress to) = v6 ? (A6, B6) : (A, B);
        byte[] packet = Packets.Tcp(new IPEndPoint(from, 4711), new IPEndPoint(to, 22),
            TestNet.TcpFlags.Syn | TestNet.TcpFlags.Ack, 1, 2, [1, 2, 3]);
        PacketHeaders read = PacketHeaders.Read(v6 ? Ipv6 : Ipv4, packet);
        Assert.Equal((from, to, (byte?)6), (read.Source, read.Destination, read.Protocol));
        Assert.Equal(((ushort?)4711, (ushort?)22, (byte?)0x12), (read.SourcePort, read.DestinationPort, read.TcpFlags));
        Assert.Equal("SA", DropJson.FlagsOf(0x12));
        Assert.Equal((packet.Length, false), (read.LengthBytes, read.IsLaterFragment));
        PacketHeaders echo = PacketHeaders.Read(
            v6 ? Ipv6 : Ipv4, Packets.Icmp(from, to, v6 ? (byte)1 : (byte)3, 4, new byte[8]));
        Assert.Equal((true, (byte?)4), (echo.IsIcmpError, echo.IcmpCode));
    }

    [Fact]
    public void Extension_headers_are_followed_and_a_later_fragment_has_no_ports()
    {
        byte[] udp = Packets.Udp(A6, B6, 546, 547, [9]);
        byte[] options = [17, 0, 1, 4, 0, 0, 0, 0];
        byte[] destination = [60, 1, .. new byte[14]];
        byte[] behind = [.. udp[..6], 0, .. udp[7..40], .. destination, .. options, .. udp[40..]];
        PacketHeaders read = PacketHeaders.Read(Ipv6, behind);
        Assert.Equal(((byte?)17, (ushort?)546, true), (read.Protocol, read.SourcePort, read.IsDhcpRequest));

        byte[] fragment = [17, 0, 0, 8, 0, 0, 0, 1];
        read = PacketHeaders.Read(Ipv6, [.. udp[..6], 44, .. udp[7..40], .. fragment, .. udp[40..]]);
        Assert.Equal((true, (byte?)17, (ushort?)null), (read.IsLaterFragment, read.Protocol, read.SourcePort));
        byte[] v4 = Packets.Udp(A, B, 1, 2, [9]);
        v4[7] = 1;
        read = PacketHeaders.Read(Ipv4, v4);
        Assert.Equal((true, (byte?)17, (ushort?)null), (read.IsLaterFragment, read.Protocol, read.SourcePort));
    }

    [Fact]
    public void Arp_shows_its_two_protocol_addresses()
    {
        byte[] arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 8, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];
        PacketHeaders read = PacketHeaders.Read(Arp, arp);
        Assert.Equal((A, IPAddress.Parse("10.0.0.1")), (read.Source, read.Destination));
        Assert.Equal("arp", DropJson.ProtocolOf(read));
        Assert.Null(PacketHeaders.Read(Arp, arp.AsSpan(0, 27)).Source);
    }

    /// <summary>Cut off and bent anywhere, a packet has fewer fields, and none that its bytes do not hold.</summary>
    [Fact]
    public void Any_bytes_are_read()
    {
        byte[][] whole =
        [
            Packets.Udp(A, B, 1, 2, [9]), Packets.Udp(A6, B6, 1, 2, [9]), Packets.Icmp(A6, B6, 1, 0, new byte[8]),
            Packets.Tcp(new IPEndPoint(A, 3), new IPEndPoint(B, 4), TestNet.TcpFlags.Syn, 1, 1, []),
        ];
        Gen.Select(
            Gen.Int[0, whole.Length - 1],
            Gen.Int[0, 3].Select(kind => ((ushort[])[Ipv4, Ipv6, Arp, 0x88cc])[kind]), Gen.Int[0, 80],
            Gen.Select(Gen.Int[0, 79], Gen.Byte).Array[0, 6])
            .Sample((which, type, length, flips) =>
            {
                byte[] bytes = [.. whole[which]];
                foreach ((int at, byte value) in flips)
                {
                    bytes[at % bytes.Length] = value;
                }

                bytes = bytes[..Math.Min(length, bytes.Length)];
                PacketHeaders read = PacketHeaders.Read(type, bytes);
                bool addressed = type switch
                {
                    Ipv4 => bytes.Length >= 20 && bytes[0] >> 4 == 4,
                    Ipv6 => bytes.Length >= 40 && bytes[0] >> 4 == 6,
                    Arp => bytes.Length >= 28 && bytes[4] == 6 && bytes[5] == 4,
                    _ => false,
                };
                return addressed == read.Source is not null
                    && (read.SourcePort is null || (read.Protocol is 6 or 17 or 132 && !read.IsLaterFragment))
                    && (read.TcpFlags is null || read.Protocol == 6);
            }, iter: 200_000);
    }
}
