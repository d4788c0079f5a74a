using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Compares two cuts of one address space.</summary>
internal static class AddressMoves
{
    /// <summary>The distinct pairs of class numbers that addresses have before and after.</summary>
    public static HashSet<(uint Old, uint New)> Between(
        IpFamily family, AddressClasses.Cut? before, AddressClasses.Cut? after)
    {
        var pairs = new HashSet<(uint, uint)>();
        if (ReferenceEquals(before, after) && before is not null)
        {
            pairs.UnionWith(before.Numbers.Values.Select(number => (number, number)));
            pairs.Add((Decision.Unclassified(family), Decision.Unclassified(family)));
            return pairs;
        }

        var left = new Cursor(family, before);
        var right = new Cursor(family, after);
        (uint, uint)? last = null;
        foreach (UInt128 at in Starts(before, after))
        {
            (uint, uint) pair = (left.At(at), right.At(at));
            if (pair != last)
            {
                pairs.Add(pair);
                last = pair;
            }
        }

        return pairs;
    }

    // One point of every piece that either cut tells apart, ascending. The cuts are sorted: with 65,536 addresses,
    // sorting their points again would cost most of a change.
    private static IEnumerable<UInt128> Starts(AddressClasses.Cut? before, AddressClasses.Cut? after)
    {
        yield return 0;
        List<Edges> ahead = [.. ((AddressClasses.Cut?[])[before, after]).OfType<AddressClasses.Cut>()
            .SelectMany(cut => (Edges[])[new Edges(cut.Space.Hosts), new Edges(cut.Space.Nets)])];
        ahead.RemoveAll(edges => edges.AtEnd);
        while (ahead.Count > 0)
        {
            UInt128 next = ahead[0].Current;
            for (int i = 1; i < ahead.Count; i++)
            {
                next = UInt128.Min(next, ahead[i].Current);
            }

            yield return next;
            for (int i = ahead.Count - 1; i >= 0; i--)
            {
                if (ahead[i].Current == next && !ahead[i].Move())
                {
                    ahead.RemoveAt(i);
                }
            }
        }
    }

    /// <summary>First addresses of disjoint ascending segments, and of what lies behind each, ascending.</summary>
    private sealed class Edges
    {
        private readonly IReadOnlyList<Segment> segments;
        private int index;
        private bool behind;

        public Edges(IReadOnlyList<Segment> segments)
        {
            this.segments = segments;
            AtEnd = segments.Count == 0;
            Current = AtEnd ? 0 : segments[0].First;
        }

        public UInt128 Current { get; private set; }

        public bool AtEnd { get; private set; }

        /// <returns>False at the end.</returns>
        public bool Move()
        {
            if (!behind && segments[index].Last != UInt128.MaxValue)
            {
                behind = true;
                Current = segments[index].Last + 1;
                return true;
            }

            behind = false;
            AtEnd = ++index == segments.Count;
            Current = AtEnd ? 0 : segments[index].First;
            return !AtEnd;
        }
    }

    /// <summary>Class numbers along ascending addresses.</summary>
    private sealed class Cursor(IpFamily family, AddressClasses.Cut? cut)
    {
        private int host;
        private int net;

        public uint At(UInt128 address)
        {
            if (cut is null)
            {
                return Decision.Unclassified(family);
            }

            return Find(cut.Space.Hosts, ref host, address) ?? Find(cut.Space.Nets, ref net, address)
                ?? Decision.Unclassified(family);
        }

        private uint? Find(IReadOnlyList<Segment> segments, ref int index, UInt128 address)
        {
            while (index < segments.Count && segments[index].Last < address)
            {
                index++;
            }

            return index < segments.Count && segments[index].First <= address
                ? cut!.Numbers[segments[index].Signature]
                : null;
        }
    }
}
