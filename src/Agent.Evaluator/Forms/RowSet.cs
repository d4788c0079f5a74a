using System.Numerics;

namespace Agent.Evaluator.Forms;

/// <summary>Some of a form's rows, by rank. Equal by content.</summary>
internal sealed class RowSet(int rows) : IEquatable<RowSet>
{
    private readonly ulong[] words = new ulong[(rows + 63) / 64];

    public static RowSet All(int rows)
    {
        var all = new RowSet(rows);
        for (int row = 0; row < rows; row++)
        {
            all.Add(row);
        }

        return all;
    }

    public void Add(int row) => words[row / 64] |= 1UL << row % 64;

    public void AddAll(RowSet other)
    {
        for (int i = 0; i < words.Length; i++)
        {
            words[i] |= other.words[i];
        }
    }

    /// <returns>The strongest row from <paramref name="from"/> on; -1 if there is none.</returns>
    public int Next(int from) => FirstIn(this, from);

    public bool Contains(int row) => (words[row / 64] >> row % 64 & 1) != 0;

    public RowSet And(RowSet other)
    {
        var both = new RowSet(rows);
        for (int i = 0; i < words.Length; i++)
        {
            both.words[i] = words[i] & other.words[i];
        }

        return both;
    }

    /// <returns>The strongest row that is in both, from <paramref name="from"/> on; -1 if there is none.</returns>
    public int FirstIn(RowSet other, int from = 0)
    {
        for (int i = from / 64; i < words.Length; i++)
        {
            ulong both = words[i] & other.words[i];
            both = i == from / 64 ? both & ulong.MaxValue << from % 64 : both;
            if (both != 0)
            {
                return i * 64 + BitOperations.TrailingZeroCount(both);
            }
        }

        return -1;
    }

    public bool Equals(RowSet? other) => other is not null && words.AsSpan().SequenceEqual(other.words);

    public override bool Equals(object? obj) => Equals(obj as RowSet);

    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (ulong word in words)
        {
            hash.Add(word);
        }

        return hash.ToHashCode();
    }
}
