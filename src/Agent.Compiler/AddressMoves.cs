using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Compares two cuts of one address space.</summary>
internal static class AddressMoves
{
    /// <summary>The distinct pairs of class numbers that addresses have before and after.</summary>
    public static HashSet<(uint Old, uint New)> Between(IpFamily family, AddressCut? before, AddressCut? after)
    {
        var pairs = new HashSet<(uint, uint)>();
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
    private static IEnumerable<UInt128> Starts(AddressCut? before, AddressCut? after)
    {
        yield return 0;
        List<Edges> ahead = [.. ((AddressCut?[])[before, after]).OfType<AddressCut>()
            .SelectMany(cut => (Edges[])[new Edges(cut, cut.Hosts), new Edges(cut, cut.Nets)])];
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

    /// <summary>First addresses of disjoint ascending rows, and of what lies behind each, ascending.</summary>
    private sealed class Edges
    {
        private readonly AddressCut cut;
        private readonly NftElements rows;
        private int index;
        private bool behind;

        public Edges(AddressCut cut, NftElements rows)
        {
            (this.cut, this.rows) = (cut, rows);
            AtEnd = rows.Count == 0;
            Current = AtEnd ? 0 : cut.FirstOf(rows, 0);
        }

        public UInt128 Current { get; private set; }

        public bool AtEnd { get; private set; }

        /// <returns>False at the end.</returns>
        public bool Move()
        {
            if (!behind && cut.LastOf(rows, index) is var last && last != UInt128.MaxValue)
            {
                behind = true;
                Current = last + 1;
                return true;
            }

            behind = false;
            AtEnd = ++index == rows.Count;
            Current = AtEnd ? 0 : cut.FirstOf(rows, index);
            return !AtEnd;
        }
    }

    /// <summary>Class numbers along ascending addresses.</summary>
    private sealed class Cursor(IpFamily family, AddressCut? cut)
    {
        private int host;
        private int net;

        public uint At(UInt128 address)
        {
            if (cut is null)
            {
                return Decision.Unclassified(family);
            }

            return Find(cut, cut.Hosts, ref host, address) ?? Find(cut, cut.Nets, ref net, address)
                ?? Decision.Unclassified(family);
        }

        private static uint? Find(AddressCut cut, NftElements rows, ref int index, UInt128 address)
        {
            while (index < rows.Count && cut.LastOf(rows, index) < address)
            {
                index++;
            }

            return index < rows.Count && cut.FirstOf(rows, index) <= address ? AddressCut.MarkOf(rows, index) : null;
        }
    }
}
