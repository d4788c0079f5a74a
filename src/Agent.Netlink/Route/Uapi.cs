namespace Agent.Netlink.Route;

/// <summary>linux/rtnetlink.h, RTM_*.</summary>
internal static class Rtm
{
    internal const ushort NewLink = 16;
    internal const ushort DelLink = 17;
    internal const ushort GetLink = 18;
    internal const ushort NewStats = 92;
    internal const ushort GetStats = 94;
}

/// <summary>linux/rtnetlink.h, RTNLGRP_*.</summary>
internal static class Rtnlgrp
{
    internal const uint Link = 1;
}

/// <summary>linux/if_link.h, IFLA_*.</summary>
internal static class Ifla
{
    internal const ushort Address = 1;
    internal const ushort IfName = 3;
    internal const ushort Mtu = 4;
    internal const ushort Link = 5;
    internal const ushort Master = 10;
    internal const ushort OperState = 16;
    internal const ushort LinkInfo = 18;
    internal const ushort ExtMask = 29;
}

/// <summary>linux/if_link.h, IFLA_STATS_*.</summary>
internal static class IflaStats
{
    internal const ushort Link64 = 1;
}

/// <summary>linux/if_link.h, IFLA_INFO_*.</summary>
internal static class IflaInfo
{
    internal const ushort Kind = 1;
}

/// <summary>linux/if.h, IFF_*: bits of ifinfomsg.flags.</summary>
internal static class Iff
{
    internal const uint Up = 1;
    internal const uint LowerUp = 1 << 16;
}

/// <summary>linux/if.h, IF_OPER_*.</summary>
public enum IfOper : byte
{
    Unknown = 0,
    NotPresent = 1,
    Down = 2,
    LowerLayerDown = 3,
    Testing = 4,
    Dormant = 5,
    Up = 6,
}
