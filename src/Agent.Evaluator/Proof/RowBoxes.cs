using System.Buffers.Binary;
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

        (PacketField field, int offset, int length) = fields[index];
        int max = Diagrams.MaxOf(field);
        var opening = new SortedDictionary<int, List<(int Row, bool Opens)>>();
        foreach (int row in rows)
        {
            int first = Value(First(row).Slice(offset, length));
            int last = Value(Last(row).Slice(offset, length));
            if (first <= last)
            {
                At(opening, first).Add((row, true));
                At(opening, last + 1).Add((row, false));
            }
        }

        var ends = new List<ushort>();
        var children = new List<Diagram>();
        var open = new List<int>();
        Diagram current = Diagrams.Leaf(0);
        foreach ((int start, List<(int Row, bool Opens)> events) in opening)
        {
            if (start > 0)
            {
                ends.Add((ushort)(start - 1));
                children.Add(current);
            }

            foreach ((int row, bool opens) in events)
            {
                if (opens)
                {
                    open.Add(row);
                }
                else
                {
                    open.Remove(row);
                }
            }

            current = Sweep(open, fields, index + 1);
        }

        if (ends.Count == 0 || ends[^1] < max)
        {
            ends.Add((ushort)max);
            children.Add(current);
        }

        return functions.Diagrams.Node(field, [.. ends], [.. children]);
    }

    private int DataOf(List<int> rows)
    {
        int found = rows.Count == 0 ? 0 : dataOfRow[rows[0]];
        return rows.TrueForAll(row => dataOfRow[row] == found) ? found : SetNode.Ambiguous;
    }

    private static List<(int Row, bool Opens)> At(SortedDictionary<int, List<(int Row, bool Opens)>> events, int at)
    {
        if (!events.TryGetValue(at, out List<(int Row, bool Opens)>? here))
        {
            events.Add(at, here = []);
        }

        return here;
    }

    private ReadOnlySpan<byte> First(int row) => set.Elements[row][..set.KeyBytes];

    private ReadOnlySpan<byte> Last(int row) =>
        set.Interval ? set.Elements[row].Slice(set.KeyBytes, set.KeyBytes) : First(row);

    private static int Value(ReadOnlySpan<byte> bytes) =>
        bytes.Length == 1 ? bytes[0] : BinaryPrimitives.ReadUInt16BigEndian(bytes);
}
