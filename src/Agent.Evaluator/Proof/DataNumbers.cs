using System.Runtime.InteropServices;
using Agent.Evaluator.Forms;

namespace Agent.Evaluator.Proof;

/// <summary>Numbers what elements of maps carry, from 1 on: equal bytes have one number, in whatever set.</summary>
internal sealed class DataNumbers
{
    private readonly List<byte[]> data = [];
    private readonly Dictionary<string, int> numbers = new(StringComparer.Ordinal);

    public int Count => data.Count;

    public ReadOnlySpan<byte> this[int number] => data[number - 1];

    public int Of(ReadOnlySpan<byte> bytes)
    {
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> known =
            numbers.GetAlternateLookup<ReadOnlySpan<char>>();
        Span<char> text = stackalloc char[bytes.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            text[i] = (char)bytes[i];
        }

        if (!known.TryGetValue(text, out int number))
        {
            data.Add(bytes.ToArray());
            known[text] = number = data.Count;
        }

        return number;
    }
}

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
        Nftables.NftSet set, List<int> rows, List<(SymbolKind Kind, int Offset, int Length)> fields,
        Policy.IpFamily family, Func<SetAnswer> sweep)
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
