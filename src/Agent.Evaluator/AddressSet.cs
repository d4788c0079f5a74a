using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator;

/// <summary>Addresses of one family as sorted, disjoint, non-adjacent inclusive intervals.</summary>
internal sealed partial class AddressSet
{
    public static readonly AddressSet Empty = new([], []);

    private readonly UInt128[] first;
    private readonly UInt128[] last;

    private AddressSet(UInt128[] first, UInt128[] last)
    {
        this.first = first;
        this.last = last;
    }

    public int Count => first.Length;

    public (UInt128 First, UInt128 Last) this[int index] => (first[index], last[index]);

    /// <summary>The union of the prefixes that are of the family.</summary>
    public static AddressSet Of(IpFamily family, IEnumerable<IpPrefix> prefixes) =>
        OfSorted(family, prefixes.Where(prefix => prefix.Family == family).Order());

    /// <summary>The union of many prefixes, which are sorted and not sorted again, with a few.</summary>
    public static AddressSet Of(IpFamily family, ImmutableSortedSet<IpPrefix> many, IReadOnlyList<IpPrefix> few) =>
        OfSorted(family, Merged(
            many.KeyComparer == Comparer<IpPrefix>.Default ? many : many.Order(), [.. few.Order()]));

    private static IEnumerable<IpPrefix> Merged(IEnumerable<IpPrefix> many, IpPrefix[] few)
    {
        int next = 0;
        foreach (IpPrefix prefix in many)
        {
            while (next < few.Length && few[next].CompareTo(prefix) < 0)
            {
                yield return few[next++];
            }

            yield return prefix;
        }

        while (next < few.Length)
        {
            yield return few[next++];
        }
    }

    private static AddressSet OfSorted(IpFamily family, IEnumerable<IpPrefix> prefixes)
    {
        List<UInt128> from = [];
        List<UInt128> to = [];
        // A prefix either touches the interval that is being built or starts a new one.
        foreach (IpPrefix prefix in prefixes)
        {
            if (prefix.Family != family)
            {
                continue;
            }

            if (to.Count > 0 && (to[^1] == UInt128.MaxValue || prefix.First <= to[^1] + 1))
            {
                to[^1] = UInt128.Max(to[^1], prefix.Last);
            }
            else
            {
                from.Add(prefix.First);
                to.Add(prefix.Last);
            }
        }

        return from.Count == 0 ? Empty : new AddressSet([.. from], [.. to]);
    }

    public bool Contains(UInt128 address)
    {
        int index = Array.BinarySearch(first, address);
        index = index < 0 ? ~index - 1 : index;
        return index >= 0 && address <= last[index];
    }
}

/// <summary>Addresses of both families.</summary>
internal sealed record Addresses(AddressSet V4, AddressSet V6)
{
    public static readonly Addresses Nothing = new(AddressSet.Empty, AddressSet.Empty);

    public static Addresses Of(IEnumerable<IpPrefix> prefixes)
    {
        ImmutableArray<IpPrefix> all = [.. prefixes];
        return new Addresses(AddressSet.Of(IpFamily.V4, all), AddressSet.Of(IpFamily.V6, all));
    }

    public AddressSet Of(IpFamily family) => family == IpFamily.V4 ? V4 : V6;

    public bool Contains(IpFamily family, UInt128 address) => Of(family).Contains(address);
}
