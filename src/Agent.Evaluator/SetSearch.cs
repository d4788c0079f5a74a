using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>Looks keys up in a set's rows (the layout of <see cref="NftElements"/>).</summary>
internal static class SetSearch
{
    public const int NotFound = -1;

    /// <summary>Elements overlap and carry different data: which one the kernel takes is not known.</summary>
    public const int Ambiguous = -2;

    /// <returns>Index of the row that matches, or one of the two constants.</returns>
    public static int Find(NftSet set, ReadOnlySpan<byte> key) =>
        !set.Interval ? FindExact(set, key)
        : set.Key.Count == 1 ? FindRange(set, key)
        : FindBox(set, key);

    /// <summary>Whether the widths of all key fields are known, and a key that is there always matches.</summary>
    public static bool IsReadable(NftSet set)
    {
        if (set.Limit is not null)
        {
            return false;
        }

        foreach (NftType field in set.Key)
        {
            if (field is NftType.Verdict or NftType.Integer || !Enum.IsDefined(field))
            {
                return false;
            }
        }

        return set.Key.Count > 0;
    }

    /// <summary>Data behind the key of a row: see <see cref="NftElements.DataLength"/>.</summary>
    public static ReadOnlySpan<byte> DataOf(NftSet set, int row) =>
        set.Elements[row][(set.KeyBytes * (set.Interval ? 2 : 1))..];

    private static int FindExact(NftSet set, ReadOnlySpan<byte> key)
    {
        // Rows are sorted by bytes and begin with the key. Equal keys with different data would be neighbours.
        int low = 0;
        int high = set.Elements.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            int order = set.Elements[middle][..key.Length].SequenceCompareTo(key);
            if (order == 0)
            {
                return IsKey(set, middle - 1, key) || IsKey(set, middle + 1, key) ? Ambiguous : middle;
            }

            (low, high) = order < 0 ? (middle + 1, high) : (low, middle - 1);
        }

        return NotFound;
    }

    private static bool IsKey(NftSet set, int row, ReadOnlySpan<byte> key) =>
        row >= 0 && row < set.Elements.Count && set.Elements[row][..key.Length].SequenceEqual(key);

    /// <summary>One field: rows are sorted by their first address, and the kernel's rbtree refuses overlaps.</summary>
    private static int FindRange(NftSet set, ReadOnlySpan<byte> key)
    {
        int low = 0;
        int high = set.Elements.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = set.Elements[middle][..key.Length].SequenceCompareTo(key) <= 0
                ? (middle + 1, high)
                : (low, middle);
        }

        int last = low - 1; // the last row that does not start behind the key
        bool previous = last > 0 && Covers(set, set.Elements[last - 1], key);
        bool covered = last >= 0 && Covers(set, set.Elements[last], key);
        return covered && previous ? Ambiguous : covered ? last : previous ? last - 1 : NotFound;
    }

    private static int FindBox(NftSet set, ReadOnlySpan<byte> key)
    {
        int found = NotFound;
        for (int row = 0; row < set.Elements.Count; row++)
        {
            if (!Covers(set, set.Elements[row], key))
            {
                continue;
            }

            if (found >= 0 && !DataOf(set, found).SequenceEqual(DataOf(set, row)))
            {
                return Ambiguous;
            }

            found = found < 0 ? row : found;
        }

        return found;
    }

    /// <summary>One field: the whole key is one big-endian number. Several: each field lies in its own range.</summary>
    private static bool Covers(NftSet set, ReadOnlySpan<byte> row, ReadOnlySpan<byte> key)
    {
        int offset = 0;
        foreach (NftType field in set.Key)
        {
            int length = set.Key.Count == 1 ? NftSet.FieldLength(field) : NftSet.PaddedLength(field);
            ReadOnlySpan<byte> value = key.Slice(offset, length);
            if (value.SequenceCompareTo(row.Slice(offset, length)) < 0
                || value.SequenceCompareTo(row.Slice(set.KeyBytes + offset, length)) > 0)
            {
                return false;
            }

            offset += length;
        }

        return true;
    }
}
