using System.Buffers.Binary;
using System.Text;

namespace Agent.Nftables;

/// <summary>
/// Elements of one set as sorted rows of equal length in a few arrays: compact, and compared byte by byte.
/// </summary>
/// <remarks>
/// Another value with a row more shares all arrays but one with this one: a member that comes to 65,536 copies 16 KiB.
/// <code>
/// +-------------+--------------------------+------------------------------------------+
/// | key         | key end, if interval     | data, if map: mark 4 | zone 2 |          |
/// | (KeyBytes)  | (KeyBytes, inclusive)    | verdict code 4 BE + chain 32 | object 32 |
/// +-------------+--------------------------+------------------------------------------+
/// </code>
/// Marks and zones are in host order, as they are in a register. Names are zero-filled.
/// </remarks>
public sealed class NftElements : IEquatable<NftElements>
{
    /// <summary>Longest chain or object name that a map may carry.</summary>
    public const int NameBytes = 32;

    /// <summary>An interface's name in a key (linux/if.h IFNAMSIZ).</summary>
    public const int InterfaceBytes = 16;

    /// <summary>Bytes in one array, at most; unless a row is longer.</summary>
    private const int PartBytes = 16 * 1024;

    /// <summary>Rows that are hashed, of those that there are.</summary>
    private const int HashedRows = 64;

    /// <summary>None is empty.</summary>
    private readonly byte[][] parts;

    /// <summary>How many rows there are up to the end of each.</summary>
    private readonly int[] ends;

