using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Ct
    {
        internal override string WireName => "ct";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU32Be(NftaCt.Key, (uint)Key);
            writer.PutRegister(NftaCt.Dreg, Dreg);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftCtKey? key = null;
            NftReg? dreg = null;
            NftReg? sreg = null;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaCt.Key: key = (NftCtKey)attr.U32Be(); break;
                    case NftaCt.Dreg: dreg = attr.Register(); break;
                    case NftaCt.Sreg: sreg = attr.Register(); break;
                    default: return null;
                }
            }

            return (key, dreg, sreg) switch
            {
                ({ } known, _, _) when !Enum.IsDefined(known) => null,
                ({ } known, { } to, null) => new Ct(known, to),
                ({ } known, null, { } from) => new CtSet(known, from),
                _ => null,
            };
        }
    }

    public sealed partial record CtSet
    {
        internal override string WireName => "ct";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU32Be(NftaCt.Key, (uint)Key);
            writer.PutRegister(NftaCt.Sreg, Sreg);
        }
    }
}
