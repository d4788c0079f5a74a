using System.Runtime.InteropServices;
using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Sets and maps without their elements: facing write and read.</summary>
internal static class SetCodec
{
    private const int TypeBits = 6; // nft src/datatype.c TYPE_BITS: one field of a concatenation
    private const uint TypeMask = (1 << TypeBits) - 1;
    private const uint VerdictDataType = 0xffffff00; // nf_tables.h NFT_DATA_VERDICT
    private const uint ZoneDataType = (uint)NftType.Integer; // nft has no number for zones; this one lists as a number

    /// <param name="writer">Where the attributes go.</param>
    /// <param name="table">The table's name.</param>
    /// <param name="set">The set. Its elements are other messages.</param>
    /// <param name="id">Unique in the batch; the kernel demands one and we do not refer by it.</param>
    internal static void Write(NlWriter writer, string table, NftSet set, uint id)
    {
        writer.PutText(NftaSet.Table, table);
        writer.PutText(NftaSet.Name, set.Name);
        writer.PutU32Be(NftaSet.Flags, FlagsOf(set));
        writer.PutU32Be(NftaSet.KeyType, KeyTypeOf(set.Key));
        writer.PutU32Be(NftaSet.KeyLen, (uint)set.KeyBytes);
        if (set.Kind is NftSetKind.MarkMap or NftSetKind.ZoneMap or NftSetKind.VerdictMap)
        {
            writer.PutU32Be(NftaSet.DataType, DataTypeOf(set.Kind));
            writer.PutU32Be(
                NftaSet.DataLen, set.Kind == NftSetKind.VerdictMap ? 0 : (uint)NftElements.DataLength(set.Kind));
        }

        if (set.Kind == NftSetKind.CounterMap)
        {
            writer.PutU32Be(NftaSet.ObjType, NftObjectType.Counter);
        }

        writer.PutU32Be(NftaSet.Id, id);
        WriteDescription(writer, set);
        writer.PutBytes(NftaSet.Userdata, Userdata(set));
        if (ExprOf(set) is NftExpr each)
        {
            each.Write(writer, NftaSet.Expr);
        }
    }