    private NftElements(int rowBytes, byte[][] parts)
    {
        RowBytes = rowBytes;
        this.parts = parts;
        ends = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            ends[i] = Count + parts[i].Length / rowBytes;
            Count = ends[i];
        }
    }

    public int RowBytes { get; }

    public int Count { get; }

    public ReadOnlySpan<byte> this[int index]
    {
        get
        {
            (int part, int row) = Locate(index);
            return parts[part].AsSpan(row * RowBytes, RowBytes);
        }
    }

    public static NftElements Empty(int rowBytes) => new(rowBytes, []);

    public static int RowLength(ValueArray<NftType> key, bool interval, NftSetKind kind) =>
        NftSet.KeyLength(key) * (interval ? 2 : 1) + DataLength(kind);

    public static int DataLength(NftSetKind kind) => kind switch
    {
        NftSetKind.Set => 0,
        NftSetKind.MarkMap => 4,
        NftSetKind.ZoneMap => 2,
        NftSetKind.VerdictMap => 4 + NameBytes,
        NftSetKind.CounterMap => NameBytes,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "unknown kind"),
    };

    /// <summary>Rows that are in one and not in the other, by content.</summary>
    /// <returns>Rows to delete from <paramref name="before"/>, and rows to add to reach
    /// <paramref name="after"/>.</returns>
    public static (NftElements Removed, NftElements Added) Difference(NftElements before, NftElements after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        if (before.RowBytes != after.RowBytes)
        {
            throw new ArgumentException("rows of different shape", nameof(after));
        }

        var removed = new Builder(before.RowBytes);
        var added = new Builder(before.RowBytes);
        int left = 0;
        int right = 0;
        while (left < before.Count || right < after.Count)
        {
            int same = SameRows(before, left, after, right);
            (left, right) = (left + same, right + same);
            int order = left == before.Count ? (right == after.Count ? 0 : 1)
                : right == after.Count ? -1
                : before[left].SequenceCompareTo(after[right]);
            if (order < 0)
            {
                removed.Add(before[left++]);
            }
            else if (order > 0)
            {
                added.Add(after[right++]);
            }
        }

        return (removed.Build(), added.Build());
    }

    // A change of one row among 65,536 leaves all parts the same but one, and of that two long stretches.
    private static int SameRows(NftElements one, int oneAt, NftElements other, int otherAt)
    {
        if (oneAt == one.Count || otherAt == other.Count)
        {
            return 0;
        }

        (int part, int row) = one.Locate(oneAt);
        (int otherPart, int otherRow) = other.Locate(otherAt);
        byte[] left = one.parts[part];
        byte[] right = other.parts[otherPart];
        return ReferenceEquals(left, right) && row == otherRow ? one.ends[part] - oneAt
            : left.AsSpan(row * one.RowBytes).CommonPrefixLength(right.AsSpan(otherRow * one.RowBytes)) / one.RowBytes;
    }

    /// <summary>These rows without some, and with others.</summary>
    /// <param name="removed">Rows that are here.</param>
    /// <param name="added">Rows that are not here, or among those removed.</param>
    public NftElements Edited(NftElements removed, NftElements added)
    {
        ArgumentNullException.ThrowIfNull(removed);
        ArgumentNullException.ThrowIfNull(added);
        if (removed.RowBytes != RowBytes || added.RowBytes != RowBytes)
        {
            throw new ArgumentException("rows of different shape", nameof(added));
        }

        if (Count == 0)
        {
            return removed.Count == 0 ? added : throw NotHere(nameof(removed));
        }

        var edited = new List<byte[]>(parts.Length + 1);
        int gone = 0;
        int come = 0;
        for (int i = 0; i < parts.Length; i++)
        {
            // What comes before the next part is this one's.
            ReadOnlySpan<byte> next = i + 1 == parts.Length ? default : parts[i + 1].AsSpan(0, RowBytes);
            int goneEnd = removed.EndBefore(next, gone);
            int comeEnd = added.EndBefore(next, come);
            if (gone == goneEnd && come == comeEnd)
            {
                edited.Add(parts[i]);
            }
            else
            {
                AddParts(edited, RowBytes, Edited(parts[i], removed, gone..goneEnd, added, come..comeEnd));
            }

            (gone, come) = (goneEnd, comeEnd);
        }

        return Packed(edited);
    }

    private byte[] Edited(byte[] rows, NftElements removed, Range goneRows, NftElements added, Range comeRows)
    {
        (int gone, int goneEnd) = (goneRows.Start.Value, goneRows.End.Value);
        (int come, int comeEnd) = (comeRows.Start.Value, comeRows.End.Value);
        int length = rows.Length + (comeEnd - come - (goneEnd - gone)) * RowBytes;
        byte[] edited = length >= 0 ? new byte[length] : throw NotHere(nameof(removed));
        int from = 0;
        int to = 0;
        while (gone < goneEnd || come < comeEnd)
        {
            bool isRemoval = come == comeEnd
                || (gone < goneEnd && removed[gone].SequenceCompareTo(added[come]) <= 0);
            int at = Math.Max(from, LowerBound(rows, isRemoval ? removed[gone] : added[come]) * RowBytes);
            rows.AsSpan(from, at - from).CopyTo(edited.AsSpan(to));
            (from, to) = (at, to + at - from);
            if (isRemoval)
            {
                if (!rows.AsSpan(at).StartsWith(removed[gone]))
                {
                    throw NotHere(nameof(removed));
                }

                (from, gone) = (from + RowBytes, gone + 1);
            }
            else
            {
                added[come++].CopyTo(edited.AsSpan(to));
                to += RowBytes;
            }
        }

        rows.AsSpan(from).CopyTo(edited.AsSpan(to));
        return edited;
    }

    private static ArgumentException NotHere(string parameter) => new("a row to remove is not here", parameter);

    // Where much has gone, the parts are small, and too many.
    private NftElements Packed(List<byte[]> edited)
    {
        long bytes = edited.Sum(part => (long)part.Length);
        if (edited.Count <= 4 + 4 * (bytes / PartBytes))
        {
            return new NftElements(RowBytes, [.. edited]);
        }

        var all = new Builder(RowBytes);
        foreach (byte[] part in edited)
        {
            for (int at = 0; at < part.Length; at += RowBytes)
            {
                all.Add(part.AsSpan(at, RowBytes));
            }
        }

        return all.Build();
    }

    // In pieces of whole rows, all about as long.
    private static void AddParts(List<byte[]> into, int rowBytes, ReadOnlySpan<byte> rows)
    {
        int count = rows.Length / rowBytes;
        int most = Math.Max(1, PartBytes / rowBytes);
        int pieces = (count + most - 1) / most;
        for (int i = 0; i < pieces; i++)
        {
            int first = (int)((long)count * i / pieces);
            int end = (int)((long)count * (i + 1) / pieces);
            into.Add(rows[(first * rowBytes)..(end * rowBytes)].ToArray());
        }
    }

    private (int Part, int Row) Locate(int index)
    {
        if (parts.Length == 1)
        {
            return (0, index);
        }

        int low = 0;
        int high = parts.Length - 1;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            (low, high) = ends[middle] <= index ? (middle + 1, high) : (low, middle);
        }

        return (low, low == 0 ? index : index - ends[low - 1]);
    }

    /// <summary>The first row from one on that is not before another one; empty: there is no other one.</summary>
    private int EndBefore(ReadOnlySpan<byte> row, int from)
    {
        while (from < Count && (row.IsEmpty || this[from].SequenceCompareTo(row) < 0))
        {
            from++;
        }

        return from;
    }

    /// <summary>The first row of a part that is not before another one.</summary>
    private int LowerBound(byte[] rows, ReadOnlySpan<byte> row)
    {
        int low = 0;
        int high = rows.Length / RowBytes;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            bool isBefore = rows.AsSpan(middle * RowBytes, RowBytes).SequenceCompareTo(row) < 0;
            (low, high) = isBefore ? (middle + 1, high) : (low, middle);
        }

        return low;
    }

    /// <summary>The row that begins with the key; of an exact set there is at most one.</summary>
    /// <returns>Its index, or -1.</returns>
    public int IndexOfKey(ReadOnlySpan<byte> key)
    {
        int low = 0;
        int high = Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            int order = this[middle][..key.Length].SequenceCompareTo(key);
            if (order == 0)
            {
                return middle;
            }

            (low, high) = order < 0 ? (middle + 1, high) : (low, middle - 1);
        }

        return -1;
    }

    public bool Equals(NftElements? other)
    {
        if (other is null || RowBytes != other.RowBytes || Count != other.Count)
        {
            return false;
        }

        // Equal rows may stand in other parts.
        for (int at = 0; at < Count;)
        {
            int same = SameRows(this, at, other, at);
            if (same == 0)
            {
                return false;
            }

            at += same;
        }

        return true;
    }

    public override bool Equals(object? obj) => Equals(obj as NftElements);

    // Of some rows, at equal distances: whoever has the same ones is compared anyway.
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(RowBytes);
        hash.Add(Count);
        int hashed = Math.Min(Count, HashedRows);
        for (int i = 0; i < hashed; i++)
        {
            hash.AddBytes(this[(int)((long)Count * i / hashed)]);
        }

        return hash.ToHashCode();
    }

    /// <summary>Collects rows in any order; <see cref="Build"/> sorts them and removes exact duplicates.</summary>
    public sealed class Builder(int rowBytes)
    {
        private byte[] rows = [];
        private int used;
        private bool sorted = true;

        public int Count => used / rowBytes;

        /// <summary>Rows that were there more than once, and are not after <see cref="Build"/>.</summary>
        public int Repeated { get; private set; }

        /// <summary>Appends a zeroed row and returns it to be filled. The span is valid until the next call.</summary>
        public Span<byte> Add()
        {
            if (used + rowBytes > rows.Length)
            {
                Array.Resize(ref rows, Math.Max(rowBytes * 16, rows.Length * 2));
            }

            Span<byte> row = rows.AsSpan(used, rowBytes);
            used += rowBytes;
            sorted = false;
            return row;
        }

        public void Add(ReadOnlySpan<byte> row)
        {
            bool ordered = sorted && (used == 0 || rows.AsSpan(used - rowBytes, rowBytes).SequenceCompareTo(row) < 0);
            row.CopyTo(Add());
            sorted = ordered;
        }

        public NftElements Build()
        {
            if (!sorted)
            {
                Sort();
            }

            var parts = new List<byte[]>();
            if (used > 0)
            {
                AddParts(parts, rowBytes, rows.AsSpan(0, used));
            }

            return new NftElements(rowBytes, [.. parts]);
        }

        private void Sort()
        {
            int[] order = new int[Count];
            for (int i = 0; i < order.Length; i++)
            {
                order[i] = i;
            }

            Array.Sort(order, (a, b) => Row(a).SequenceCompareTo(Row(b)));
            byte[] target = new byte[used];
            int length = 0;
            for (int i = 0; i < order.Length; i++)
            {
                if (i > 0 && Row(order[i]).SequenceEqual(Row(order[i - 1])))
                {
                    continue;
                }

                Row(order[i]).CopyTo(target.AsSpan(length));
                length += rowBytes;
            }

            Repeated += (used - length) / rowBytes;
            rows = target;
            used = length;
            sorted = true;
        }

        private ReadOnlySpan<byte> Row(int index) => rows.AsSpan(index * rowBytes, rowBytes);
    }

    /// <summary>Whether a row takes it: other programs give their chains longer names.</summary>
    internal static bool IsName(string name) => Encoding.UTF8.GetByteCount(name) < NameBytes;

    /// <summary>Writes a name into a zero-filled field.</summary>
    public static void PutName(Span<byte> field, string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (Encoding.UTF8.GetByteCount(name) >= field.Length)
        {
            throw new ArgumentException($"name '{name}' is longer than {field.Length - 1} bytes", nameof(name));
        }

        Encoding.UTF8.GetBytes(name, field);
    }

    public static string GetName(ReadOnlySpan<byte> field)
    {
        int end = field.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? field : field[..end]);
    }

    /// <summary>Writes a verdict into a row's data field.</summary>
    public static void PutVerdict(Span<byte> data, NftVerdict verdict)
    {
        ArgumentNullException.ThrowIfNull(verdict);
        BinaryPrimitives.WriteInt32BigEndian(data, (int)verdict.Code);
        if (verdict.Chain is not null)
        {
            PutName(data[4..], verdict.Chain);
        }
    }

    public static NftVerdict GetVerdict(ReadOnlySpan<byte> data)
    {
        string chain = GetName(data[4..]);
        return new NftVerdict(
            (NftVerdictCode)BinaryPrimitives.ReadInt32BigEndian(data), chain.Length == 0 ? null : chain);
    }
}
