using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Agent.Evaluator.Forms;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>Rows of a set as boxes over fields of the packet, swept field by field into a packet function.</summary>
internal sealed class RowBoxes(NftSet set, int[] dataOfRow, PacketFunctions functions, IpFamily family)
{
    /// <param name="rows">Rows whose other fields match.</param>
    /// <param name="fields">Fields that packets decide: at most one address.</param>
    public SetAnswer Of(List<int> rows, List<(SymbolKind Kind, int Offset, int Length)> fields)
    {
        var small = new List<(PacketField Field, int Offset, int Length)>();
        (bool Source, int Offset)? address = null;
        foreach ((SymbolKind kind, int offset, int length) in fields)
        {
            switch (kind)
            {
                case SymbolKind.Protocol:
                    small.Add((PacketField.Protocol, offset, length));
                    break;
                case SymbolKind.DestinationPort:
                    small.Add((PacketField.Destination, offset, length));
                    break;
                case SymbolKind.SourcePort:
                    small.Add((PacketField.Source, offset, length));
                    break;
                case SymbolKind.SourceAddress or SymbolKind.DestinationAddress when address is null:
                    address = (kind == SymbolKind.SourceAddress, offset);
                    break;
                default:
                    return SetAnswer.Unknown($"{set.Name} is looked up by two addresses");
            }
        }

        small.Sort((one, other) => one.Field.CompareTo(other.Field));
        if (small.DistinctBy(field => field.Field).Count() < small.Count)
        {
            return SetAnswer.Unknown($"{set.Name} is looked up by one field twice");
        }

        return address is { } of ? ByAddress(rows, small, of.Source, of.Offset) : functions.Of(Sweep(rows, small, 0));
    }

    private PacketFunction ByAddress(
        List<int> rows, List<(PacketField Field, int Offset, int Length)> small, bool source, int offset)
    {
        int length = family == IpFamily.V4 ? 4 : 16;
        (UInt128 First, UInt128 Last, int Row)[] ranges = [.. rows.Select(row => (
            SetNode.Number(First(row).Slice(offset, length)), SetNode.Number(Last(row).Slice(offset, length)), row))];
        var starts = new SortedSet<UInt128> { 0 };
        foreach ((UInt128 first, UInt128 last, _) in ranges)
        {
            starts.Add(first);
            if (last < IpPrefix.Ceiling(family))
            {
                starts.Add(last + 1);
            }
        }

        UInt128[] at = [.. starts];
        var diagrams = new List<Diagram>();
        int[] values = [.. at.Select(start =>
        {
            List<int> here = [.. ranges.Where(r => r.First <= start && start <= r.Last).Select(range => range.Row)];
            Diagram diagram = Sweep(here, small, 0);
            int number = diagrams.IndexOf(diagram);
            if (number < 0)
            {
                number = diagrams.Count;
                diagrams.Add(diagram);
            }

            return number;
        })];
        PacketFunction pieces = functions.Of(AddressFunction.Of(at, values), source);
        return functions.Bind(pieces, null, number => functions.Of(diagrams[number]));
    }

    private Diagram Sweep(List<int> rows, List<(PacketField Field, int Offset, int Length)> fields, int index)
    {
        if (rows.Count == 0 || index == fields.Count)
        {
            return Diagrams.Leaf(DataOf(rows));
        }

        (int First, int Last, int Row)[] ranges = RangesOf(rows, fields[index]);
        var ends = new List<ushort>(2 * ranges.Length + 1);
        var children = new List<Diagram>(2 * ranges.Length + 1);
        var open = new List<(int First, int Last, int Row)>();
        int max = Diagrams.MaxOf(fields[index].Field);
        int next = 0;
        for (int at = 0; at <= max;)
        {
            Close(open, at);
            for (; next < ranges.Length && ranges[next].First == at; next++)
            {
                open.Add(ranges[next]);
            }

            int end = next < ranges.Length ? ranges[next].First - 1 : max;
            foreach ((_, int last, _) in open)
            {
                end = Math.Min(end, last);
            }

            ends.Add((ushort)end);
            children.Add(open.Count == 0 ? Diagrams.Leaf(0)
                : index + 1 == fields.Count ? Diagrams.Leaf(DataOf(open))
                : Sweep([.. open.Select(range => range.Row)], fields, index + 1));
            at = end + 1;
        }

        return functions.Diagrams.Node(
            fields[index].Field, CollectionsMarshal.AsSpan(ends), CollectionsMarshal.AsSpan(children));
    }

    private static void Close(List<(int First, int Last, int Row)> open, int before)
    {
        int kept = 0;
        for (int i = 0; i < open.Count; i++)
        {
            if (open[i].Last >= before)
            {
                open[kept++] = open[i];
            }
        }

        open.RemoveRange(kept, open.Count - kept);
    }

    // Without those that no value satisfies; most sets have their rows in this order already.
    private (int First, int Last, int Row)[] RangesOf(List<int> rows, (PacketField, int Offset, int Length) field)
    {
        var ranges = new (int First, int Last, int Row)[rows.Count];
        int count = 0;
        bool sorted = true;
        foreach (int row in rows)
        {
            int first = LowerBound(First(row)[field.Offset..], field.Length);
            int last = Value(Last(row).Slice(field.Offset, field.Length));
            if (first <= last)
            {
                sorted &= count == 0 || ranges[count - 1].First <= first;
                ranges[count++] = (first, last, row);
            }
        }

        Array.Resize(ref ranges, count);
        if (!sorted)
        {
            Array.Sort(ranges);
        }

        return ranges;
    }

    // What pads a field is compared too: a packet has zeros there, and is less than a bound that has not.
    private int LowerBound(ReadOnlySpan<byte> bytes, int length)
    {
        int padded = set.Key.Count == 1 ? length : length + 3 & ~3;
        return Value(bytes[..length]) + (bytes[length..padded].ContainsAnyExcept((byte)0) ? 1 : 0);
    }

    private int DataOf(List<int> rows)
    {
        int found = rows.Count == 0 ? 0 : dataOfRow[rows[0]];
        return rows.TrueForAll(row => dataOfRow[row] == found) ? found : SetNode.Ambiguous;
    }

    private int DataOf(List<(int First, int Last, int Row)> open)
    {
        int found = dataOfRow[open[0].Row];
        foreach ((_, _, int row) in open)
        {
            if (dataOfRow[row] != found)
            {
                return SetNode.Ambiguous;
            }
        }

        return found;
    }

    private ReadOnlySpan<byte> First(int row) => set.Elements[row][..set.KeyBytes];

    private ReadOnlySpan<byte> Last(int row) =>
        set.Interval ? set.Elements[row].Slice(set.KeyBytes, set.KeyBytes) : First(row);

    private static int Value(ReadOnlySpan<byte> bytes) =>
        bytes.Length == 1 ? bytes[0] : BinaryPrimitives.ReadUInt16BigEndian(bytes);
}
