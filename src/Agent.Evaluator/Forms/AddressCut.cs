using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>The addresses of a family cut into atoms: two addresses of one atom look alike to every function.</summary>
/// <remarks>
/// An atom is a set of intervals. Their number follows the combinations of values that occur, not the number of
/// members behind them.
/// </remarks>
internal sealed class AddressCut
{
    private const int TableMax = 1 << 20;

    private Dictionary<AddressFunction, int[]?>? known;

    private AddressCut(UInt128[] starts, int[] atoms, UInt128[] samples)
    {
        Starts = starts;
        Atoms = atoms;
        Samples = samples;
    }

    /// <summary>One atom.</summary>
    public static AddressCut Whole { get; } = new([0], [0], [0]);

    /// <summary>Starts of the pieces, ascending, the first 0.</summary>
    public UInt128[] Starts { get; }

    /// <summary>The atom of each piece.</summary>
    public int[] Atoms { get; }

    /// <summary>An address of each atom: its lowest, but not 0 if it has another.</summary>
    public UInt128[] Samples { get; }

    /// <summary>Number of atoms.</summary>
    public int Count => Samples.Length;

    public static AddressCut Of(params ReadOnlySpan<AddressFunction> functions) => functions.Length switch
    {
        0 => Whole,
        1 => Meet(Whole.Starts, Whole.Atoms, 1, functions[0].Starts, functions[0].Values),
        int n => Of(functions[..(n / 2)]).Refine(Of(functions[(n / 2)..])),
    };

    /// <summary>The coarsest cut that both are unions of atoms of.</summary>
    public AddressCut Refine(AddressCut other) =>
        Count == 1 ? other : other.Count == 1 ? this : Meet(Starts, Atoms, Count, other.Starts, other.Atoms);

    public AddressCut Refine(AddressFunction function) =>
        Meet(Starts, Atoms, Count, function.Starts, function.Values);

    public int AtomOf(UInt128 address)
    {
        int piece = Array.BinarySearch(Starts, address);
        return Atoms[piece < 0 ? ~piece - 1 : piece];
    }

    /// <summary>The function's value at each atom; it must be constant there.</summary>
    public int[] ValuesOf(AddressFunction function)
    {
        int[] values = new int[Count];
        for (int atom = 0; atom < values.Length; atom++)
        {
            values[atom] = function.At(Samples[atom]);
        }

        return values;
    }

    /// <summary>The same; null: it is not constant at every atom. Remembered as long as the cut lives.</summary>
    public int[]? ConstantsOf(AddressFunction function)
    {
        known ??= [];
        if (!known.TryGetValue(function, out int[]? values))
        {
            known.Add(function, values = FindConstants(function));
        }

        return values;
    }

    /// <summary>One walk along the pieces of both; nothing is made but the answer.</summary>
    public int[]? FindConstants(AddressFunction function)
    {
        int[] values = new int[Count];
        bool[] seen = new bool[Count];
        int piece = 0;
        for (int other = 0; other < function.Starts.Length; other++)
        {
            // Pieces that lie in this one of the function; the next one must begin where one of the function does.
            int end = Starts.Length;
            if (other + 1 < function.Starts.Length)
            {
                end = Array.BinarySearch(Starts, piece, Starts.Length - piece, function.Starts[other + 1]);
                if (end < 0)
                {
                    return null;
                }
            }

            int value = function.Values[other];
            foreach (int atom in Atoms.AsSpan(piece, end - piece))
            {
                if (seen[atom] && values[atom] != value)
                {
                    return null;
                }

                (seen[atom], values[atom]) = (true, value);
            }

            piece = end;
        }

        return values;
    }

    /// <summary>The atom of a coarser cut in which each atom lies.</summary>
    public int[] AtomsIn(AddressCut coarser)
    {
        int[] atoms = new int[Count];
        for (int atom = 0; atom < atoms.Length; atom++)
        {
            atoms[atom] = coarser.AtomOf(Samples[atom]);
        }

        return atoms;
    }

    /// <summary>The intervals of an atom, ascending; inclusive.</summary>
    public IEnumerable<(UInt128 First, UInt128 Last)> IntervalsOf(int atom, IpFamily family)
    {
        for (int i = 0; i < Starts.Length; i++)
        {
            if (Atoms[i] == atom)
            {
                yield return (Starts[i], i + 1 < Starts.Length ? Starts[i + 1] - 1 : IpPrefix.Ceiling(family));
            }
        }
    }

    // Both sides as pieces; each pair of values that meets somewhere is an atom. Exact: no hash stands for a value.
    private static AddressCut Meet(
        UInt128[] leftStarts, int[] left, int leftCount, UInt128[] rightStarts, int[] right)
    {
        var starts = new List<UInt128>(leftStarts.Length + rightStarts.Length);
        var atoms = new List<int>(leftStarts.Length + rightStarts.Length);
        var samples = new List<UInt128>();
        var pairs = new PairNumbers(leftCount, right);
        int l = 0;
        int r = 0;
        UInt128 at = 0;
        while (true)
        {
            int atom = pairs.Of(left[l], right[r]);
            if (atom == samples.Count)
            {
                samples.Add(at);
            }
            else if (samples[atom] == 0)
            {
                samples[atom] = at;
            }

            if (atoms.Count == 0 || atoms[^1] != atom)
            {
                starts.Add(at);
                atoms.Add(atom);
            }

            bool moreLeft = l + 1 < leftStarts.Length;
            bool moreRight = r + 1 < rightStarts.Length;
            if (!moreLeft && !moreRight)
            {
                samples[atom] = samples[atom] == 0 ? 1 : samples[atom];
                return new AddressCut([.. starts], [.. atoms], [.. samples]);
            }

            int order = !moreLeft ? 1 : !moreRight ? -1 : leftStarts[l + 1].CompareTo(rightStarts[r + 1]);
            at = order <= 0 ? leftStarts[l + 1] : rightStarts[r + 1];
            samples[atom] = samples[atom] == 0 && at > 1 ? 1 : samples[atom];
            l += order <= 0 ? 1 : 0;
            r += order >= 0 ? 1 : 0;
        }
    }

    /// <summary>Numbers pairs in the order in which they are first met.</summary>
    private sealed class PairNumbers
    {
        private readonly int width;
        private readonly int[]? table;
        private readonly Dictionary<(int, int), int> others = [];
        private int count;

        public PairNumbers(int leftCount, int[] right)
        {
            int max = 0;
            foreach (int value in right)
            {
                max = Math.Max(max, value);
            }

            width = max < TableMax && (long)leftCount * (max + 1) <= TableMax ? max + 1 : 0;
            table = width > 0 ? new int[leftCount * width] : null;
        }

        public int Of(int left, int right)
        {
            if (table is not null)
            {
                ref int number = ref table[left * width + right];
                number = number == 0 ? ++count : number;
                return number - 1;
            }

            if (!others.TryGetValue((left, right), out int found))
            {
                others.Add((left, right), found = count++);
            }

            return found;
        }
    }
}
