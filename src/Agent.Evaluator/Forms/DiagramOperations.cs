using System.Buffers;

namespace Agent.Evaluator.Forms;

/// <summary>A function of two leaves, lifted to diagrams. It remembers what it was asked.</summary>
internal sealed class DiagramMerge(Diagrams diagrams, Func<int, int, int> merge)
{
    private readonly Dictionary<(Diagram, Diagram), Diagram> known = [];

    /// <summary>The diagram whose value at each packet is <c>merge(left, right)</c> there.</summary>
    public Diagram Of(Diagram left, Diagram right)
    {
        if (left.IsLeaf && right.IsLeaf)
        {
            return Diagrams.Leaf(merge(left.Value, right.Value));
        }

        if (!known.TryGetValue((left, right), out Diagram result))
        {
            known.Add((left, right), result = Walk(left, right));
        }

        return result;
    }

    private Diagram Walk(Diagram left, Diagram right)
    {
        PacketField? ofLeft = diagrams.FieldOf(left);
        PacketField? ofRight = diagrams.FieldOf(right);
        PacketField field = ofLeft is PacketField one && (ofRight is not PacketField other || one < other)
            ? one : ofRight!.Value;
        bool splitsLeft = ofLeft == field;
        bool splitsRight = ofRight == field;
        int most = (splitsLeft ? diagrams.Ends(left).Length : 0) + (splitsRight ? diagrams.Ends(right).Length : 0);
        ushort[] ends = ArrayPool<ushort>.Shared.Rent(most);
        Diagram[] children = ArrayPool<Diagram>.Shared.Rent(most);
        int count = 0;
        int l = 0;
        int r = 0;
        ushort max = Diagrams.MaxOf(field);
        for (int end = -1; end < max; count++)
        {
            ushort endLeft = splitsLeft ? diagrams.Ends(left)[l] : max;
            ushort endRight = splitsRight ? diagrams.Ends(right)[r] : max;
            Diagram a = splitsLeft ? diagrams.Children(left)[l] : left;
            Diagram b = splitsRight ? diagrams.Children(right)[r] : right;
            end = Math.Min(endLeft, endRight);
            ends[count] = (ushort)end;
            children[count] = Of(a, b);
            l += splitsLeft && endLeft == end ? 1 : 0;
            r += splitsRight && endRight == end ? 1 : 0;
        }

        Diagram result = diagrams.Node(field, ends.AsSpan(0, count), children.AsSpan(0, count));
        ArrayPool<ushort>.Shared.Return(ends);
        ArrayPool<Diagram>.Shared.Return(children);
        return result;
    }
}

/// <summary>A function of one leaf, lifted to diagrams. It remembers what it was asked.</summary>
/// <param name="diagrams">Where they are.</param>
/// <param name="map">The function.</param>
/// <param name="changes">Of which diagrams some leaf becomes another, or may; null: of all.</param>
internal sealed class DiagramMap(Diagrams diagrams, Func<int, int> map, Func<Diagram, bool>? changes = null)
{
    private readonly Dictionary<Diagram, Diagram> known = [];

    public Diagram Of(Diagram diagram)
    {
        if (changes?.Invoke(diagram) == false)
        {
            return diagram;
        }

        if (diagram.IsLeaf)
        {
            return Diagrams.Leaf(map(diagram.Value));
        }

        if (known.TryGetValue(diagram, out Diagram result))
        {
            return result;
        }

        int count = diagrams.Ends(diagram).Length;
        Diagram[] children = ArrayPool<Diagram>.Shared.Rent(count);
        for (int i = 0; i < count; i++)
        {
            children[i] = Of(diagrams.Children(diagram)[i]);
        }

        result = diagrams.Node(diagrams.FieldOf(diagram)!.Value, diagrams.Ends(diagram), children.AsSpan(0, count));
        ArrayPool<Diagram>.Shared.Return(children);
        known.Add(diagram, result);
        return result;
    }
}
