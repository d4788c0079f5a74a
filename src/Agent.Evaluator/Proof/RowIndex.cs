using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Finds the rows of a set whose constant fields match: those of one policy class among all.</summary>
internal sealed class RowIndex
{
    private readonly NftSet set;
    private readonly List<(int Offset, int Length)> parts = [];
    private readonly Dictionary<UInt128, List<int>> exact = [];

    /// <summary>Rows whose constant fields are ranges.</summary>
    private readonly List<int> wide = [];

    /// <param name="set">The set; several fields, or one that is not constant.</param>
    /// <param name="pattern">A bit for each field that is constant; together at most 16 bytes are told apart.</param>
    public RowIndex(NftSet set, int pattern)
    {
        this.set = set;
        int offset = 0;
        for (int field = 0; field < set.Key.Count; field++)
        {
            int padded = set.Key.Count == 1 ? NftSet.FieldLength(set.Key[field]) : NftSet.PaddedLength(set.Key[field]);
            if ((pattern >> field & 1) != 0)
            {
                parts.Add((offset, padded));
            }

            offset += padded;
        }

        for (int row = 0; row < set.Elements.Count; row++)
        {
            (UInt128 first, UInt128 last) = (KeyOf(set.Elements[row]), set.Interval
                ? KeyOf(set.Elements[row][set.KeyBytes..]) : KeyOf(set.Elements[row]));
            if (first == last)
            {
                (exact.TryGetValue(first, out List<int>? rows) ? rows : exact[first] = []).Add(row);
            }
            else
            {
                wide.Add(row);
            }
        }
    }

    /// <param name="constants">The constant fields, one after the other.</param>
    public List<int> RowsFor(ReadOnlySpan<byte> constants)
    {
        List<int> rows = exact.GetValueOrDefault(Number(constants)) ?? [];
        if (wide.Count == 0)
        {
            return rows;
        }

        rows = [.. rows];
        foreach (int row in wide)
        {
            if (Covers(set.Elements[row], constants))
            {
                rows.Add(row);
            }
        }

        return rows;
    }

    private bool Covers(ReadOnlySpan<byte> row, ReadOnlySpan<byte> constants)
    {
        int at = 0;
        foreach ((int offset, int length) in parts)
        {
            ReadOnlySpan<byte> value = constants.Slice(at, length);
            if (value.SequenceCompareTo(row.Slice(offset, length)) < 0
                || value.SequenceCompareTo(row.Slice(set.KeyBytes + offset, length)) > 0)
            {
                return false;
            }

            at += length;
        }

        return true;
    }

    private UInt128 KeyOf(ReadOnlySpan<byte> bound)
    {
        UInt128 key = 0;
        foreach ((int offset, int length) in parts)
        {
            key = Append(key, bound.Slice(offset, length));
        }

        return key;
    }

    private static UInt128 Number(ReadOnlySpan<byte> bytes) => Append(0, bytes);

    private static UInt128 Append(UInt128 key, ReadOnlySpan<byte> bytes)
    {
        foreach (byte one in bytes)
        {
            key = (key << 8) + one;
        }

        return key;
    }
}
