using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Limit
    {
        private const ushort PadAttr = 6; // nf_tables.h NFTA_LIMIT_PAD

        internal override string WireName => "limit";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutU64Be(NftaLimit.Rate, Rate);
            writer.PutU64Be(NftaLimit.Unit, UnitSeconds);
            writer.PutU32Be(NftaLimit.Burst, Burst);
            writer.PutU32Be(NftaLimit.Type, (uint)Type);
            writer.PutU32Be(NftaLimit.Flags, Over ? NftLimitF.Inv : 0);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            ulong? rate = null;
            ulong? unit = null;
            uint burst = 0;
            var type = NftLimitType.Packets;
            uint flags = 0;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaLimit.Rate: rate = attr.U64Be(); break;
                    case NftaLimit.Unit: unit = attr.U64Be(); break;
                    case NftaLimit.Burst: burst = attr.U32Be(); break;
                    case NftaLimit.Type: type = (NftLimitType)attr.U32Be(); break;
                    case NftaLimit.Flags: flags = attr.U32Be(); break;
                    case PadAttr: break;
                    default: return null;
                }
            }

            return rate is { } count && unit is { } seconds && type <= NftLimitType.Bytes && flags <= NftLimitF.Inv
                ? new Limit(count, seconds, burst, type, flags == NftLimitF.Inv)
                : null;
        }
    }
}
