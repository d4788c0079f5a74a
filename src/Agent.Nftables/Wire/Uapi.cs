namespace Agent.Nftables.Wire;

// Constants of linux/netfilter/nf_tables.h and nfnetlink.h. Class and member together are the C name without its
// underscores; a test prints them as _Static_asserts for the C compiler. All integers are sent in network order.

/// <summary>nfnetlink.h: the subsystem, and the messages around a batch.</summary>
internal static class Nfnl
{
    internal const ushort SubsysNftables = 10;
    internal const ushort MsgBatchBegin = 0x10;
    internal const ushort MsgBatchEnd = 0x11;
    internal const ushort BatchGenid = 1;
}

/// <summary>nf_tables.h enum nf_tables_msg_types; on the wire 10 &lt;&lt; 8 is added.</summary>
internal static class NftMsg
{
    internal const ushort NewTable = 0;
    internal const ushort GetTable = 1;
    internal const ushort DelTable = 2;
    internal const ushort NewChain = 3;
    internal const ushort GetChain = 4;
    internal const ushort DelChain = 5;
    internal const ushort NewRule = 6;
    internal const ushort GetRule = 7;
    internal const ushort DelRule = 8;
    internal const ushort NewSet = 9;
    internal const ushort GetSet = 10;
    internal const ushort DelSet = 11;
    internal const ushort NewSetElem = 12;
    internal const ushort GetSetElem = 13;
    internal const ushort DelSetElem = 14;
    internal const ushort NewGen = 15;
    internal const ushort GetGen = 16;
    internal const ushort NewObj = 18;
    internal const ushort GetObj = 19;
    internal const ushort DelObj = 20;
}

internal static class NftaList
{
    internal const ushort Elem = 1;
}

internal static class NftaGen
{
    internal const ushort Id = 1;
}

internal static class NftaTable
{
    internal const ushort Name = 1;
    internal const ushort Flags = 2;
    internal const ushort Handle = 4;
    internal const ushort Owner = 7;
}

/// <summary>enum nft_table_flags; PERSIST is of 6.9.</summary>
internal static class NftTableF
{
    internal const uint Dormant = 1;
    internal const uint Owner = 2;
    internal const uint Persist = 4;
}

internal static class NftaChain
{
    internal const ushort Table = 1;
    internal const ushort Handle = 2;
    internal const ushort Name = 3;
    internal const ushort Hook = 4;
    internal const ushort Policy = 5;
    internal const ushort Use = 6;
    internal const ushort Type = 7;
    internal const ushort Counters = 8;
    internal const ushort Flags = 10;
    internal const ushort Id = 11;
    internal const ushort Userdata = 12;
}

internal static class NftaHook
{
    internal const ushort Hooknum = 1;
    internal const ushort Priority = 2;
    internal const ushort Dev = 3;
    internal const ushort Devs = 4;
}

internal static class NftaDevice
{
    internal const ushort Name = 1;
}

internal static class NftaRule
{
    internal const ushort Table = 1;
    internal const ushort Chain = 2;
    internal const ushort Handle = 3;
    internal const ushort Expressions = 4;
    internal const ushort Userdata = 7;
}

internal static class NftaExpr
{
    internal const ushort Name = 1;
    internal const ushort Data = 2;
}

internal static class NftaData
{
    internal const ushort Value = 1;
    internal const ushort Verdict = 2;
}

internal static class NftaVerdict
{
    internal const ushort Code = 1;
    internal const ushort Chain = 2;
}

internal static class NftaSet
{
    internal const ushort Table = 1;
    internal const ushort Name = 2;
    internal const ushort Flags = 3;
    internal const ushort KeyType = 4;
    internal const ushort KeyLen = 5;
    internal const ushort DataType = 6;
    internal const ushort DataLen = 7;
    internal const ushort Policy = 8;
    internal const ushort Desc = 9;
    internal const ushort Id = 10;
    internal const ushort Timeout = 11;
    internal const ushort GcInterval = 12;
    internal const ushort Userdata = 13;
    internal const ushort ObjType = 15;
    internal const ushort Handle = 16;
    internal const ushort Expr = 17;
    internal const ushort Expressions = 18;

    /// <summary>6.16: the back end's name, in dumps only.</summary>
    internal const ushort Type = 19;

    /// <summary>6.16: the number of elements, in dumps only.</summary>
    internal const ushort Count = 20;
}

internal static class NftaSetDesc
{
    internal const ushort Size = 1;
    internal const ushort Concat = 2;
}

internal static class NftaSetField
{
    internal const ushort Len = 1;
}