    /// <returns>The table's name, and the set without elements.</returns>
    internal static (string Table, NftSet Set) Read(NlAttrs attrs)
    {
        var read = default(SetAttrs);
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaSet.Table: read.Table = attr.Text(); break;
                case NftaSet.Name: read.Name = attr.Text(); break;
                case NftaSet.Flags: read.Flags = attr.U32Be(); break;
                case NftaSet.KeyType: read.KeyType = attr.U32Be(); break;
                case NftaSet.KeyLen: read.KeyLength = attr.U32Be(); break;
                case NftaSet.DataType: read.DataType = attr.U32Be(); break;
                case NftaSet.DataLen: read.DataLength = attr.U32Be(); break;
                case NftaSet.ObjType: read.ObjectType = attr.U32Be(); break;
                case NftaSet.Desc: read.Size = ReadSize(attr.Nested); break;
                case NftaSet.Expr: ReadExpr(NftExpr.ReadElement(attr.Nested), ref read); break;
                case NftaSet.Policy or NftaSet.Id or NftaSet.Userdata or NftaSet.Handle: break;
                case NftaSet.Type or NftaSet.Count or NftaSet.GcInterval: break; // the kernel's own bookkeeping
                default: read.Unexpected = $"set attribute {attr.Type}"; break; // timeouts, further expressions
            }
        }

        NfMessage.MustName("set", read.Table ?? "", read.Name ?? "");
        return (read.Table!, Build(read));
    }

    /// <summary>What the kernel gives each element; null: nothing.</summary>
    internal static NftExpr? ExprOf(NftSet set) => set.Counters ? new NftExpr.Counter() : set.Limit;

    internal static bool IsConcat(NftSet set) => set.Key.Count > 1;

    private static void ReadExpr(NftExpr each, ref SetAttrs read)
    {
        read.Counters = each is NftExpr.Counter;
        read.Limit = each as NftExpr.Limit;
        read.Unexpected ??= read.Counters || read.Limit is not null ? null : $"elements with {each}";
    }

    private static NftSet Build(in SetAttrs read)
    {
        string name = read.Name ?? "";
        if (ReadKey(read.KeyType) is not { } key || NftSet.KeyLength(key) != read.KeyLength)
        {
            return Unreadable(name, $"key type {read.KeyType:x} of {read.KeyLength} bytes");
        }

        if (ReadKind(read) is not { } kind)
        {
            return Unreadable(name, $"flags {read.Flags:x}, data type {read.DataType:x}");
        }

        bool interval = (read.Flags & NftSetFlag.Interval) != 0;
        return new NftSet(
            name, key, interval, kind, read.Size, read.Counters,
            NftElements.Empty(NftElements.RowLength(key, interval, kind)))
        {
            Unexpected = read.Unexpected,
            Limit = read.Limit,
        };
    }

    private static NftSet Unreadable(string name, string what) =>
        new(name, [], false, NftSetKind.Set, null, false, NftElements.Empty(0)) { Unexpected = what };

    private static uint FlagsOf(NftSet set) =>
        (set.Interval ? NftSetFlag.Interval : 0)
        | (set.Interval && IsConcat(set) ? NftSetFlag.Concat : 0)
        | set.Kind switch
        {
            NftSetKind.Set => 0,
            NftSetKind.CounterMap => NftSetFlag.Object,
            _ => NftSetFlag.Map,
        };

    private static uint DataTypeOf(NftSetKind kind) => kind switch
    {
        NftSetKind.MarkMap => (uint)NftType.Mark,
        NftSetKind.ZoneMap => ZoneDataType,
        NftSetKind.VerdictMap => VerdictDataType,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "carries no data"),
    };

    /// <summary>Six bits a field, the first field highest.</summary>
    private static uint KeyTypeOf(ValueArray<NftType> key)
    {
        uint packed = 0;
        foreach (NftType field in key)
        {
            packed = packed << TypeBits | (uint)field;
        }

        return packed;
    }

    /// <returns>Null if a field is of a type that this build does not know.</returns>
    private static ValueArray<NftType>? ReadKey(uint packed)
    {
        var fields = new List<NftType>();
        for (uint rest = packed; rest != 0; rest >>= TypeBits)
        {
            var field = (NftType)(rest & TypeMask);
            if (field is NftType.Verdict or NftType.Integer || !Enum.IsDefined(field))
            {
                return null;
            }

            fields.Insert(0, field);
        }

        return fields.Count == 0 ? null : fields.ToValueArray();
    }

    private static NftSetKind? ReadKind(in SetAttrs read)
    {
        const uint shape = NftSetFlag.Interval | NftSetFlag.Concat;
        return (read.Flags & ~shape, read.DataType, read.DataLength) switch
        {
            (0, _, _) => NftSetKind.Set,
            (NftSetFlag.Object, _, _) when read.ObjectType == NftObjectType.Counter => NftSetKind.CounterMap,
            (NftSetFlag.Map, VerdictDataType, _) => NftSetKind.VerdictMap,
            (NftSetFlag.Map, (uint)NftType.Mark, 4) => NftSetKind.MarkMap,
            (NftSetFlag.Map, ZoneDataType or 0, 2) => NftSetKind.ZoneMap,
            _ => null,
        };
    }

    private static void WriteDescription(NlWriter writer, NftSet set)
    {
        bool fields = set.Interval && IsConcat(set);
        if (set.Size is null && !fields)
        {
            return;
        }

        NlMark description = writer.BeginNest(NftaSet.Desc);
        if (set.Size is { } size)
        {
            writer.PutU32Be(NftaSetDesc.Size, size);
        }

        if (fields)
        {
            NlMark concat = writer.BeginNest(NftaSetDesc.Concat);
            foreach (NftType field in set.Key)
            {
                NlMark one = writer.BeginNest(NftaList.Elem);
                writer.PutU32Be(NftaSetField.Len, (uint)NftSet.FieldLength(field));
                writer.EndNest(one);
            }

            writer.EndNest(concat);
        }

        writer.EndNest(description);
    }

    private static uint? ReadSize(NlAttrs description)
    {
        foreach (NlAttr attr in description)
        {
            if (attr.Type == NftaSetDesc.Size && attr.U32Be() is not 0 and uint size)
            {
                return size;
            }
        }

        return null;
    }

    /// <summary>What nft needs to print host-order keys and data as numbers.</summary>
    /// <remarks>
    /// <code>type u8 | length u8 = 4 | enum byteorder u32, host order</code>
    /// A concatenation has no order of its own: nft takes each field's.
    /// </remarks>
    private static byte[] Userdata(NftSet set)
    {
        bool data = set.Kind is NftSetKind.MarkMap or NftSetKind.ZoneMap or NftSetKind.VerdictMap;
        byte[] bytes = new byte[data ? 12 : 6];
        PutOrder(bytes, NftnlUdata.SetKeyByteorder, KeyOrder(set));
        if (data)
        {
            uint order = set.Kind == NftSetKind.VerdictMap ? NftnlUdata.ByteorderInvalid : NftnlUdata.ByteorderHost;
            PutOrder(bytes.AsSpan(6), NftnlUdata.SetDataByteorder, order);
        }

        return bytes;
    }

    private static void PutOrder(Span<byte> target, byte type, uint order)
    {
        target[0] = type;
        target[1] = 4;
        MemoryMarshal.Write(target[2..], in order);
    }

    private static uint KeyOrder(NftSet set) => IsConcat(set)
        ? NftnlUdata.ByteorderInvalid
        : IsHostOrder(set.Key[0]) && !set.Interval ? NftnlUdata.ByteorderHost : NftnlUdata.ByteorderBig;

    /// <summary>nft src/meta.c, src/ct.c: these types are numbers in host order.</summary>
    internal static bool IsHostOrder(NftType type) =>
        type is NftType.Mark or NftType.IfIndex or NftType.CtState or NftType.IfName;

    private struct SetAttrs
    {
        public string? Table;
        public string? Name;
        public uint Flags;
        public uint KeyType;
        public uint KeyLength;
        public uint DataType;
        public uint DataLength;
        public uint ObjectType;
        public uint? Size;
        public bool Counters;
        public NftExpr.Limit? Limit;
        public string? Unexpected;
    }
}
