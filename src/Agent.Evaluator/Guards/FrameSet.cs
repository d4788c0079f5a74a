namespace Agent.Evaluator.Guards;

/// <summary>Values of a field of a frame, as big-endian numbers: sorted, disjoint, inclusive ranges.</summary>
/// <param name="bytes">Width of the field, 1 to 16.</param>
/// <param name="ranges">No two of them touch.</param>
internal sealed class FrameSet(int bytes, (UInt128 First, UInt128 Last)[] ranges) : IEquatable<FrameSet>
{
    /// <summary>Ranges that a set is made of at most; a condition that needs more is not modelled.</summary>
    private const int RangesMax = 4096;

    public int Bytes => bytes;

    public ReadOnlySpan<(UInt128 First, UInt128 Last)> Ranges => ranges;

    public bool IsEmpty => ranges.Length == 0;

    public static UInt128 CeilingOf(int bytes) => UInt128.MaxValue >> 8 * (16 - bytes);

    public static FrameSet All(int bytes) => new(bytes, [(0, CeilingOf(bytes))]);

    public static FrameSet None(int bytes) => new(bytes, []);

    public static FrameSet Of(int bytes, params ReadOnlySpan<UInt128> values) =>
        Union(bytes, [.. values.ToArray().Select(value => (value, value))]);

    public static FrameSet Between(int bytes, UInt128 first, UInt128 last) =>
        last < first ? None(bytes) : new FrameSet(bytes, [(first, last)]);

    /// <summary>Ranges in any order, which may overlap.</summary>
    public static FrameSet Union(int bytes, IEnumerable<(UInt128 First, UInt128 Last)> parts)
    {
        var merged = new List<(UInt128 First, UInt128 Last)>();
        foreach ((UInt128 first, UInt128 last) in parts.OrderBy(part => part.First))
        {
            if (merged.Count > 0 && (merged[^1].Last == UInt128.MaxValue || first <= merged[^1].Last + 1))
            {
                merged[^1] = (merged[^1].First, UInt128.Max(merged[^1].Last, last));
                continue;
            }

            merged.Add((first, last));
        }

        return new FrameSet(bytes, [.. merged]);
    }

    /// <summary>All x with <c>(x and mask) == value</c>.</summary>
    /// <returns>Null: too many ranges.</returns>
    public static FrameSet? Masked(int bytes, UInt128 mask, UInt128 value)
    {
        if ((value & ~mask) != 0)
        {
            return None(bytes);
        }

        int low = mask == 0 ? 8 * bytes : (int)UInt128.TrailingZeroCount(mask);
        UInt128 below = low == 128 ? UInt128.MaxValue : (UInt128.One << low) - 1;
        UInt128 free = CeilingOf(bytes) & ~mask & ~below;
        int bits = (int)UInt128.PopCount(free);
        if (bits > 12)
        {
            return null;
        }

        var found = new (UInt128, UInt128)[1 << bits];
        UInt128 subset = 0;
        for (int i = 0; i < found.Length; i++)
        {
            found[i] = (value | subset, value | subset | below);
            subset = unchecked(subset - free) & free; // the next subset of the free bits
        }

        return Union(bytes, found);
    }

    public FrameSet Complement()
    {
        var gaps = new List<(UInt128, UInt128)>(ranges.Length + 1);
        UInt128 ceiling = CeilingOf(bytes);
        UInt128 next = 0;
        foreach ((UInt128 first, UInt128 last) in ranges)
        {
            if (first > next)
            {
                gaps.Add((next, first - 1));
            }

            if (last == ceiling)
            {
                return new FrameSet(bytes, [.. gaps]);
            }

            next = last + 1;
        }

        gaps.Add((next, ceiling));
        return new FrameSet(bytes, [.. gaps]);
    }

    public FrameSet Or(FrameSet other) => Union(bytes, ranges.Concat(other.Ranges.ToArray()));

    public bool Equals(FrameSet? other) => other is not null && bytes == other.Bytes
        && (ReferenceEquals(this, other) || ranges.AsSpan().SequenceEqual(other.Ranges));

    public override bool Equals(object? obj) => Equals(obj as FrameSet);

    public override int GetHashCode() => ranges.Length == 0
        ? bytes : HashCode.Combine(bytes, ranges.Length, ranges[0].First, ranges[^1].Last);

    public bool Contains(UInt128 value)
    {
        int low = 0;
        int high = ranges.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = ranges[middle].First <= value ? (middle + 1, high) : (low, middle);
        }

        return low > 0 && value <= ranges[low - 1].Last;
    }

    /// <summary>Whether all of some values are in it, or none is.</summary>
    /// <returns>Null: some are.</returns>
    public bool? HoldsFor(FrameSet values)
    {
        bool? all = null;
        foreach ((UInt128 first, UInt128 last) in values.Ranges)
        {
            bool inside = Contains(first);
            bool same = Array.TrueForAll(ranges, range => inside
                ? first < range.First || first > range.Last || last <= range.Last
                : range.First <= first || range.First > last);
            if (!same || (all is bool before && before != inside))
            {
                return null;
            }

            all = inside;
        }

        return all;
    }

    /// <summary>The same condition on a wider field, of which this one is a part.</summary>
    /// <param name="width">Bytes of the wider field.</param>
    /// <param name="offset">Where this one begins in it.</param>
    /// <returns>Null: too many ranges.</returns>
    public FrameSet? Within(int width, int offset)
    {
        int behind = 8 * (width - offset - bytes);
        if (width == bytes)
        {
            return this;
        }

        if (offset > 1 || (offset == 1 && ranges.Length > RangesMax / 256))
        {
            return null;
        }

        UInt128 low = behind == 0 ? 0 : (UInt128.One << behind) - 1;
        var lifted = new List<(UInt128, UInt128)>(ranges.Length);
        for (int head = 0; head < (offset == 1 ? 256 : 1); head++)
        {
            UInt128 above = offset == 1 ? (UInt128)head << 8 * (width - 1) : 0;
            lifted.AddRange(ranges.Select(
                range => (above | range.First << behind, above | range.Last << behind | low)));
        }

        return Union(width, lifted);
    }
}
