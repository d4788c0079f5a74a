using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record ByteOrder
    {
        private const uint OpNtoh = 0; // nf_tables.h NFT_BYTEORDER_NTOH
        private const uint OpHton = 1; // nf_tables.h NFT_BYTEORDER_HTON

        internal override string WireName => "byteorder";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaByteorder.Sreg, Sreg);
            writer.PutRegister(NftaByteorder.Dreg, Dreg);
            writer.PutU32Be(NftaByteorder.Op, ToNetwork ? OpHton : OpNtoh);
            writer.PutU32Be(NftaByteorder.Len, Length);
            writer.PutU32Be(NftaByteorder.Size, Size);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftReg? sreg = null;
            NftReg? dreg = null;
            uint? op = null;
            uint? length = null;
            uint? size = null;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaByteorder.Sreg: sreg = attr.Register(); break;
                    case NftaByteorder.Dreg: dreg = attr.Register(); break;
                    case NftaByteorder.Op: op = attr.U32Be(); break;
                    case NftaByteorder.Len: length = attr.U32Be(); break;
                    case NftaByteorder.Size: size = attr.U32Be(); break;
                    default: return null;
                }
            }

            return sreg is { } from && dreg is { } to && op is OpNtoh or OpHton && length is { } bytes
                && size is { } unit
                ? new ByteOrder(from, to, op == OpHton, bytes, unit)
                : null;
        }
    }
}
