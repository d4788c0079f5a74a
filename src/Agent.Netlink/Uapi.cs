namespace Agent.Netlink;

/// <summary>linux/netlink.h, NLM_F_*: message flags. Some bits mean other things on GET and on NEW.</summary>
[Flags]
public enum NlmF : ushort
{
    None = 0,
    Request = 1,
    Multi = 2,
    Ack = 4,
    Echo = 8,
    DumpIntr = 0x10,
    Dump = 0x300,
    Replace = 0x100,
    Excl = 0x200,
    Create = 0x400,
    Append = 0x800,
}

/// <summary>linux/netlink.h, NLM_F_* on NLMSG_ERROR, where the bits mean something else.</summary>
internal static class NlmFAck
{
    /// <summary>The request's payload is left out.</summary>
    internal const NlmF Capped = (NlmF)0x100;

    /// <summary>Extended-ack attributes follow.</summary>
    internal const NlmF AckTlvs = (NlmF)0x200;
}

/// <summary>linux/netlink.h, NLMSG_*: message types of every protocol.</summary>
public static class Nlmsg
{
    public const ushort Noop = 1;
    public const ushort Error = 2;
    public const ushort Done = 3;
    public const ushort Overrun = 4;
}

/// <summary>linux/netlink.h, NLMSGERR_ATTR_*: extended-ack attributes.</summary>
internal static class NlmsgerrAttr
{
    internal const ushort Msg = 1;
    internal const ushort Offs = 2;
}

/// <summary>linux/netlink.h: what the socket layer takes.</summary>
public enum NetlinkProtocol
{
    Route = 0,
    Netfilter = 12,
}

/// <summary>linux/netfilter/nfnetlink.h: the parts of netfilter that are spoken to here.</summary>
internal static class Nfnl
{
    internal const ushort SubsysCtnetlink = 1;
    internal const ushort SubsysUlog = 4;
}
