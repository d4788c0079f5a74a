using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Cmp
    {
        internal override string WireName => "cmp";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaCmp.Sreg, Sreg);
            writer.PutU32Be(NftaCmp.Op, (uint)Op);
            writer.PutValue(NftaCmp.Data, Data.AsSpan());
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftReg? sreg = null;
            NftCmpOp? op = null;
            ValueArray<byte> value = [];
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaCmp.Sreg: sreg = attr.Register(); break;
                    case NftaCmp.Op: op = (NftCmpOp)attr.U32Be(); break;
                    case NftaCmp.Data: value = attr.Value().ToValue(); break;
                    default: return null;
                }
            }

            return sreg is { } from && op is <= NftCmpOp.Gte && value.Count > 0 ? new Cmp(from, op.Value, value) : null;
        }
    }
}
