using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record ConnLimit
    {
        internal override string WireName => "connlimit";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU32Be(NftaConnlimit.Count, Count);
            writer.PutU32Be(NftaConnlimit.Flags, Over ? NftConnlimitF.Inv : 0);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            uint? count = null;
            uint flags = 0;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaConnlimit.Count: count = attr.U32Be(); break;
                    case NftaConnlimit.Flags: flags = attr.U32Be(); break;
                    default: return null;
                }
            }

            return count is { } limit && flags <= NftConnlimitF.Inv
                ? new ConnLimit(limit, flags == NftConnlimitF.Inv) : null;
        }
    }
}
