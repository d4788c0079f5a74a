using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>Element rows as NEWSETELEM or DELSETELEM messages.</summary>
/// <remarks>
/// <code>
/// exact                KEY, data
/// several fields       KEY, KEY_END, data
/// single field range   KEY = first, data;   KEY = last + 1, FLAGS = INTERVAL_END (none at the top of the space)
/// </code>
/// A list is an attribute, at most 65,535 bytes; a row's two halves may fall into two messages of one batch.
/// </remarks>
internal static class ElementWriter
{
    /// <summary>Room for the largest element: two keys of 64 bytes, a chain or object name, headers.</summary>
    private const int ListBytesMax = NlWriter.AttrBytesMax - 512;

    /// <returns>The number of messages written.</returns>
    internal static int Write(
        NlWriter writer, ushort op, NlmF flags, uint sequence, NftFamily family, string table, NftSet set,
        NftElements rows)
    {
        int messages = 0;
        int index = 0;
        while (index < rows.Count)
        {
            NlMark message = NfMessage.Begin(writer, op, flags, sequence, family);
            writer.PutText(NftaSetElemList.Table, table);
            writer.PutText(NftaSetElemList.Set, set.Name);
            NlMark list = writer.BeginNest(NftaSetElemList.Elements);
            while (index < rows.Count && writer.Length - list.Offset < ListBytesMax)
            {
                WriteRow(writer, set, rows[index], withData: op == NftMsg.NewSetElem);
                index++;
            }

            writer.EndNest(list);
            writer.EndMessage(message);
            messages++;
        }

        return messages;
    }

    /// <summary>The attributes of a request for single elements; as many as fit into one list.</summary>
    internal static void WriteKeys(NlWriter writer, string table, NftSet set, NftElements rows)
    {
        writer.PutText(NftaSetElemList.Table, table);
        writer.PutText(NftaSetElemList.Set, set.Name);
        NlMark list = writer.BeginNest(NftaSetElemList.Elements);
        for (int i = 0; i < rows.Count; i++)
        {
            WriteRow(writer, set, rows[i], withData: false);
        }

        writer.EndNest(list);
    }

    private static void WriteRow(NlWriter writer, NftSet set, ReadOnlySpan<byte> row, bool withData)
    {
        int keyBytes = set.KeyBytes;
        bool pair = set.Interval && !SetCodec.IsConcat(set);
        NlMark element = writer.BeginNest(NftaList.Elem);
        writer.PutValue(NftaSetElem.Key, row[..keyBytes]);
        if (set.Interval && !pair)
        {
            writer.PutValue(NftaSetElem.KeyEnd, row.Slice(keyBytes, keyBytes));
        }

        if (withData)
        {
            WriteData(writer, set.Kind, row[(keyBytes * (set.Interval ? 2 : 1))..]);
        }

        writer.EndNest(element);
        Span<byte> end = stackalloc byte[NftElements.NameBytes];
        if (pair && Increment(row.Slice(keyBytes, keyBytes), end[..keyBytes]))
        {
            NlMark closing = writer.BeginNest(NftaList.Elem);
            writer.PutU32Be(NftaSetElem.Flags, NftSetElem.IntervalEnd);
            writer.PutValue(NftaSetElem.Key, end[..keyBytes]);
            writer.EndNest(closing);
        }
    }

    private static void WriteData(NlWriter writer, NftSetKind kind, ReadOnlySpan<byte> data)
    {
        switch (kind)
        {
            case NftSetKind.Set:
                break;
            case NftSetKind.VerdictMap:
                writer.PutVerdict(NftaSetElem.Data, NftElements.GetVerdict(data));
                break;
            case NftSetKind.CounterMap:
                writer.PutText(NftaSetElem.Objref, NftElements.GetName(data));
                break;
            default:
                writer.PutValue(NftaSetElem.Data, data);
                break;
        }
    }

    /// <summary>target = value + 1, as big-endian numbers.</summary>
    /// <returns>False if the value is the last of its space.</returns>
    internal static bool Increment(ReadOnlySpan<byte> value, Span<byte> target)
    {
        value.CopyTo(target);
        for (int i = target.Length - 1; i >= 0; i--)
        {
            target[i] = unchecked((byte)(target[i] + 1));
            if (target[i] != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>target = value - 1, as big-endian numbers. The value is not zero.</summary>
    internal static void Decrement(ReadOnlySpan<byte> value, Span<byte> target)
    {
        value.CopyTo(target);
        for (int i = target.Length - 1; i >= 0; i--)
        {
            target[i] = unchecked((byte)(target[i] - 1));
            if (target[i] != byte.MaxValue)
            {
                return;
            }
        }
    }
}
