namespace Agent.Nftables;

/// <summary>A place in the 64 bytes of data registers, as the number of a 4-byte word (0..15).</summary>
/// <remarks>
/// nf_tables.h names the same bytes twice: NFT_REG_1..4 (16 bytes each) and NFT_REG32_00..15. The kernel reports word
/// 0, 4, 8, 12 by the first name and the others by the second, and nft writes them so; the codec does the same.
/// </remarks>
public readonly record struct NftReg(byte Word)
{
    public static readonly NftReg R0 = new(0);

    public override string ToString() => $"w{Word}";
}

/// <summary>nf_tables.h enum nft_verdicts, and the two netfilter verdicts.</summary>
public enum NftVerdictCode
{
    Drop = 0,
    Accept = 1,
    Continue = -1,
    Break = -2,
    Jump = -3,
    Goto = -4,
    Return = -5,
}

/// <summary>A verdict; <paramref name="Chain"/> for jump and goto only.</summary>
public sealed record NftVerdict(NftVerdictCode Code, string? Chain = null)
{
    public static readonly NftVerdict Accept = new(NftVerdictCode.Accept);
    public static readonly NftVerdict Drop = new(NftVerdictCode.Drop);
    public static readonly NftVerdict Return = new(NftVerdictCode.Return);

    public static NftVerdict Jump(string chain) => new(NftVerdictCode.Jump, chain);

    public static NftVerdict Goto(string chain) => new(NftVerdictCode.Goto, chain);
}

/// <summary>nf_tables.h enum nft_meta_keys.</summary>
public enum NftMetaKey : uint
{
    Len = 0,
    Protocol = 1,
    Priority = 2,
    Mark = 3,
    Iif = 4,
    Oif = 5,
    IifName = 6,
    OifName = 7,
    NfProto = 15,
    L4Proto = 16,
    PktType = 19,
    PRandom = 24,
}

/// <summary>nf_tables.h enum nft_payload_bases.</summary>
public enum NftPayloadBase : uint
{
    LinkLayer = 0,
    Network = 1,
    Transport = 2,
}

/// <summary>nf_tables.h enum nft_cmp_ops.</summary>
public enum NftCmpOp : uint
{
    Eq = 0,
    Neq = 1,
    Lt = 2,
    Lte = 3,
    Gt = 4,
    Gte = 5,
}

/// <summary>nf_tables.h enum nft_ct_keys.</summary>
public enum NftCtKey : uint
{
    State = 0,
    Direction = 1,
    Status = 2,
    Mark = 3,
    Zone = 17,
}

/// <summary>nf_tables.h enum nft_limit_type.</summary>
public enum NftLimitType : uint
{
    Packets = 0,
    Bytes = 1,
}

/// <summary>One step of a rule. A closed set: what this build does not know is kept as <see cref="Opaque"/>.</summary>
/// <remarks>Data is in the byte order that the register has (nftables-facts.md 1.3).</remarks>
public abstract partial record NftExpr
{
    private NftExpr()
    {
    }

    /// <summary>Loads packet metadata.</summary>
    public sealed partial record Meta(NftMetaKey Key, NftReg Dreg) : NftExpr;

    /// <summary>Writes packet metadata.</summary>
    public sealed partial record MetaSet(NftMetaKey Key, NftReg Sreg) : NftExpr;

    /// <summary>Loads bytes of a header; fails to match if the packet is shorter.</summary>
    public sealed partial record Payload(NftPayloadBase Base, uint Offset, uint Length, NftReg Dreg) : NftExpr;

    /// <summary>Compares a register with a constant, as big-endian bytes.</summary>
    public sealed partial record Cmp(NftReg Sreg, NftCmpOp Op, ValueArray<byte> Data) : NftExpr;

    /// <summary>Matches if the register is (or with <paramref name="Negated"/> is not) in an inclusive range.</summary>
    public sealed partial record Range(NftReg Sreg, bool Negated, ValueArray<byte> From, ValueArray<byte> To) : NftExpr;

    /// <summary>dreg = (sreg &amp; mask) ^ xor.</summary>
    public sealed partial record Bitwise(NftReg Sreg, NftReg Dreg, ValueArray<byte> Mask, ValueArray<byte> Xor)
        : NftExpr;

    /// <summary>Swaps between host and network order, in units of <paramref name="Size"/> bytes.</summary>
    public sealed partial record ByteOrder(NftReg Sreg, NftReg Dreg, bool ToNetwork, uint Length, uint Size) : NftExpr;

    /// <summary>Loads a constant.</summary>
    public sealed partial record Immediate(NftReg Dreg, ValueArray<byte> Data) : NftExpr;

    /// <summary>Ends the rule with a verdict.</summary>
    public sealed partial record VerdictIs(NftVerdict Verdict) : NftExpr;

    /// <summary>Matches if the register is (not) in a set.</summary>
    public sealed partial record Lookup(string Set, NftReg Sreg, bool Negated = false) : NftExpr;

    /// <summary>Looks a value up in a map; fails to match if it is not there.</summary>
    public sealed partial record LookupData(string Map, NftReg Sreg, NftReg Dreg) : NftExpr;

    /// <summary>Looks a verdict up in a verdict map; fails to match if it is not there.</summary>
    public sealed partial record LookupVerdict(string Map, NftReg Sreg) : NftExpr;

    /// <summary>Loads a field of the conntrack entry.</summary>
    public sealed partial record Ct(NftCtKey Key, NftReg Dreg) : NftExpr;

    /// <summary>Writes a field of the conntrack entry (mark) or of its template (zone).</summary>
    public sealed partial record CtSet(NftCtKey Key, NftReg Sreg) : NftExpr;

    /// <summary>
    /// Counts in the rule itself. Its readings are lost with the rule: use objects for what must last.
    /// </summary>
    public sealed partial record Counter : NftExpr;

    /// <summary>Runs a named object: a counter, or a conntrack timeout.</summary>
    public sealed partial record ObjectRef(uint Type, string Name) : NftExpr;

    /// <summary>Runs the object that a map names for the register.</summary>
    public sealed partial record ObjectMap(string Map, NftReg Sreg) : NftExpr;

    /// <summary>Matches while a rate is not exceeded.</summary>
    public sealed partial record Limit(ulong Rate, ulong UnitSeconds, uint Burst, NftLimitType Type, bool Over)
        : NftExpr;

    /// <summary>Sends the packet to an NFLOG group.</summary>
    public sealed partial record Log(ushort Group, string? Prefix, uint SnapLength, ushort QueueThreshold) : NftExpr;

    /// <summary>
    /// Matches while (or with <paramref name="Over"/> when more than) <paramref name="Count"/> sessions share the key.
    /// </summary>
    public sealed partial record ConnLimit(uint Count, bool Over) : NftExpr;

    /// <summary>Takes the packet out of connection tracking.</summary>
    public sealed partial record NoTrack : NftExpr;

    /// <summary>An expression that this build cannot read. Its presence makes a verdict "cannot verify".</summary>
    public sealed partial record Opaque(string Name, ValueArray<byte> Data) : NftExpr;
}
