namespace Agent.Evaluator.Forms;

/// <summary>
/// The diagram of the packets that answer: source and destination port changed places. It asks for nothing but
/// protocol and ports.
/// </summary>
internal sealed class DiagramMirror(Diagrams diagrams)
{
    private readonly Dictionary<Diagram, Diagram> known = [];

    public Diagram Of(Diagram diagram)
    {
        if (diagram.IsLeaf)
        {
            return diagram;
        }

        if (!known.TryGetValue(diagram, out Diagram mirrored))
        {
            known.Add(diagram, mirrored = Mirror(diagram));
        }

        return mirrored;
    }

    private Diagram Mirror(Diagram diagram)
    {
        ushort[] ends = diagrams.Ends(diagram).ToArray();
        Diagram[] children = diagrams.Children(diagram).ToArray();
        switch (diagrams.FieldOf(diagram))
        {
            case PacketField.Protocol:
                return diagrams.Node(PacketField.Protocol, ends, [.. children.Select(Of)]);
            case PacketField.Source:
                return diagrams.Node(PacketField.Destination, ends, children);
            case PacketField.Destination:
                return Turn(ends, children);
            default:
                throw new ArgumentException("a diagram of more than protocol and ports", nameof(diagram));
        }
    }

    private Diagram Turn(ushort[] ends, Diagram[] children)
    {
        var sources = new SortedSet<ushort> { ushort.MaxValue };
        foreach (Diagram child in children)
        {
            foreach (ushort end in child.IsLeaf ? [] : diagrams.Ends(child))
            {
                sources.Add(end);
            }
        }

        ushort[] turned = [.. sources];
        return diagrams.Node(PacketField.Destination, turned, [.. turned.Select(source => diagrams.Node(
            PacketField.Source, ends, [.. children.Select(child => At(child, source))]))]);
    }

    private Diagram At(Diagram child, ushort source)
    {
        if (child.IsLeaf)
        {
            return child;
        }

        int edge = diagrams.Ends(child).BinarySearch(source);
        return diagrams.Children(child)[edge < 0 ? ~edge : edge];
    }
}
