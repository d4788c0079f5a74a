using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Collects the elements of one set over the messages of a dump, and makes rows of them.</summary>
/// <remarks>
/// A single-field interval arrives as separate starts and ends, in the order of the kernel's tree: they are sorted and
/// paired at the end. A start that is followed by another start ends before it, and the last may reach the top.
/// </remarks>
internal sealed class ElementReader
{
    private readonly NftSet set;
    private readonly int keyBytes;
    private readonly int dataAt;
    private readonly bool pair;
    private readonly NftElements.Builder rows;
    private readonly List<Bound> bounds = [];

    /// <param name="set">The set as it was read, without elements.</param>
    internal ElementReader(NftSet set)
    {
        this.set = set;
        keyBytes = set.KeyBytes;
        dataAt = keyBytes * (set.Interval ? 2 : 1);
        pair = set.Interval && !SetCodec.IsConcat(set);
        rows = new NftElements.Builder(set.RowBytes);
    }

    /// <summary>
    /// What an element had and a row cannot say: a timeout, a foreign verdict. Null if there was none.
    /// </summary>
    internal string? Unexpected { get; private set; }

    /// <summary>Whether what was built lacks elements: some came twice, in the places of others.</summary>
    /// <remarks>See <see cref="NftConnection.Untorn"/>.</remarks>
    internal bool IsTorn => rows.Repeated > 0;

    /// <summary>Reads the element list of one NEWSETELEM.</summary>
    internal void Read(NlAttrs message)
    {
        foreach (NlAttr attr in message)
        {
            if (attr.Type == NftaSetElemList.Elements)
            {
                foreach (NlAttr element in attr.Nested)
                {
                    ReadElement(element.Nested);
                }
            }
        }
    }

    internal NftElements Build()
    {
        Pair();
        return rows.Build();
    }

    private void ReadElement(NlAttrs element)
    {
        ReadOnlySpan<byte> key = default;
        ReadOnlySpan<byte> keyEnd = default;
        Span<byte> data = stackalloc byte[NftElements.DataLength(NftSetKind.VerdictMap)];
        data.Clear();
        uint flags = 0;
        bool hasData = set.Kind == NftSetKind.Set;
        foreach (NlAttr attr in element)
        {
            switch (attr.Type)
            {
                case NftaSetElem.Key: key = attr.Value(); break;
                case NftaSetElem.KeyEnd: keyEnd = attr.Value(); break;
                case NftaSetElem.Flags: flags = attr.U32Be(); break;
                case NftaSetElem.Data: hasData = ReadData(attr, data); break;
                case NftaSetElem.Objref: hasData = ReadObject(attr, data); break;
                case NftaSetElem.Expr: CheckExpr(attr.Nested); break;
                case NftaSetElem.Userdata: break; // nft's notes
                default: Unexpected = $"element attribute {attr.Type}"; break;
            }
        }

        if (flags > NftSetElem.IntervalEnd)
        {
            Unexpected = $"element flags {flags}";
            return; // a catch-all has no key
        }

        if (key.Length != keyBytes || (!keyEnd.IsEmpty && keyEnd.Length != keyBytes))
        {
            throw new NetlinkFormatException($"set '{set.Name}': key of {key.Length} bytes, not {keyBytes}");
        }

        bool closes = flags == NftSetElem.IntervalEnd;
        if (closes ? !pair : !hasData)
        {
            Unexpected ??= closes ? "an end of a range in a set without ranges" : "an element without its data";
        }

        if (!keyEnd.IsEmpty && (pair || !set.Interval))
        {
            Unexpected ??= "an element with two keys";
        }

        data = data[..NftElements.DataLength(set.Kind)];
        if (pair)
        {
            bounds.Add(new Bound(key.ToArray(), closes, data.ToArray()));
        }
        else
        {
            AddRow(key, keyEnd.IsEmpty ? key : keyEnd, data);
        }
    }

    /// <returns>False: it cannot be said, which has been noted.</returns>
    private bool ReadData(NlAttr attr, Span<byte> data)
    {
        if (set.Kind == NftSetKind.VerdictMap)
        {
            if (attr.Verdict() is not { } verdict)
            {
                Unexpected = "a verdict that this build does not know";
                return false;
            }

            if (!NftElements.IsName(verdict.Chain ?? ""))
            {
                Unexpected = $"a verdict to '{verdict.Chain}', which is longer than a row takes";
                return false;
            }

            NftElements.PutVerdict(data, verdict);
            return true;
        }

        ReadOnlySpan<byte> value = attr.Value();
        if (value.Length != NftElements.DataLength(set.Kind))
        {
            throw new NetlinkFormatException($"set '{set.Name}': data of {value.Length} bytes");
        }

        value.CopyTo(data);
        return true;
    }

    /// <returns>False: it cannot be said, which has been noted.</returns>
    private bool ReadObject(NlAttr attr, Span<byte> data)
    {
        string name = attr.Text();
        if (set.Kind != NftSetKind.CounterMap || name.Length == 0 || !NftElements.IsName(name))
        {
            Unexpected = $"object '{name}' of an element";
            return false;
        }

        NftElements.PutName(data[..NftElements.NameBytes], name);
        return true;
    }

    private void CheckExpr(NlAttrs expr)
    {
        if (set.Limit is not null && set.Limit.Equals(NftExpr.ReadElement(expr)))
        {
            return;
        }

        NlAttrs data = default;
        foreach (NlAttr attr in expr)
        {
            data = attr.Type == NftaExpr.Data ? attr.Nested : data;
        }

        if (!set.Counters || NftExpr.Counter.ReadCount(data) is null)
        {
            Unexpected = "an element's own expression";
        }
    }

    private void AddRow(ReadOnlySpan<byte> key, ReadOnlySpan<byte> keyEnd, ReadOnlySpan<byte> data)
    {
        Span<byte> row = rows.Add();
        key.CopyTo(row);
        if (set.Interval)
        {
            keyEnd.CopyTo(row[keyBytes..]);
        }

        data.CopyTo(row[dataAt..]);
    }

    private void Pair()
    {
        // At one key the end of the range below comes before the start of the range above.
        bounds.Sort(
            (a, b) =>
                a.Key.AsSpan().SequenceCompareTo(b.Key) is not 0 and int order ? order : b.IsEnd.CompareTo(a.IsEnd));
        Span<byte> last = stackalloc byte[keyBytes];
        for (int i = 0; i < bounds.Count; i++)
        {
            if (bounds[i].IsEnd)
            {
                continue; // closes the start before it; nft's own first element, the end at zero, closes nothing
            }

            if (i + 1 < bounds.Count)
            {
                if (!bounds[i + 1].IsEnd && bounds[i + 1].Key.AsSpan().SequenceEqual(bounds[i].Key))
                {
                    Unexpected = "two ranges that begin at one key";
                    continue;
                }

                ElementWriter.Decrement(bounds[i + 1].Key, last);
            }
            else
            {
                last.Fill(byte.MaxValue);
            }

            AddRow(bounds[i].Key, last, bounds[i].Data);
        }

        bounds.Clear();
    }

    private readonly record struct Bound(byte[] Key, bool IsEnd, byte[] Data);
}
