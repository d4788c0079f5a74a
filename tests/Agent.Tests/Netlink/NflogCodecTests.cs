using Agent.Netlink;
using Agent.Netlink.Nflog;
using CsCheck;

namespace Agent.Tests.Netlink;

/// <summary>Messages of nfnetlink_log: what is asked for, and what comes.</summary>
public class NflogCodecTests
{
    private const ushort PacketType = 4 << 8;

    [Fact]
    public void A_group_is_bound_and_set_up()
    {
        var writer = new NlWriter();
        NflogCodec.WriteBind(writer, sequence: 7, group: 0x0102);
        Assert.Equal("1c000000 0104 0500 07000000 00000000 00000102 0500 0100 01000000".Replace(" ", ""),
            Convert.ToHexStringLower(writer.Written));
        writer.Clear();
        NflogCodec.WriteSettings(writer, sequence: 8, group: 3, new NflogSettings
        {
            CopyBytes = 160,
            BatchPackets = 32,
            BatchBytes = 0x8000,
            Delay = TimeSpan.FromMilliseconds(50),
        });
        Assert.Equal(
            ("40000000 0104 0500 08000000 00000000 00000003 0a000200 000000a0 02000000 08000300 00008000"
            + "08000400 00000005 08000500 00000020 06000600 00010000").Replace(" ", ""),
            Convert.ToHexStringLower(writer.Written));
    }

    [Fact]
    public void A_packet_is_read()
    {
        LoggedPacket packet = Read(Packet(family: 2));
        Assert.Equal(((byte)2, (byte)2, (ushort)0x0800), (packet.Family, packet.Hook, packet.EtherType));
        Assert.Equal(("sg to rule", 0x20000011u, 9u), (packet.Prefix, packet.Mark, packet.Sequence));
        Assert.Equal((3u, 4u), (packet.In, packet.Out));
        Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(1_700_000_000).AddMicroseconds(5), packet.Time);
        Assert.Equal([1, 2, 3], packet.Network.ToArray());
        Assert.Equal(14, packet.Link.Length);
        Assert.Equal((ushort?)0x2005, packet.VlanTag);
    }

    /// <summary>With br_netfilter a frame has two devices each way: the rules of the bridge mean the port.</summary>
    [Fact]
    public void In_the_bridge_family_the_port_is_the_device()
    {
        LoggedPacket packet = Read(Packet(family: 7));
        Assert.Equal((13u, 14u), (packet.In, packet.Out));
    }

    [Fact]
    public void Any_bytes_are_a_packet_or_refused()
    {
        byte[] whole = Packet(family: 7);
        Gen.Select(Gen.Int[16, whole.Length], Gen.Select(Gen.Int[16, whole.Length - 1], Gen.Byte).Array[0, 8])
            .Sample((length, flips) =>
            {
                byte[] bytes = [.. whole];
                foreach ((int at, byte value) in flips)
                {
                    bytes[at] = value;
                }

                bytes = bytes[..length];
                BitConverter.TryWriteBytes(bytes, length);
                try
                {
                    return Read(bytes).Prefix is not null;
                }
                catch (NetlinkFormatException)
                {
                    return true;
                }
            }, iter: 100_000);
    }

    private static byte[] Packet(byte family)
    {
        var writer = new NlWriter();
        NlMark message = writer.BeginMessage(PacketType, NlmF.None, sequence: 0);
        writer.PutRaw([family, 0, 6, 0xfd]);
        writer.PutBytes(Nfula.PacketHdr, [8, 0, 2, 0]);
        writer.PutBytes(Nfula.Prefix, "sg to rule\0"u8);
        writer.PutU32Be(Nfula.IfindexIndev, 3);
        writer.PutU32Be(Nfula.IfindexOutdev, 4);
        writer.PutU32Be(Nfula.IfindexPhysindev, 13);
        writer.PutU32Be(Nfula.IfindexPhysoutdev, 14);
        writer.PutU32Be(Nfula.Mark, 0x20000011);
        writer.PutBytes(Nfula.Hwheader, new byte[14]);
        NlMark vlan = writer.BeginNest(Nfula.Vlan);
        writer.PutU16Be(NfulaVlan.Tci, 0x2005);
        writer.EndNest(vlan);
        writer.PutBytes(Nfula.Timestamp, [0, 0, 0, 0, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        writer.PutU32Be(Nfula.Seq, 9);
        writer.PutBytes(Nfula.Payload, [1, 2, 3]);
        writer.EndMessage(message);
        return writer.Written.ToArray();
    }

    private static LoggedPacket Read(byte[] datagram)
    {
        foreach (NlMessage message in new NlMessages(datagram))
        {
            return NflogCodec.Read(message);
        }

        throw new InvalidOperationException("no message");
    }
}
