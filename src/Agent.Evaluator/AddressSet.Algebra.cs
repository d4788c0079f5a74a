using Agent.Evaluator.Forms;
using Agent.Policy;

namespace Agent.Evaluator;

internal sealed partial class AddressSet
{
    public bool IsEmpty => first.Length == 0;

    /// <summary>Number of addresses, less one if it is all of IPv6.</summary>
    public UInt128 Size
    {
        get
        {
            UInt128 sum = 0;
            for (int i = 0; i < Count; i++)
            {
                UInt128 more = last[i] - first[i];
                sum += more == UInt128.MaxValue ? more : more + 1;
            }

            return sum;
        }
    }

    /// <summary>Every address of the family.</summary>
    public static AddressSet All(IpFamily family) => new([0], [IpPrefix.Ceiling(family)]);

    /// <summary>The union of intervals that ascend by their first address and may touch or overlap.</summary>
    public static AddressSet OfIntervals(IEnumerable<(UInt128 First, UInt128 Last)> ascending)
    {
        List<UInt128> from = [];
        List<UInt128> to = [];
        foreach ((UInt128 start, UInt128 end) in ascending)
        {
            if (to.Count > 0 && (to[^1] == UInt128.MaxValue || start <= to[^1] + 1))
            {
                to[^1] = UInt128.Max(to[^1], end);
                continue;
            }

            from.Add(start);
            to.Add(end);
        }

        return from.Count == 0 ? Empty : new AddressSet([.. from], [.. to]);
    }

    /// <summary>The addresses of some atoms of a cut.</summary>
    public static AddressSet Of(AddressCut cut, IpFamily family, Func<int, bool> atoms) =>
        OfIntervals(Enumerable.Range(0, cut.Starts.Length).Where(piece => atoms(cut.Atoms[piece])).Select(piece => (
            cut.Starts[piece],
            piece + 1 < cut.Starts.Length ? cut.Starts[piece + 1] - 1 : IpPrefix.Ceiling(family))));

    public IEnumerable<(UInt128 First, UInt128 Last)> Intervals => first.Zip(last);

    public AddressSet Union(AddressSet other) =>
        IsEmpty ? other : other.IsEmpty ? this : OfIntervals(Intervals.Concat(other.Intervals).OrderBy(i => i.First));

    public AddressSet Intersect(AddressSet other)
    {
        List<(UInt128, UInt128)> both = [];
        for (int l = 0, r = 0; l < Count && r < other.Count;)
        {
            UInt128 from = UInt128.Max(first[l], other.first[r]);
            UInt128 to = UInt128.Min(last[l], other.last[r]);
            if (from <= to)
            {
                both.Add((from, to));
            }

            _ = last[l] < other.last[r] ? l++ : r++;
        }

        return OfIntervals(both);
    }

    public AddressSet Except(AddressSet other)
    {
        List<(UInt128, UInt128)> rest = [];
        int r = 0;
        foreach ((UInt128 start, UInt128 end) in Intervals)
        {
            UInt128 from = start;
            bool open = true;
            for (; r < other.Count && other.last[r] < from; r++)
            {
            }

            for (int i = r; i < other.Count && other.first[i] <= end; i++)
            {
                if (other.first[i] > from)
                {
                    rest.Add((from, other.first[i] - 1));
                }

                open = other.last[i] < end;
                from = open ? other.last[i] + 1 : from;
            }

            if (open)
            {
                rest.Add((from, end));
            }
        }

        return OfIntervals(rest);
    }

    public bool SameAs(AddressSet other) =>
        first.AsSpan().SequenceEqual(other.first) && last.AsSpan().SequenceEqual(other.last);

    public bool IsSubsetOf(AddressSet other)
    {
        for (int i = 0, r = 0; i < Count; i++)
        {
            for (; r < other.Count && other.last[r] < first[i]; r++)
            {
            }

            if (r == other.Count || other.first[r] > first[i] || other.last[r] < last[i])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The fewest prefixes whose union is the set, ascending.</summary>
    public IEnumerable<IpPrefix> Prefixes(IpFamily family)
    {
        int width = IpPrefix.WidthOf(family);
        foreach ((UInt128 start, UInt128 end) in Intervals)
        {
            UInt128 at = start;
            while (true)
            {
                // As long as it is aligned and ends inside.
                int aligned = at == 0 ? width : (int)UInt128.TrailingZeroCount(at);
                int fits = end - at == UInt128.MaxValue ? width : (int)UInt128.Log2(end - at + 1);
                var prefix = new IpPrefix(family, at, width - Math.Min(aligned, fits));
                yield return prefix;
                if (prefix.Last == end)
                {
                    break;
                }

                at = prefix.Last + 1;
            }
        }
    }

    /// <summary>The longest prefix that contains the whole set, which is not empty.</summary>
    public IpPrefix Hull(IpFamily family)
    {
        UInt128 differs = first[0] ^ last[^1];
        int width = IpPrefix.WidthOf(family);
        int length = width - (128 - (int)UInt128.LeadingZeroCount(differs));
        return new IpPrefix(family, first[0], length);
    }
}
