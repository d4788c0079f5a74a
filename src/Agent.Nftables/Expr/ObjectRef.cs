using System.Text;
using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record ObjectRef
    {
        internal override string WireName => "objref";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU32Be(NftaObjref.ImmType, Type);
            writer.PutBytes(NftaObjref.ImmName, Encoding.UTF8.GetBytes(Name)); // without a final zero, as nft
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            uint? type = null;
            string? name = null;
            NftReg? sreg = null;
            string? map = null;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaObjref.ImmType: type = attr.U32Be(); break;
                    case NftaObjref.ImmName: name = attr.Text(); break;
                    case NftaObjref.SetSreg: sreg = attr.Register(); break;
                    case NftaObjref.SetName: map = attr.Text(); break;
                    default: return null;
                }
            }

            return (type, name, sreg, map) switch
            {
                ({ } kind, { } named, null, null) => new ObjectRef(kind, named),
                (null, null, { } from, { } named) => new ObjectMap(named, from),
                _ => null,
            };
        }
    }

    public sealed partial record ObjectMap
    {
        internal override string WireName => "objref";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaObjref.SetSreg, Sreg);
            writer.PutBytes(NftaObjref.SetName, Encoding.UTF8.GetBytes(Map));
        }
    }
}
