using System.Collections.Frozen;
using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

/// <summary>Reads the data nest of one kind of expression.</summary>
/// <returns>Null if an attribute or a value is not known: the caller keeps the bytes as opaque.</returns>
internal delegate NftExpr? ExprReader(NlAttrs data);

public abstract partial record NftExpr
{
    /// <summary>The one registry: the kernel's names of expressions, and who reads them.</summary>
    internal static readonly FrozenDictionary<string, ExprReader> Readers = new Dictionary<string, ExprReader>
    {
        ["bitwise"] = Bitwise.Read,
        ["byteorder"] = ByteOrder.Read,
        ["cmp"] = Cmp.Read,
        ["connlimit"] = ConnLimit.Read,
        ["counter"] = Counter.Read,
        ["ct"] = Ct.Read,
        ["immediate"] = Immediate.Read,
        ["limit"] = Limit.Read,
        ["log"] = Log.Read,
        ["lookup"] = Lookup.Read,
        ["meta"] = Meta.Read,
        ["notrack"] = NoTrack.Read,
        ["objref"] = ObjectRef.Read,
        ["payload"] = Payload.Read,
        ["range"] = Range.Read,
    }.ToFrozenDictionary();

    /// <summary>The expression's name in NFTA_EXPR_NAME.</summary>
    internal abstract string WireName { get; }

    /// <summary>Appends the attributes inside NFTA_EXPR_DATA, in the order in which nft sends them.</summary>
    internal abstract void WriteData(NlWriter writer);

    /// <summary>
    /// <code>NFTA_LIST_ELEM -> NFTA_EXPR_NAME text, NFTA_EXPR_DATA nest</code>
    /// </summary>
    internal void Write(NlWriter writer, ushort type)
    {
        NlMark element = writer.BeginNest(type);
        writer.PutText(NftaExpr.Name, WireName);
        NlMark data = writer.BeginNest(NftaExpr.Data);
        WriteData(writer);
        writer.EndNest(data);
        writer.EndNest(element);
    }

    internal static void WriteList(NlWriter writer, ushort type, ValueArray<NftExpr> exprs)
    {
        NlMark list = writer.BeginNest(type);
        foreach (NftExpr expr in exprs)
        {
            expr.Write(writer, NftaList.Elem);
        }

        writer.EndNest(list);
    }

    /// <summary>Reads an expression list. What cannot be read is in it as <see cref="Opaque"/>.</summary>
    internal static ValueArray<NftExpr> ReadList(NlAttrs list)
    {
        var exprs = new List<NftExpr>();
        foreach (NlAttr element in list)
        {
            exprs.Add(ReadElement(element.Nested));
        }

        return exprs.ToValueArray();
    }

    internal static NftExpr ReadElement(NlAttrs attrs)
    {
        string? name = null;
        NlAttrs data = default;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case NftaExpr.Name: name = attr.Text(); break;
                case NftaExpr.Data: data = attr.Nested; break;
                default: throw new NetlinkFormatException($"expression attribute {attr.Type}");
            }
        }

        if (name is null)
        {
            throw new NetlinkFormatException("expression without a name");
        }

        return (Readers.TryGetValue(name, out ExprReader? read) ? read(data) : null)
            ?? new Opaque(name, data.Bytes.ToValue());
    }

    public sealed partial record Opaque
    {
        internal override string WireName => Name;

        internal override void WriteData(NlWriter writer) => writer.PutRaw(Data.AsSpan());
    }
}
