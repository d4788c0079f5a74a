using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Immediate
    {
        private const uint VerdictRegister = 0; // nf_tables.h NFT_REG_VERDICT

        internal override string WireName => "immediate";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaImmediate.Dreg, Dreg);
            writer.PutValue(NftaImmediate.Data, Data.AsSpan());
        }

        internal static void WriteVerdict(NlWriter writer, NftVerdict verdict)
        {
            writer.PutU32Be(NftaImmediate.Dreg, VerdictRegister);
            writer.PutVerdict(NftaImmediate.Data, verdict);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            bool isVerdict = false;
            NftReg? dreg = null;
            ValueArray<byte> value = [];
            NftVerdict? verdict = null;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaImmediate.Dreg when attr.U32Be() == VerdictRegister: isVerdict = true; break;
                    case NftaImmediate.Dreg: dreg = attr.Register(); break;
                    case NftaImmediate.Data:
                        value = attr.Value().ToValue();
                        verdict = attr.Verdict();
                        break;
                    default: return null;
                }
            }

            return (isVerdict, verdict, dreg, value.Count > 0) switch
            {
                (true, { } ends, null, false) => new VerdictIs(ends),
                (false, null, { } to, true) => new Immediate(to, value),
                _ => null,
            };
        }
    }

    public sealed partial record VerdictIs
    {
        internal override string WireName => "immediate";

        internal override void WriteData(NlWriter writer) => Immediate.WriteVerdict(writer, Verdict);
    }
}
