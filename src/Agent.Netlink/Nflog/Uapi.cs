namespace Agent.Netlink.Nflog;

/// <summary>linux/netfilter/nfnetlink_log.h, enum nfulnl_msg_types.</summary>
internal static class NfulnlMsg
{
    internal const ushort Packet = 0;
    internal const ushort Config = 1;
}

/// <summary>linux/netfilter/nfnetlink_log.h, enum nfulnl_attr_type.</summary>
internal static class Nfula
{
    internal const ushort PacketHdr = 1;
    internal const ushort Mark = 2;
    internal const ushort Timestamp = 3;
    internal const ushort IfindexIndev = 4;
    internal const ushort IfindexOutdev = 5;
    internal const ushort IfindexPhysindev = 6;
    internal const ushort IfindexPhysoutdev = 7;
    internal const ushort Payload = 9;
    internal const ushort Prefix = 10;
    internal const ushort Seq = 12;
    internal const ushort Hwheader = 16;
    internal const ushort Vlan = 20;
    internal const ushort L2hdr = 21;
}

/// <summary>linux/netfilter/nfnetlink_log.h, enum nfulnl_vlan_attr.</summary>
internal static class NfulaVlan
{
    internal const ushort Tci = 2;
}

/// <summary>linux/netfilter/nfnetlink_log.h, enum nfulnl_attr_config.</summary>
internal static class NfulaCfg
{
    internal const ushort Cmd = 1;
    internal const ushort Mode = 2;
    internal const ushort Nlbufsiz = 3;
    internal const ushort Timeout = 4;
    internal const ushort Qthresh = 5;
    internal const ushort Flags = 6;
}

/// <summary>linux/netfilter/nfnetlink_log.h, NFULNL_CFG_CMD_*, NFULNL_COPY_*, NFULNL_CFG_F_*.</summary>
internal static class Nfulnl
{
    internal const byte CfgCmdBind = 1;
    internal const byte CopyPacket = 2;
    internal const ushort CfgFSeq = 1;
}
