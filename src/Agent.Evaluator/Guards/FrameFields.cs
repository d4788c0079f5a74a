namespace Agent.Evaluator.Guards;

/// <summary>More conditions on one field, or more kinds of values, than this build tells apart.</summary>
internal sealed class TooManyKindsException(string what) : Exception(what);

/// <summary>
/// The fields that conditions on frames of one shape ask for, and for each the classes of values that no condition
/// tells apart.
/// </summary>
/// <remarks>Slices that overlap are one field: a port and the type that stands in its first byte.</remarks>
internal sealed class FrameFields
{
    private const int ClassesMax = 64;
    private const int ConditionsMax = 64;
    private const int WidthMax = 16;

    private readonly List<Field> fields = [];
    private readonly Dictionary<FrameSlice, (int Field, int Offset)> places = [];

    /// <param name="tests">All conditions that will be asked.</param>
    /// <param name="shape">The frames.</param>
    public FrameFields(IReadOnlyCollection<FrameTest> tests, FrameShape shape)
    {
        FrameSlice[] slices = [.. tests.Select(test => test.Slice)
            .Append(FrameShape.SizeSlice).Concat(shape.HasPayloadLength ? [PayloadLength] : [])
            .Distinct().OrderBy(slice => slice.Part).ThenBy(slice => slice.Offset)
            .ThenByDescending(slice => slice.Length)];
        foreach (FrameSlice slice in slices)
        {
            if (fields.Count > 0 && fields[^1].Slice is var last && last.Part == slice.Part && slice.Offset < last.End)
            {
                fields[^1] = new Field(last with { Length = Math.Max(last.End, slice.End) - last.Offset });
            }
            else
            {
                fields.Add(new Field(slice));
            }

            places.Add(slice, (fields.Count - 1, slice.Offset - fields[^1].Slice.Offset));
        }

        foreach (FrameTest test in tests)
        {
            (int field, _) = places[test.Slice];
            fields[field].Add(test, Lift(test, fields[field].Slice));
        }

        foreach (FrameTest test in shape.Domain)
        {
            if (FieldOf(test.Slice) is int field)
            {
                fields[field].Bound(Lift(test, fields[field].Slice));
            }
        }

        foreach (Field field in fields)
        {
            field.Classify();
        }
    }

    /// <summary>Of an IPv6 header.</summary>
    public static readonly FrameSlice PayloadLength = new(FramePart.Network, 4, 2);

    public int Count => fields.Count;

    /// <summary>There are no such frames.</summary>
    public bool IsEmpty => fields.Exists(one => one.Classes.Count == 0);

    public FrameSlice SliceOf(int field) => fields[field].Slice;

    public int ClassesOf(int field) => fields[field].Classes.Count;

    /// <summary>Values of a class.</summary>
    public IReadOnlyList<(UInt128 First, UInt128 Last)> ValuesOf(int field, int @class) =>
        fields[field].Classes[@class].Values;

    /// <summary>The class of a value; -1: no frame of the shape has it.</summary>
    public int ClassOf(int field, UInt128 value) => fields[field].Classes.FindIndex(one =>
        one.Values.Any(range => range.First <= value && value <= range.Last));

    /// <summary>The field that holds a slice, if any does.</summary>
    public int? FieldOf(FrameSlice slice)
    {
        int found = fields.FindIndex(field => field.Slice.Part == slice.Part
            && field.Slice.Offset <= slice.Offset && slice.End <= field.Slice.End);
        return found < 0 ? null : found;
    }

    /// <summary>The classes that fulfil a condition, a bit for each.</summary>
    public (int Field, ulong Classes) Of(FrameTest test)
    {
        (int field, _) = places[test.Slice];
        return (field, fields[field].Fulfilling(test));
    }

    private static FrameSet Lift(FrameTest test, FrameSlice field)
    {
        return field.Length > WidthMax ? throw new TooManyKindsException($"fields overlap at {field}")
            : test.Values.Within(field.Length, test.Slice.Offset - field.Offset)
                ?? throw new TooManyKindsException($"conditions overlap at {field}");
    }

    private sealed class Field(FrameSlice slice)
    {
        private readonly List<FrameSet> bounds = [];
        private readonly List<FrameSet> conditions = [];
        private readonly Dictionary<FrameTest, int> numbers = [];
        private readonly List<ulong> fulfilling = [];

        public FrameSlice Slice => slice;

        public List<Kind> Classes { get; } = [];

        public void Bound(FrameSet values) => bounds.Add(values);

        public void Add(FrameTest test, FrameSet values)
        {
            if (numbers.TryAdd(test, conditions.Count))
            {
                conditions.Add(values);
            }
        }

        public ulong Fulfilling(FrameTest test) => fulfilling[numbers[test]];

        /// <summary>Cuts the field wherever a condition does, and joins what none tells apart.</summary>
        public void Classify()
        {
            if (conditions.Count > ConditionsMax)
            {
                throw new TooManyKindsException($"too many conditions on {slice}");
            }

            UInt128[] starts = Starts();
            var numberOf = new Dictionary<ulong, int>();
            UInt128 ceiling = FrameSet.CeilingOf(slice.Length);
            for (int i = 0; i < starts.Length; i++)
            {
                UInt128 start = starts[i];
                UInt128 last = i + 1 < starts.Length ? starts[i + 1] - 1 : ceiling;
                if (!bounds.TrueForAll(bound => bound.Contains(start)))
                {
                    continue;
                }

                ulong signature = SignatureOf(start);
                if (!numberOf.TryGetValue(signature, out int number))
                {
                    numberOf.Add(signature, number = Classes.Count);
                    Classes.Add(new Kind(signature, []));
                }

                Classes[number].Values.Add((start, last));
            }

            if (Classes.Count > ClassesMax)
            {
                throw new TooManyKindsException($"too many kinds of {slice}");
            }

            for (int condition = 0; condition < conditions.Count; condition++)
            {
                ulong classes = 0;
                for (int one = 0; one < Classes.Count; one++)
                {
                    classes |= (Classes[one].Signature >> condition & 1) << one;
                }

                fulfilling.Add(classes);
            }
        }

        private ulong SignatureOf(UInt128 value)
        {
            ulong signature = 0;
            for (int condition = 0; condition < conditions.Count; condition++)
            {
                signature |= conditions[condition].Contains(value) ? 1ul << condition : 0;
            }

            return signature;
        }

        private UInt128[] Starts()
        {
            UInt128 ceiling = FrameSet.CeilingOf(slice.Length);
            var starts = new List<UInt128> { 0 };
            foreach (FrameSet set in conditions.Concat(bounds))
            {
                foreach ((UInt128 first, UInt128 last) in set.Ranges)
                {
                    starts.Add(first);
                    if (last < ceiling)
                    {
                        starts.Add(last + 1);
                    }
                }
            }

            starts.Sort();
            return [.. starts.Distinct()];
        }
    }

    private readonly record struct Kind(ulong Signature, List<(UInt128 First, UInt128 Last)> Values);
}
