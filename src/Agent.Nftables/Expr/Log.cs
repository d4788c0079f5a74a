using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public abstract partial record NftExpr
{
    public sealed partial record Log
    {
        internal override string WireName => "log";

        /// <summary>Zero and empty mean "the kernel's default" and are left out: the kernel reports them so.</summary>
        internal override void WriteData(NlWriter writer)
        {
            if (!string.IsNullOrEmpty(Prefix))
            {
                writer.PutText(NftaLog.Prefix, Prefix);
            }

            writer.PutU16Be(NftaLog.Group, Group);
            if (SnapLength != 0)
            {
                writer.PutU32Be(NftaLog.Snaplen, SnapLength);
            }

            if (QueueThreshold != 0)
            {
                writer.PutU16Be(NftaLog.Qthreshold, QueueThreshold);
            }
        }

        internal static NftExpr? Read(NlAttrs data)
        {
            ushort? group = null;
            string? prefix = null;
            uint snapLength = 0;
            ushort threshold = 0;
            foreach (NlAttr attr in data)
            {
                switch (attr.Type)
                {
                    case NftaLog.Group: group = attr.U16Be(); break;
                    case NftaLog.Prefix: prefix = attr.Text() is { Length: > 0 } text ? text : null; break;
                    case NftaLog.Snaplen: snapLength = attr.U32Be(); break;
                    case NftaLog.Qthreshold: threshold = attr.U16Be(); break;
                    default: return null; // syslog level and flags
                }
            }

            return group is { } number ? new Log(number, prefix, snapLength, threshold) : null;
        }
    }
}
