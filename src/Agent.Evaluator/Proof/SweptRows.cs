using System.Runtime.InteropServices;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What rows of sets come to, by what is in them: a set that changed is swept only where it did.</summary>
internal sealed class SweptRows
{
    /// <summary>Numbers in keys that are kept: 4 bytes each.</summary>
    private const int NumbersMax = 16_000_000;

    private readonly Dictionary<int[], PacketFunction> known = new(SameNumbers.Instance);
    private readonly List<int> key = [];
    private int numbers;

    /// <summary>Swept so far, not remembered: what a test watches.</summary>
    public int Count { get; private set; }

    /// <param name="set">The set; of its name nothing depends.</param>
    /// <param name="rows">Rows of it, ascending.</param>
    /// <param name="fields">Fields that packets decide.</param>
    /// <param name="family">The family of packets.</param>
    /// <param name="sweep">Finds the answer.</param>
    public SetAnswer Of(
        NftSet set, List<int> rows, List<(SymbolKind Kind, int Offset, int Length)> fields,
        IpFamily family, Func<SetAnswer> sweep)
    {
        key.Clear();
        key.AddRange([(int)family, (int)set.Kind, set.Interval ? 1 : 0, set.Key.Count, set.KeyBytes,
            set.Elements.RowBytes, fields.Count]);
        foreach ((SymbolKind kind, int offset, int length) in fields)
        {
            key.AddRange([(int)kind, offset, length]);
        }

        foreach (int row in rows)
        {
            ReadOnlySpan<byte> bytes = set.Elements[row];
            key.AddRange(MemoryMarshal.Cast<byte, int>(bytes));
            foreach (byte rest in bytes[(bytes.Length & ~3)..])
            {
                key.Add(rest);
            }
        }

        Dictionary<int[], PacketFunction>.AlternateLookup<ReadOnlySpan<int>> lookup =
            known.GetAlternateLookup<ReadOnlySpan<int>>();
        if (lookup.TryGetValue(CollectionsMarshal.AsSpan(key), out PacketFunction? found))
        {
            return found;
        }

        SetAnswer answer = sweep();
        Count++;
        if (answer.Rows is PacketFunction swept)
        {
            numbers += key.Count;
            if (numbers > NumbersMax)
            {
                known.Clear();
                numbers = key.Count;
            }

            lookup[CollectionsMarshal.AsSpan(key)] = swept;
        }

        return answer;
    }
}
