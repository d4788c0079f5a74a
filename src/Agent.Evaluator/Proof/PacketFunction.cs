using Agent.Evaluator.Forms;

namespace Agent.Evaluator.Proof;

/// <summary>A number for every packet of one family: by the atoms of its two addresses, then by a diagram.</summary>
/// <param name="Sources">Atoms of the source address.</param>
/// <param name="Destinations">Atoms of the destination address.</param>
/// <param name="Classes">
/// The class of each pair of atoms, <c>source * Destinations.Count + destination</c>.
/// </param>
/// <param name="Diagrams">The diagram of each class; all different.</param>
internal sealed record PacketFunction(
    AddressCut Sources, AddressCut Destinations, int[] Classes, Diagram[] Diagrams)
{
    private static readonly int[] OneClass = [0];

    public bool IsConstant => Diagrams.Length == 1 && Diagrams[0].IsLeaf;

    /// <summary>No address matters.</summary>
    public bool IsUnaddressed => Diagrams.Length == 1;

    public static PacketFunction Of(Diagram diagram) => new(AddressCut.Whole, AddressCut.Whole, OneClass, [diagram]);

    public static PacketFunction Of(int value) => Of(Forms.Diagrams.Leaf(value));

    public Diagram At(int source, int destination) => Diagrams[Classes[source * Destinations.Count + destination]];

    /// <summary>Equal for all packets, as far as can be seen without cutting further.</summary>
    public bool Same(PacketFunction other) =>
        ReferenceEquals(this, other)
        || (IsUnaddressed && other.IsUnaddressed && Diagrams[0] == other.Diagrams[0])
        || (ReferenceEquals(Sources, other.Sources) && ReferenceEquals(Destinations, other.Destinations)
            && Diagrams.AsSpan().SequenceEqual(other.Diagrams) && Classes.AsSpan().SequenceEqual(other.Classes));
}
