using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Values that several messages share: registers, NFTA_DATA nests, verdicts.</summary>
internal static class WireValues
{
    private const uint FirstWide = 1; // NFT_REG_1
    private const uint FirstWord = 8; // NFT_REG32_00
    private const uint WordsPerWide = 4;
    private const uint Words = 16;

    /// <summary>Words 0, 4, 8, 12 as NFT_REG_1..4, the others as NFT_REG32_xx: as the kernel reports them.</summary>
    internal static void PutRegister(this NlWriter writer, ushort type, NftReg register) =>
        writer.PutU32Be(
            type,
            register.Word % WordsPerWide == 0 ? FirstWide + register.Word / WordsPerWide : FirstWord + register.Word);

    /// <exception cref="NetlinkFormatException">The verdict register, or no register at all.</exception>
    internal static NftReg Register(this NlAttr attr)
    {
        uint number = attr.U32Be();
        return number switch
        {
            >= FirstWord and < FirstWord + Words => new NftReg((byte)(number - FirstWord)),
            >= FirstWide and < FirstWide + Words / WordsPerWide =>
                new NftReg((byte)((number - FirstWide) * WordsPerWide)),
            _ => throw new NetlinkFormatException($"register {number}"),
        };
    }

    internal static void PutValue(this NlWriter writer, ushort type, ReadOnlySpan<byte> value)
    {
        NlMark nest = writer.BeginNest(type);
        writer.PutBytes(NftaData.Value, value);
        writer.EndNest(nest);
    }

    /// <returns>The bytes of NFTA_DATA_VALUE; empty if there are none.</returns>
    internal static ReadOnlySpan<byte> Value(this NlAttr attr)
    {
        foreach (NlAttr part in attr.Nested)
        {
            if (part.Type == NftaData.Value)
            {
                return part.Payload;
            }
        }

        return [];
    }

    internal static void PutVerdict(this NlWriter writer, ushort type, NftVerdict verdict)
    {
        NlMark data = writer.BeginNest(type);
        NlMark nest = writer.BeginNest(NftaData.Verdict);
        writer.PutS32Be(NftaVerdict.Code, (int)verdict.Code);
        if (verdict.Chain is not null)
        {
            writer.PutText(NftaVerdict.Chain, verdict.Chain);
        }

        writer.EndNest(nest);
        writer.EndNest(data);
    }

    /// <returns>Null if there is no verdict inside, or one that this build does not know (a queue number).</returns>
    internal static NftVerdict? Verdict(this NlAttr attr)
    {
        foreach (NlAttr part in attr.Nested)
        {
            if (part.Type == NftaData.Verdict)
            {
                return ReadVerdict(part.Nested);
            }
        }

        return null;
    }

    internal static ValueArray<byte> ToValue(this ReadOnlySpan<byte> bytes) => ValueArray.Create(bytes);

    internal static ReadOnlySpan<byte> AsSpan(this ValueArray<byte> bytes) => bytes.Items.AsSpan();

    private static NftVerdict? ReadVerdict(NlAttrs attrs)
    {
        int? code = null;
        string? chain = null;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaVerdict.Code: code = attr.S32Be(); break;
                case NftaVerdict.Chain: chain = attr.Text(); break;
                default: return null;
            }
        }

        bool leads = code is (int)NftVerdictCode.Jump or (int)NftVerdictCode.Goto;
        return code is { } known and >= -5 and <= 1 && leads == chain is not null && chain is not ""
            ? new NftVerdict((NftVerdictCode)known, chain) : null;
    }
}
