using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>Which rows of a form an address satisfies: atoms, and the rows of each.</summary>
/// <remarks>
/// Prefixes that rows name are nested or disjoint, so that one sweep with a stack cuts by all of them; groups and
/// lists, which may have 65,536 entries, are one function each.
/// </remarks>
internal sealed class AddressRows
{
    private AddressRows(AddressCut cut, int[] kinds, RowSet[] sets)
    {
        Cut = cut;
        Kinds = kinds;
        Sets = sets;
    }

    public AddressCut Cut { get; }

    /// <summary>For each atom, which of <see cref="Sets"/>.</summary>
    public int[] Kinds { get; }

    /// <summary>Rows that an address satisfies; all different.</summary>
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

        /// <param name="on">Cuts at least like this, which is likely to do; null: no more than it takes.</param>
        public AddressRows Build(AddressCut? on = null)
        {
            (AddressFunction nest, List<RowSet> nested) = Nest();
            AddressCut cut = on ?? AddressCut.Of([nest, .. functions.Keys]);
            int[]? outer = cut.FindConstants(nest);
            foreach (AddressFunction function in functions.Keys)
            {
                cut = on is not null && cut.ConstantsOf(function) is null ? cut.Refine(function) : cut;
            }

            cut = outer is null ? cut.Refine(nest) : cut;
            int[] kinds = outer is not null && outer.Length == cut.Count ? outer : cut.ValuesOf(nest);
            List<RowSet> sets = nested;
            foreach ((AddressFunction function, RowSet whose) in functions)
            {
                Split(kinds, sets, (on is null ? null : cut.ConstantsOf(function)) ?? cut.ValuesOf(function), whose);
            }

            return Distinct(cut, kinds, sets);
        }

        // Each kind of atoms of which some satisfy more rows becomes two.
        private void Split(int[] kinds, List<RowSet> sets, int[] values, RowSet more)
        {
            var split = new Dictionary<int, int>();
            for (int atom = 0; atom < kinds.Length; atom++)
            {
                if (values[atom] == 0)
                {
                    continue;
                }

                if (!split.TryGetValue(kinds[atom], out int kind))
                {
                    split.Add(kinds[atom], kind = sets.Count);
                    var set = new RowSet(rows);
                    set.AddAll(sets[kinds[atom]]);
                    set.AddAll(more);
                    sets.Add(set);
                }

                kinds[atom] = kind;
            }
        }

        private static AddressRows Distinct(AddressCut cut, int[] kinds, List<RowSet> sets)
        {
            int[] numbers = new int[sets.Count];
            var known = new Dictionary<RowSet, int>();
            var distinct = new List<RowSet>();
            for (int atom = 0; atom < kinds.Length; atom++)
            {
                ref int number = ref numbers[kinds[atom]]; // from 1 on
                if (number == 0)
                {
                    RowSet set = sets[kinds[atom]];
                    if (!known.TryGetValue(set, out number))
                    {
                        distinct.Add(set);
                        known.Add(set, number = distinct.Count);
                    }
                }

                kinds[atom] = number - 1;
            }

            return new AddressRows(cut, kinds, [.. distinct]);
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
