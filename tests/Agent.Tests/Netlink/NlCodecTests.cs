using Agent.Netlink;
using Agent.Netlink.Route;
using CsCheck;

namespace Agent.Tests.Netlink;

public class NlCodecTests
{
    /// <summary>One attribute, four bytes a group. Headers in host order of this little-endian machine.</summary>
    [Theory]
    [InlineData("u8", "05000100 2a000000")]
    [InlineData("u16be", "06000100 01020000")]
    [InlineData("u32be", "08000100 01020304")]
    [InlineData("u32host", "08000100 04030201")]
    [InlineData("s32be", "08000100 fffffffb")]
    [InlineData("u64be", "0c000100 01020304 05060708")]
    [InlineData("text", "07000100 68690000")]
    [InlineData("nest", "0c000180 08000200 00000007")]
    public void An_attribute_is_written(string kind, string expected)
    {
        var writer = new NlWriter(capacity: 1);
        switch (kind)
        {
            case "u8": writer.PutU8(1, 42); break;
            case "u16be": writer.PutU16Be(1, 0x0102); break;
            case "u32be": writer.PutU32Be(1, 0x01020304); break;
            case "u32host": writer.PutU32Host(1, 0x01020304); break;
            case "s32be": writer.PutS32Be(1, -5); break;
            case "u64be": writer.PutU64Be(1, 0x0102030405060708); break;
            case "text": writer.PutText(1, "hi"); break;
            default:
                NlMark nest = writer.BeginNest(1);
                writer.PutU32Be(2, 7);
                writer.EndNest(nest);
                break;
        }

        Assert.Equal(expected.Replace(" ", ""), Convert.ToHexStringLower(writer.Written));
    }

    [Fact]
    public void Messages_stand_back_to_back()
    {
        var writer = new NlWriter(capacity: 1);
        for (uint i = 1; i <= 3; i++)
        {
            NlMark message = writer.BeginMessage(0x10, NlmF.Request | NlmF.Ack, i);
            writer.PutRaw([1, 2, 3, 4]);
            writer.PutText(7, new string('x', (int)i));
            writer.EndMessage(message);
        }

        uint sequence = 0;
        foreach (NlMessage message in new NlMessages(writer.Written))
        {
            Assert.Equal(++sequence, message.Sequence);
            Assert.Equal(NlmF.Request | NlmF.Ack, message.Flags);
            foreach (NlAttr attr in message.Attrs(4))
            {
                Assert.Equal(new string('x', (int)sequence), attr.Text());
            }
        }

        Assert.Equal(3u, sequence);
    }

    [Fact]
    public void A_last_attribute_without_padding_is_accepted()
    {
        int seen = 0;
        foreach (NlAttr attr in new NlAttrs([5, 0, 1, 0, 42]))
        {
            Assert.Equal(42, attr.U8());
            seen++;
        }

        Assert.Equal(1, seen);
    }

    [Fact]
    public void A_getter_demands_the_exact_size() => Assert.Throws<NetlinkFormatException>(() =>
    {
        foreach (NlAttr attr in new NlAttrs([9, 0, 1, 0, 1, 2, 3, 4, 5]))
        {
            attr.U32Be();
        }
    });

    [Fact]
    public void A_nest_beyond_16_bits_is_refused()
    {
        var writer = new NlWriter();
        NlMark nest = writer.BeginNest(1);
        writer.PutBytes(2, new byte[60_000]);
        writer.PutBytes(2, new byte[6_000]);
        Assert.Throws<NetlinkFormatException>(() => writer.EndNest(nest));
        Assert.Throws<NetlinkFormatException>(() => writer.PutBytes(1, new byte[65_532]));
    }

    [Fact]
    public void An_extended_ack_is_read()
    {
        var writer = new NlWriter();
        NlMark message = writer.BeginMessage(Nlmsg.Error, NlmFAck.Capped | NlmFAck.AckTlvs, 9);
        byte[] payload = [0xfe, 0xff, 0xff, 0xff, 28, 0, 0, 0, 6, 10, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        writer.PutRaw(payload);
        writer.PutText(1, "no such chain");
        writer.PutU32Host(2, 20);
        writer.EndMessage(message);
        foreach (NlMessage one in new NlMessages(writer.Written))
        {
            KernelError? error = KernelError.Read(one);
            Assert.Equal(new KernelError(2, "no such chain", 20, 9), error);
            Assert.Equal("ENOENT: no such chain (at byte 20)", error!.ToString());
        }
    }

    /// <summary>Names of others are bytes: what is no text in them can be told, and told apart.</summary>
    [Theory]
    [InlineData("6162", "ab")]
    [InlineData("c3a9", "\u00e9")]
    [InlineData("61e962", "a\\xe9b")]
    [InlineData("ffc3", "\\xff\\xc3")]
    [InlineData("f09f98", "\\xf0\\x9f\\x98")]
    public void Text_that_is_not_UTF_8_stands_as_its_bytes(string hex, string expected)
    {
        var writer = new NlWriter();
        writer.PutBytes(1, [.. Convert.FromHexString(hex), 0]);
        foreach (NlAttr attr in new NlAttrs(writer.Written))
        {
            Assert.Equal((expected, !expected.Contains('\\', StringComparison.Ordinal)), (attr.Text(), attr.IsText));
        }
    }

    [Fact]
    public void Any_bytes_are_read_or_refused() => Gen.Byte.Array[0, 200].Sample(bytes =>
    {
        try
        {
            foreach (NlMessage message in new NlMessages(bytes))
            {
                LinkCodec.Read(message);
                KernelError.Read(message);
                foreach (NlAttr attr in message.Attrs(4))
                {
                    attr.Text();
                }
            }
        }
        catch (NetlinkFormatException)
        {
            // refused
        }
    });
}
