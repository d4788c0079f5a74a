using System.Buffers.Binary;
using System.Text;

namespace Agent.Nftables;

/// <summary>
/// Elements of one set as sorted rows of equal length in one array: compact, and compared byte by byte.
/// </summary>
/// <remarks>
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

    private readonly byte[] rows;

    private NftElements(int rowBytes, byte[] rows)
    {
        RowBytes = rowBytes;
        this.rows = rows;
    }

    public int RowBytes { get; }

    public int Count => RowBytes == 0 ? 0 : rows.Length / RowBytes;

    public ReadOnlySpan<byte> this[int index] => rows.AsSpan(index * RowBytes, RowBytes);

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

    // A change of one row among 65,536 leaves two long stretches that are compared at the speed of memory.
    private static int SameRows(NftElements one, int oneAt, NftElements other, int otherAt) =>
        one.rows.AsSpan(oneAt * one.RowBytes).CommonPrefixLength(other.rows.AsSpan(otherAt * one.RowBytes))
            / one.RowBytes;

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

        byte[] edited = new byte[rows.Length - removed.rows.Length + added.rows.Length];
        int from = 0;
        int to = 0;
        int gone = 0;
        int come = 0;
        while (gone < removed.Count || come < added.Count)
        {
            bool isRemoval = come == added.Count
                || (gone < removed.Count && removed[gone].SequenceCompareTo(added[come]) <= 0);
            int at = Math.Max(from, LowerBound(isRemoval ? removed[gone] : added[come]) * RowBytes);
            rows.AsSpan(from, at - from).CopyTo(edited.AsSpan(to));
            (from, to) = (at, to + at - from);
            if (isRemoval)
            {
                if (!rows.AsSpan(at).StartsWith(removed[gone]))
                {
                    throw new ArgumentException("a row to remove is not here", nameof(removed));
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
        return new NftElements(RowBytes, edited);
    }

    /// <summary>The first row that is not before another one.</summary>
    private int LowerBound(ReadOnlySpan<byte> row)
    {
        int low = 0;
        int high = Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            (low, high) = this[middle].SequenceCompareTo(row) < 0 ? (middle + 1, high) : (low, middle);
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

    public bool Equals(NftElements? other) =>
        other is not null && RowBytes == other.RowBytes
        && (ReferenceEquals(rows, other.rows) || rows.AsSpan().SequenceEqual(other.rows));

    public override bool Equals(object? obj) => Equals(obj as NftElements);

    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(RowBytes);
        hash.AddBytes(rows);
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

            return new NftElements(rowBytes, rows.AsSpan(0, used).ToArray());
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
