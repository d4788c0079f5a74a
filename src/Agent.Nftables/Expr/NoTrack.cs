using Agent.Netlink;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record NoTrack
    {
        internal override string WireName => "notrack";

        internal override void WriteData(NlWriter writer)
        {
        }

        internal static NftExpr? Read(NlAttrs data) => data.Bytes.IsEmpty ? new NoTrack() : null;
    }
}
