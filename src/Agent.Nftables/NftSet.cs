namespace Agent.Nftables;

/// <summary>nft's data types, by the number that it stores in NFTA_SET_KEY_TYPE (nft src/datatype.h).</summary>
public enum NftType : byte
{
    Verdict = 1,
    Integer = 4,
    Ipv4Addr = 7,
    Ipv6Addr = 8,
    EtherAddr = 9,
    EtherType = 10,
    ArpOp = 11,
    InetProto = 12,
    InetService = 13,
    Icmpv4Type = 14,
    Mark = 19,
    IfIndex = 20,
    CtState = 26,
    Icmpv6Type = 29,
    IfName = 41,
}

/// <summary>What an element carries besides its key.</summary>
public enum NftSetKind : byte
{
    /// <summary>A plain set.</summary>
    Set,

    /// <summary>A map to a packet mark (four bytes, host order in the register).</summary>
    MarkMap,

    /// <summary>A map to a verdict: interface dispatch only (datapath.md 4).</summary>
    VerdictMap,

    /// <summary>A map to the name of a counter object.</summary>
    CounterMap,

    /// <summary>A map to a conntrack zone (two bytes, host order in the register; nft type 0, "integer").</summary>
    ZoneMap,
}

/// <summary>A named set or map, with its elements.</summary>
/// <param name="Name">Object name; a prefix keeps it clear of nft's keywords.</param>
/// <param name="Key">Fields of the key; several make a concatenation.</param>
/// <param name="Interval">Keys are ranges. One field: an rbtree; several: pipapo.</param>
/// <param name="Kind">Set or map.</param>
/// <param name="Size">Capacity of a hash set; null lets it grow (a slower back end). Never set on intervals.</param>
/// <param name="Counters">Each element counts packets and bytes.</param>
/// <param name="Elements">Sorted, disjoint.</param>
public sealed record NftSet(
    string Name,
    ValueArray<NftType> Key,
    bool Interval,
    NftSetKind Kind,
    uint? Size,
    bool Counters,
    NftElements Elements)
{
    /// <summary>What was read and cannot be said with the other members (timeouts, a foreign type). Then no elements
    /// are read.</summary>
    public string? Unexpected { get; init; }

    /// <summary>
    /// Each element has a rate of its own; being looked up beyond it is no match. How much of it is left is not part of
    /// the value. Null: none has. Not beside <see cref="Counters"/>.
    /// </summary>
    public NftExpr.Limit? Limit { get; init; }

    /// <summary>Bytes of one key bound, each field padded to four (nftables-facts.md 1.5).</summary>
    public int KeyBytes => KeyLength(Key);

    /// <summary>Bytes of one element row: key, key end if interval, data.</summary>
    public int RowBytes => NftElements.RowLength(Key, Interval, Kind);

    public static int KeyLength(ValueArray<NftType> key)
    {
        int length = 0;
        foreach (NftType field in key)
        {
            length += PaddedLength(field);
        }

        return key.Count == 1 ? FieldLength(key[0]) : length;
    }

    /// <summary>Bytes of the field without padding.</summary>
    public static int FieldLength(NftType type) => type switch
    {
        NftType.Ipv4Addr or NftType.Mark or NftType.IfIndex or NftType.CtState => 4,
        NftType.Ipv6Addr => 16,
        NftType.IfName => NftElements.InterfaceBytes,
        NftType.EtherAddr => 6,
        NftType.EtherType or NftType.ArpOp or NftType.InetService => 2,
        NftType.InetProto or NftType.Icmpv4Type or NftType.Icmpv6Type => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a key type"),
    };

    public static int PaddedLength(NftType type) => FieldLength(type) + 3 & ~3;
}
