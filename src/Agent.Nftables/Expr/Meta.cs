using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Meta
    {
        internal override string WireName => "meta";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU32Be(NftaMeta.Key, (uint)Key);
            writer.PutRegister(NftaMeta.Dreg, Dreg);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftMetaKey? key = null;
            NftReg? dreg = null;
            NftReg? sreg = null;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaMeta.Key: key = (NftMetaKey)attr.U32Be(); break;
                    case NftaMeta.Dreg: dreg = attr.Register(); break;
                    case NftaMeta.Sreg: sreg = attr.Register(); break;
                    default: return null;
                }
            }

            return (key, dreg, sreg) switch
            {
                ({ } known, _, _) when !Enum.IsDefined(known) => null,
                ({ } known, { } to, null) => new Meta(known, to),
                ({ } known, null, { } from) => new MetaSet(known, from),
                _ => null,
            };
        }
    }

    public sealed partial record MetaSet
    {
        internal override string WireName => "meta";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU32Be(NftaMeta.Key, (uint)Key);
            writer.PutRegister(NftaMeta.Sreg, Sreg);
        }
    }
}