/// <summary>enum nft_set_flags.</summary>
internal static class NftSetFlag
{
    internal const uint Interval = 4;
    internal const uint Map = 8;
    internal const uint Object = 0x40;
    internal const uint Concat = 0x80;
}

internal static class NftaSetElem
{
    internal const ushort Key = 1;
    internal const ushort Data = 2;
    internal const ushort Flags = 3;
    internal const ushort Userdata = 6;
    internal const ushort Expr = 7;
    internal const ushort Objref = 9;
    internal const ushort KeyEnd = 10;
    internal const ushort Expressions = 11;
}

internal static class NftSetElem
{
    internal const uint IntervalEnd = 1;
}

internal static class NftaSetElemList
{
    internal const ushort Table = 1;
    internal const ushort Set = 2;
    internal const ushort Elements = 3;
}

internal static class NftaObj
{
    internal const ushort Table = 1;
    internal const ushort Name = 2;
    internal const ushort Type = 3;
    internal const ushort Data = 4;
    internal const ushort Handle = 6;
}

/// <summary>nf_tables.h NFT_OBJECT_*.</summary>
internal static class NftObjectType
{
    internal const uint Counter = 1;
    internal const uint CtTimeout = 7;
}

internal static class NftaCtTimeout
{
    internal const ushort L3Proto = 1;
    internal const ushort L4Proto = 2;
    internal const ushort Data = 3;
}

internal static class NftaMeta
{
    internal const ushort Dreg = 1;
    internal const ushort Key = 2;
    internal const ushort Sreg = 3;
}

internal static class NftaPayload
{
    internal const ushort Dreg = 1;
    internal const ushort Base = 2;
    internal const ushort Offset = 3;
    internal const ushort Len = 4;
}

internal static class NftaCmp
{
    internal const ushort Sreg = 1;
    internal const ushort Op = 2;
    internal const ushort Data = 3;
}

internal static class NftaRange
{
    internal const ushort Sreg = 1;
    internal const ushort Op = 2;
    internal const ushort FromData = 3;
    internal const ushort ToData = 4;
}

internal static class NftaBitwise
{
    internal const ushort Sreg = 1;
    internal const ushort Dreg = 2;
    internal const ushort Len = 3;
    internal const ushort Mask = 4;
    internal const ushort Xor = 5;
    internal const ushort Op = 6;
}

internal static class NftaImmediate
{
    internal const ushort Dreg = 1;
    internal const ushort Data = 2;
}

internal static class NftaLookup
{
    internal const ushort Set = 1;
    internal const ushort Sreg = 2;
    internal const ushort Dreg = 3;
    internal const ushort SetId = 4;
    internal const ushort Flags = 5;
}

internal static class NftLookupF
{
    internal const uint Inv = 1;
}

internal static class NftaCt
{
    internal const ushort Dreg = 1;
    internal const ushort Key = 2;
    internal const ushort Direction = 3;
    internal const ushort Sreg = 4;
}

internal static class NftaCounter
{
    internal const ushort Bytes = 1;
    internal const ushort Packets = 2;
}

internal static class NftaObjref
{
    internal const ushort ImmType = 1;
    internal const ushort ImmName = 2;
    internal const ushort SetSreg = 3;
    internal const ushort SetName = 4;
    internal const ushort SetId = 5;
}

internal static class NftaLimit
{
    internal const ushort Rate = 1;
    internal const ushort Unit = 2;
    internal const ushort Burst = 3;
    internal const ushort Type = 4;
    internal const ushort Flags = 5;
}

internal static class NftLimitF
{
    internal const uint Inv = 1;
}

internal static class NftaLog
{
    internal const ushort Group = 1;
    internal const ushort Prefix = 2;
    internal const ushort Snaplen = 3;
    internal const ushort Qthreshold = 4;
}

internal static class NftaConnlimit
{
    internal const ushort Count = 1;
    internal const ushort Flags = 2;
}

internal static class NftConnlimitF
{
    internal const uint Inv = 1;
}

/// <summary>
/// Types of nft's own user data (libnftnl udata.h): type u8, length u8, value; integers in host order.
/// </summary>
internal static class NftnlUdata
{
    internal const byte RuleComment = 0;
    internal const byte SetKeyByteorder = 0;
    internal const byte SetDataByteorder = 1;

    /// <summary>nft include/datatype.h enum byteorder.</summary>
    internal const uint ByteorderInvalid = 0;
    internal const uint ByteorderHost = 1;
    internal const uint ByteorderBig = 2;
}

internal static class NftaByteorder
{
    internal const ushort Sreg = 1;
    internal const ushort Dreg = 2;
    internal const ushort Op = 3;
    internal const ushort Len = 4;
    internal const ushort Size = 5;
}
