using System.Text;
using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Rules: facing write and read.</summary>
internal static class RuleCodec
{
    /// <summary>
    /// NFT_USERDATA_MAXLEN is 256; the length of a user data value is one byte; nft reads 128 with the zero.
    /// </summary>
    private const int CommentBytesMax = 127;

    internal static void Write(NlWriter writer, string table, string chain, NftRule rule)
    {
        writer.PutText(NftaRule.Table, table);
        writer.PutText(NftaRule.Chain, chain);
        NftExpr.WriteList(writer, NftaRule.Expressions, rule.Exprs);
        if (rule.Comment is not null)
        {
            writer.PutBytes(NftaRule.Userdata, Comment(rule.Comment));
        }
    }

    internal static (string Table, string Chain, NftRule Rule) Read(NlAttrs attrs)
    {
        string table = "";
        string chain = "";
        string? comment = null;
        ValueArray<NftExpr> exprs = [];
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaRule.Table: table = attr.Text(); break;
                case NftaRule.Chain: chain = attr.Text(); break;
                case NftaRule.Expressions: exprs = NftExpr.ReadList(attr.Nested); break;
                case NftaRule.Userdata: comment = ReadComment(attr.Payload); break;
                default: break; // handle and position: no packet is judged by them
            }
        }

        NfMessage.MustName("rule", table, chain);
        return (table, chain, new NftRule(exprs, comment));
    }

    /// <summary>
    /// <code>type u8 = 0 | length u8 | UTF-8 text, zero</code>
    /// </summary>
    private static byte[] Comment(string comment)
    {
        int bytes = Encoding.UTF8.GetByteCount(comment);
        if (bytes > CommentBytesMax)
        {
            throw new ArgumentException($"a comment of {bytes} bytes; at most {CommentBytesMax}", nameof(comment));
        }

        byte[] data = new byte[2 + bytes + 1];
        data[0] = NftnlUdata.RuleComment;
        data[1] = (byte)(bytes + 1);
        Encoding.UTF8.GetBytes(comment, data.AsSpan(2));
        return data;
    }

    /// <returns>Null if there is none. User data is free form: what does not parse is not a comment.</returns>
    private static string? ReadComment(ReadOnlySpan<byte> data)
    {
        while (data.Length >= 2 && data.Length >= 2 + data[1])
        {
            ReadOnlySpan<byte> value = data.Slice(2, data[1]);
            if (data[0] == NftnlUdata.RuleComment)
            {
                return Encoding.UTF8.GetString(value is [.., 0] ? value[..^1] : value);
            }

            data = data[(2 + data[1])..];
        }

        return null;
    }
}
