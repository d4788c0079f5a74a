using System.Runtime.InteropServices;

namespace Agent.Evaluator.Forms;

/// <summary>
/// Verdicts over protocol and ports by what the rows that decide them say, whatever their rank or their form: a form
/// that differs from another in one row computes only what that row takes part in.
/// </summary>
internal sealed class PortVerdicts
{
    /// <summary>Numbers in keys that are kept: 4 bytes each.</summary>
    private const int NumbersMax = 8_000_000;

    private readonly Dictionary<int[], int> conditions = new(SameNumbers.Instance);
    private readonly Dictionary<int[], Diagram> known = new(SameNumbers.Instance);
    private readonly List<int> key = [];
    private int numbers;

    /// <summary>Computed so far, not remembered: what a test watches.</summary>
    public int Computed { get; private set; }

    /// <summary>A number for a row's verdict, protocol and ports, the same whenever these are.</summary>
    public int NumberOf(PolicyRow row)
    {
        int[] condition = [row.Accepts ? 1 : 0, row.Protocol ?? -1, row.Source?.First ?? -1, row.Source?.Last ?? -1,
            row.Destination is null ? 0 : 1,
            .. (row.Destination ?? []).SelectMany(range => (int[])[range.First, range.Last])];
        if (!conditions.TryGetValue(condition, out int number))
        {
            conditions.Add(condition, number = 2 * conditions.Count + (IsLast(row) ? 1 : 0));
        }

        return number;
    }

    // Nothing behind such a row is asked.
    private static bool IsLast(PolicyRow row) => row is { Protocol: null, Destination: null, Source: null };

    /// <param name="rows">Computes it.</param>
    /// <param name="numbersOf">Of each row.</param>
    /// <param name="addressed">Rows whose address conditions hold.</param>
    public Diagram Of(PortRows rows, int[] numbersOf, RowSet addressed)
    {
        key.Clear();
        for (int row = addressed.Next(0); row >= 0; row = addressed.Next(row + 1))
        {
            key.Add(numbersOf[row]);
            if ((numbersOf[row] & 1) != 0)
            {
                break;
            }
        }

        Dictionary<int[], Diagram>.AlternateLookup<ReadOnlySpan<int>> lookup =
            known.GetAlternateLookup<ReadOnlySpan<int>>();
        if (!lookup.TryGetValue(CollectionsMarshal.AsSpan(key), out Diagram found))
        {
            found = rows.Of(addressed);
            Computed++;
            numbers += key.Count;
            if (numbers > NumbersMax)
            {
                known.Clear();
                numbers = key.Count;
            }

            lookup[CollectionsMarshal.AsSpan(key)] = found;
        }

        return found;
    }
}

/// <summary>Lists of numbers are equal by content.</summary>
internal sealed class SameNumbers : IEqualityComparer<int[]>, IAlternateEqualityComparer<ReadOnlySpan<int>, int[]>
{
    public static readonly SameNumbers Instance = new();

    public bool Equals(int[]? x, int[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(int[] numbers) => GetHashCode(numbers.AsSpan());

    public bool Equals(ReadOnlySpan<int> alternate, int[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(ReadOnlySpan<int> alternate)
    {
        HashCode hash = default;
        hash.AddBytes(MemoryMarshal.AsBytes(alternate));
        return hash.ToHashCode();
    }

    public int[] Create(ReadOnlySpan<int> alternate) => alternate.ToArray();
}
