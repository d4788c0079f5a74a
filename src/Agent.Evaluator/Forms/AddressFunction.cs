using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>A number for every address of one family, piecewise constant.</summary>
/// <remarks>
/// <c>Starts[0]</c> is 0; a piece reaches to the next one's start. Neighbouring pieces differ. Equal by content.
/// </remarks>
internal sealed class AddressFunction : IEquatable<AddressFunction>
{
    private int? hash;

    private AddressFunction(UInt128[] starts, int[] values)
    {
        Starts = starts;
        Values = values;
    }

    public UInt128[] Starts { get; }

    public int[] Values { get; }

    /// <summary>0 everywhere.</summary>
    public static AddressFunction Zero { get; } = new([0], [0]);

    public static AddressFunction Of(UInt128[] starts, int[] values) => new(starts, values);

    /// <summary>1 for the addresses of the prefixes that are of the family, 0 elsewhere.</summary>
    public static AddressFunction Of(IpFamily family, IEnumerable<IpPrefix> prefixes) =>
        Of(family, AddressSet.Of(family, prefixes));

    public static AddressFunction Of(IpFamily family, AddressSet set)
    {
        var builder = new Builder(family, 2 * set.Count + 1);
        for (int i = 0; i < set.Count; i++)
        {
            builder.Add(set[i].First, set[i].Last, 1);
        }

        return builder.Build();
    }

    public int At(UInt128 address)
    {
        int piece = Array.BinarySearch(Starts, address);
        return Values[piece < 0 ? ~piece - 1 : piece];
    }

    public bool Equals(AddressFunction? other) =>
        ReferenceEquals(this, other)
        || (other is not null && GetHashCode() == other.GetHashCode()
            && Starts.AsSpan().SequenceEqual(other.Starts) && Values.AsSpan().SequenceEqual(other.Values));

    public override bool Equals(object? obj) => Equals(obj as AddressFunction);

    public override int GetHashCode()
    {
        if (hash is null)
        {
            HashCode code = default;
            code.AddBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(Starts.AsSpan()));
            code.AddBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(Values.AsSpan()));
            hash = code.ToHashCode();
        }

        return hash.Value;
    }

    /// <summary>Takes disjoint intervals in ascending order; between them the value is 0.</summary>
    public sealed class Builder(IpFamily family, int pieces)
    {
        private readonly List<UInt128> starts = new(pieces) { 0 };
        private readonly List<int> values = new(pieces) { 0 };

        public void Add(UInt128 first, UInt128 last, int value)
        {
            Put(first, value);
            if (last < IpPrefix.Ceiling(family))
            {
                Put(last + 1, 0);
            }
        }

        public AddressFunction Build() => new([.. starts], [.. values]);

        private void Put(UInt128 start, int value)
        {
            if (starts[^1] == start)
            {
                values[^1] = value;
            }
            else if (values[^1] != value)
            {
                starts.Add(start);
                values.Add(value);
                return;
            }

            if (values.Count > 1 && starts[^1] == start && values[^1] == values[^2])
            {
                starts.RemoveAt(starts.Count - 1);
                values.RemoveAt(values.Count - 1);
            }
        }
    }
}
