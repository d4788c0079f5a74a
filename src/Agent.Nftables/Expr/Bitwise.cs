using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Bitwise
    {
        private const uint OpMaskXor = 0; // nf_tables.h NFT_BITWISE_BOOL, later named MASK_XOR

        internal override string WireName => "bitwise";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaBitwise.Sreg, Sreg);
            writer.PutRegister(NftaBitwise.Dreg, Dreg);
            writer.PutU32Be(NftaBitwise.Op, OpMaskXor);
            writer.PutU32Be(NftaBitwise.Len, (uint)Mask.Count);
            writer.PutValue(NftaBitwise.Mask, Mask.AsSpan());
            writer.PutValue(NftaBitwise.Xor, Xor.AsSpan());
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftReg? sreg = null;
            NftReg? dreg = null;
            uint op = OpMaskXor;
            uint? length = null;
            ValueArray<byte> mask = [];
            ValueArray<byte> xor = [];
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaBitwise.Sreg: sreg = attr.Register(); break;
                    case NftaBitwise.Dreg: dreg = attr.Register(); break;
                    case NftaBitwise.Len: length = attr.U32Be(); break;
                    case NftaBitwise.Mask: mask = attr.Value().ToValue(); break;
                    case NftaBitwise.Xor: xor = attr.Value().ToValue(); break;
                    case NftaBitwise.Op: op = attr.U32Be(); break;
                    default: return null;
                }
            }

            return sreg is { } from && dreg is { } to && op == OpMaskXor
                && mask.Count > 0 && mask.Count == length && xor.Count == length
                ? new Bitwise(from, to, mask, xor)
                : null;
        }
    }
}
