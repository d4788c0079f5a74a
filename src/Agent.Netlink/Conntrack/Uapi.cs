namespace Agent.Netlink.Conntrack;

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum cntl_msg_types.</summary>
internal static class IpctnlMsgCt
{
    internal const ushort New = 0;
    internal const ushort Get = 1;
    internal const ushort Delete = 2;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_type.</summary>
internal static class Cta
{
    internal const ushort TupleOrig = 1;
    internal const ushort TupleReply = 2;
    internal const ushort Status = 3;
    internal const ushort ProtoInfo = 4;
    internal const ushort Timeout = 7;
    internal const ushort Mark = 8;
    internal const ushort CountersOrig = 9;
    internal const ushort CountersReply = 10;
    internal const ushort Id = 12;
    internal const ushort Zone = 18;
    internal const ushort Timestamp = 20;
    internal const ushort MarkMask = 21;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_tuple.</summary>
internal static class CtaTuple
{
    internal const ushort Ip = 1;
    internal const ushort Proto = 2;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_ip.</summary>
internal static class CtaIp
{
    internal const ushort V4Src = 1;
    internal const ushort V4Dst = 2;
    internal const ushort V6Src = 3;
    internal const ushort V6Dst = 4;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_l4proto.</summary>
internal static class CtaProto
{
    internal const ushort Num = 1;
    internal const ushort SrcPort = 2;
    internal const ushort DstPort = 3;
    internal const ushort IcmpId = 4;
    internal const ushort IcmpType = 5;
    internal const ushort IcmpCode = 6;
    internal const ushort Icmpv6Id = 7;
    internal const ushort Icmpv6Type = 8;
    internal const ushort Icmpv6Code = 9;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_protoinfo and enum ctattr_protoinfo_tcp.</summary>
internal static class CtaProtoInfo
{
    internal const ushort Tcp = 1;
    internal const ushort TcpState = 1;
    internal const ushort TcpWscaleOriginal = 2;
    internal const ushort TcpWscaleReply = 3;
    internal const ushort TcpFlagsOriginal = 4;
    internal const ushort TcpFlagsReply = 5;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_counters.</summary>
internal static class CtaCounters
{
    internal const ushort Packets = 1;
    internal const ushort Bytes = 2;
}

/// <summary>linux/netfilter/nfnetlink_conntrack.h, enum ctattr_tstamp.</summary>
internal static class CtaTimestamp
{
    internal const ushort Start = 1;
}
