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
        foreach (UInt128 at in Starts(before, after))
        {
            pairs.Add((left.At(at), right.At(at)));
        }

        return pairs;
    }

    // One point of every piece that either cut tells apart, ascending.
    private static List<UInt128> Starts(AddressClasses.Cut? before, AddressClasses.Cut? after)
    {
        var starts = new List<UInt128> { 0 };
        foreach (AddressClasses.Cut cut in ((AddressClasses.Cut?[])[before, after]).OfType<AddressClasses.Cut>())
        {
            foreach (Segment segment in cut.Space.Hosts.Concat(cut.Space.Nets))
            {
                starts.Add(segment.First);
                if (segment.Last != UInt128.MaxValue)
                {
                    starts.Add(segment.Last + 1);
                }
            }
        }

        starts.Sort();
        return starts;
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
