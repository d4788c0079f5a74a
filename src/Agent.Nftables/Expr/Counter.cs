using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Counter
    {
        internal override string WireName => "counter";

        /// <summary>Nothing, as nft does: a counter begins at 0.</summary>
        internal override void WriteData(NlWriter writer)
        {
        }

        /// <summary>Readings are not part of a rule's value.</summary>
        internal static NftExpr? Read(NlAttrs data) => ReadCount(data) is null ? null : new Counter();

        /// <returns>Null if there is an attribute that this build does not know.</returns>
        internal static PacketCount? ReadCount(NlAttrs data)
        {
            ulong bytes = 0;
            ulong packets = 0;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaCounter.Bytes: bytes = attr.U64Be(); break;
                    case NftaCounter.Packets: packets = attr.U64Be(); break;
                    case CounterPad: break;
                    default: return null;
                }
            }

            return new PacketCount(packets, bytes);
        }
    }

    /// <summary>nf_tables.h NFTA_COUNTER_PAD: the kernel may align a u64 with it.</summary>
    private const ushort CounterPad = 3;
}
