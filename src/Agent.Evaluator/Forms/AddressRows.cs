using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>Which rows of a form an address satisfies: atoms, and the rows of each.</summary>
/// <remarks>
/// Prefixes that rows name are nested or disjoint, so that one sweep with a stack cuts by all of them; groups and
/// lists, which may have 65,536 entries, are one function each.
/// </remarks>
internal sealed class AddressRows
{
    private AddressRows(AddressCut cut, RowSet[] sets)
    {
        Cut = cut;
        Sets = sets;
    }

    public AddressCut Cut { get; }

    /// <summary>Rows of each atom.</summary>
    public RowSet[] Sets { get; }

    /// <summary>Sorts rows by what they ask of an address.</summary>
    public sealed class Builder(IpFamily family, int rows)
    {
        private readonly RowSet everywhere = new(rows);
        private readonly SortedDictionary<IpPrefix, RowSet> prefixes = [];
        private readonly Dictionary<AddressFunction, RowSet> functions = [];

        public void Everywhere(int row) => everywhere.Add(row);

        public void In(IpPrefix prefix, int row)
        {
            if (prefix.Family == family)
            {
                Of(prefixes, prefix).Add(row);
            }
        }

        public void Where(AddressFunction function, int row) => Of(functions, function).Add(row);

        public AddressRows Build()
        {
            (AddressFunction nest, List<RowSet> nested) = Nest();
            AddressFunction[] all = [nest, .. functions.Keys];
            RowSet[] whose = [.. functions.Values];
            AddressCut cut = AddressCut.Of(all);
            int[][] values = [.. all.Select(cut.ValuesOf)];
            var sets = new RowSet[cut.Count];
            var known = new Dictionary<RowSet, RowSet>();
            for (int atom = 0; atom < sets.Length; atom++)
            {
                var set = new RowSet(rows);
                set.AddAll(nested[values[0][atom]]);
                for (int i = 0; i < whose.Length; i++)
                {
                    if (values[i + 1][atom] != 0)
                    {
                        set.AddAll(whose[i]);
                    }
                }

                known.TryAdd(set, set);
                sets[atom] = known[set];
            }

            return new AddressRows(cut, sets);
        }

        private RowSet Of<TKey>(IDictionary<TKey, RowSet> sets, TKey key)
        {
            if (!sets.TryGetValue(key, out RowSet? set))
            {
                sets.Add(key, set = new RowSet(rows));
            }

            return set;
        }

        // Value 0 is "in no prefix"; others number the prefixes. A prefix comes before those that lie in it.
        private (AddressFunction Nest, List<RowSet> Sets) Nest()
        {
            List<RowSet> sets = [everywhere];
            var starts = new List<UInt128> { 0 };
            var values = new List<int> { 0 };
            var open = new Stack<(UInt128 Last, int Number)>();
            foreach ((IpPrefix prefix, RowSet own) in prefixes)
            {
                Close(prefix.First);
                var set = new RowSet(rows);
                set.AddAll(sets[open.TryPeek(out (UInt128 Last, int Number) outer) ? outer.Number : 0]);
                set.AddAll(own);
                open.Push((prefix.Last, sets.Count));
                Put(prefix.First, sets.Count);
                sets.Add(set);
            }

            Close(null);
            return (AddressFunction.Of([.. starts], [.. values]), sets);

            void Close(UInt128? before)
            {
                while (open.TryPeek(out (UInt128 Last, int Number) top) && (before is null || top.Last < before))
                {
                    open.Pop();
                    if (top.Last < IpPrefix.Ceiling(family))
                    {
                        Put(top.Last + 1, open.TryPeek(out (UInt128 Last, int Number) outer) ? outer.Number : 0);
                    }
                }
            }

            void Put(UInt128 start, int value)
            {
                if (starts[^1] == start)
                {
                    values[^1] = value;
                    return;
                }

                starts.Add(start);
                values.Add(value);
            }
        }
    }
}
