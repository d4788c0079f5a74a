using System.Collections.Immutable;
using System.Globalization;
using Agent.Evaluator.Forms;
using Agent.Policy;

namespace Agent.Evaluator.Wording;

/// <summary>A set of protocols and ports: some boxes, or everything but some boxes. Exact.</summary>
/// <param name="Boxes">Disjoint, ascending.</param>
/// <param name="AllBut">The boxes are what is left out.</param>
internal sealed record ServiceSet(ImmutableArray<PacketBox> Boxes, bool AllBut)
{
    /// <summary>Boxes in one text; more are counted.</summary>
    private const int NamesMax = 10;

    /// <param name="diagrams">Where the diagram is.</param>
    /// <param name="inside">1 for packets of the set, 0 for others.</param>
    public static ServiceSet Of(Diagrams diagrams, Diagram inside)
    {
        PacketBox[] boxes = [.. diagrams.Boxes(inside)];
        ImmutableArray<PacketBox> within = [.. boxes.Where(box => box.Value == 1)];
        ImmutableArray<PacketBox> without = [.. boxes.Where(box => box.Value == 0)];
        return within.Length > 1 && without.Length < within.Length
            ? new ServiceSet(without, AllBut: true) : new ServiceSet(within, AllBut: false);
    }

    /// <summary>The diagram with 1 inside a box and 0 elsewhere.</summary>
    public static Diagram DiagramOf(Diagrams diagrams, PacketBox box)
    {
        Diagram inside = Diagrams.Leaf(1);
        foreach ((PacketField field, PortRange range) in (ReadOnlySpan<(PacketField, PortRange)>)
        [
            (PacketField.Source, box.Source), (PacketField.Destination, box.Destination),
            (PacketField.Protocol, box.Protocol),
        ])
        {
            inside = range.First == 0 && range.Last == Diagrams.MaxOf(field) ? inside
                : diagrams.Where(field, range.First, range.Last, inside, Diagrams.Leaf(0));
        }

        return inside;
    }

    public bool Contains(PacketTuple packet) => AllBut != Boxes.Any(box =>
        box.Protocol.Contains(packet.Protocol) && box.Destination.Contains(packet.DestinationPort)
        && box.Source.Contains(packet.SourcePort));

    /// <summary>"tcp 22, udp 53-54", "tcp 80 (source ports 1024-65535)", "every protocol but tcp 25".</summary>
    public override string ToString()
    {
        string[] names = [.. Boxes.Take(NamesMax).Select(Name)];
        string list = string.Join(", ", names)
            + (Boxes.Length > names.Length ? $" and {Boxes.Length - names.Length} more" : "");
        return AllBut ? $"every protocol but {list}" : list;
    }

    private static string Name(PacketBox box)
    {
        string service = (box with { Source = PortRange.All }).ToString();
        return box.Source == PortRange.All ? service
            : box.Source.First == box.Source.Last
            ? string.Create(CultureInfo.InvariantCulture, $"{service} (source port {box.Source.First})")
            : string.Create(
                CultureInfo.InvariantCulture, $"{service} (source ports {box.Source.First}-{box.Source.Last})");
    }
}
