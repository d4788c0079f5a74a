using System.Net;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using CsCheck;

namespace Agent.Tests.Netlink;

/// <summary>Messages of ctnetlink: what is put into the table is what would be read from it.</summary>
public sealed class FlowCodecTests
{
    private static readonly Flow Stream = Flow.New(
        new FlowTuple(IPAddress.Parse("10.0.0.8"), IPAddress.Parse("198.51.100.7"), 6, 40_000, 443), zone: 7,
        timeoutSeconds: 300, isAnswered: true, isAssured: true) with
    {
        Tcp = new TcpFlow(3, new TcpSide(7, 3), new TcpSide(14, 7)),
    };

    [Fact]
    public void A_new_flow_is_written_as_the_kernel_reads_it()
    {
        // nlmsghdr | nfgenmsg | TUPLE_ORIG | TUPLE_REPLY | ZONE TIMEOUT STATUS MARK | PROTOINFO
        Assert.Equal(
            ("cc000000 0001 0506 01000000 00000000 02000000"
            + "34000180 14000180 080001000a000008 08000200c6336407"
            + "1c000280 0500010006000000 060002009c400000 0600030001bb0000"
            + "34000280 14000180 08000100c6336407 080002000a000008"
            + "1c000280 0500010006000000 0600020001bb0000 060003009c400000"
            + "0600120000070000 080007000000012c 080003000000000e 0800080000000000"
            + "30000480 2c000180 0500010003000000 0500020007000000 050003000e000000"
            + "0600040003ff0000 0600050007ff0000").Replace(" ", ""),
            Convert.ToHexStringLower(Written(Stream)));
    }

    [Theory]
    [InlineData("10.0.0.8", "198.51.100.7", (byte)17)]
    [InlineData("2001:db8::8", "2001:db8::9", (byte)6)]
    public void What_is_written_is_read_again(string source, string destination, byte protocol)
    {
        Flow flow = Stream with
        {
            Original = new FlowTuple(IPAddress.Parse(source), IPAddress.Parse(destination), protocol, 1, 2),
            Reply = new FlowTuple(IPAddress.Parse(destination), IPAddress.Parse(source), protocol, 2, 1),
            Tcp = protocol == 6 ? Stream.Tcp : null,
        };
        Assert.Equal(flow, Read(Written(flow)));
        Assert.False(flow.IsTranslated);
        Assert.True((flow with { Reply = flow.Reply with { DestinationPort = 9 } }).IsTranslated);
    }

    [Fact]
    public void Any_bytes_are_a_flow_or_refused()
    {
        byte[] whole = Written(Stream);
        Gen.Select(Gen.Int[20, whole.Length], Gen.Select(Gen.Int[20, whole.Length - 1], Gen.Byte).Array[0, 8])
            .Sample((length, flips) =>
            {
                byte[] bytes = whole[..length];
                BitConverter.TryWriteBytes(bytes, length);
                foreach ((int at, byte value) in flips.Where(flip => flip.Item1 < length))
                {
                    bytes[at] = value;
                }

                try
                {
                    Read(bytes);
                }
                catch (NetlinkFormatException)
                {
                    // refused
                }
            });
    }

    private static byte[] Written(Flow flow)
    {
        var writer = new NlWriter();
        FlowCodec.WriteNew(writer, sequence: 1, flow);
        return writer.Written.ToArray();
    }

    private static Flow? Read(byte[] bytes)
    {
        foreach (NlMessage message in new NlMessages(bytes))
        {
            return FlowCodec.Read(message);
        }

        return null;
    }
}
