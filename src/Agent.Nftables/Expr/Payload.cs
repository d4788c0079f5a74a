using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Payload
    {
        private const uint MostBytes = byte.MaxValue; // nft_payload.c, struct nft_payload

        private const uint LastOffset = ushort.MaxValue; // a byte in older kernels

        internal override string WireName => "payload";

        internal override void WriteData(NlWriter writer)
        {
            writer.PutRegister(NftaPayload.Dreg, Dreg);
            writer.PutU32Be(NftaPayload.Base, (uint)Base);
            writer.PutU32Be(NftaPayload.Offset, Offset);
            writer.PutU32Be(NftaPayload.Len, Length);
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            NftReg? dreg = null;
            NftPayloadBase? from = null;
            uint? offset = null;
            uint? length = null;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaPayload.Dreg: dreg = attr.Register(); break;
                    case NftaPayload.Base: from = (NftPayloadBase)attr.U32Be(); break;
                    case NftaPayload.Offset: offset = attr.U32Be(); break;
                    case NftaPayload.Len: length = attr.U32Be(); break;
                    default: return null; // a write to the packet
                }
            }

            return dreg is { } to && from is <= NftPayloadBase.Transport
                && offset is <= LastOffset && length is <= MostBytes
                ? new Payload(from.Value, offset.Value, length.Value, to)
                : null;
        }
    }
}
