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
