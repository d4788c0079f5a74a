using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Range
    {
        private const uint OpEq = 0; // nf_tables.h NFT_RANGE_EQ
        private const uint OpNeq = 1; // NFT_RANGE_NEQ

        internal override string WireName => "range";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaRange.Sreg, Sreg);
            writer.PutU32Be(NftaRange.Op, Negated ? OpNeq : OpEq);
            writer.PutValue(NftaRange.FromData, From.AsSpan());
            writer.PutValue(NftaRange.ToData, To.AsSpan());
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftReg? sreg = null;
            uint? op = null;
            ValueArray<byte> from = [];
            ValueArray<byte> to = [];
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaRange.Sreg: sreg = attr.Register(); break;
                    case NftaRange.Op: op = attr.U32Be(); break;
                    case NftaRange.FromData: from = attr.Value().ToValue(); break;
                    case NftaRange.ToData: to = attr.Value().ToValue(); break;
                    default: return null;
                }
            }

            return sreg is { } register && op is <= OpNeq && from.Count > 0 && from.Count == to.Count
                ? new Range(register, op == OpNeq, from, to)
                : null;
        }
    }
}
