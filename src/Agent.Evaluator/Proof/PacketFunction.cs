using System.Runtime.CompilerServices;
using Agent.Evaluator.Forms;

namespace Agent.Evaluator.Proof;

/// <summary>A number for every packet of one family: by the atoms of its two addresses, then by a diagram.</summary>
/// <param name="sources">Atoms of the source address.</param>
/// <param name="destinations">Atoms of the destination address.</param>
/// <param name="classes">
/// The class of each pair of atoms, <c>source * destinations.Count + destination</c>.
/// </param>
/// <param name="diagrams">The diagram of each class; all different.</param>
internal sealed class PacketFunction(AddressCut sources, AddressCut destinations, int[] classes, Diagram[] diagrams)
{
    private (PacketFunction[] Results, PacketFunction Bound)? first; // most have no other
    private Dictionary<PacketFunction[], PacketFunction>? derived;
    private static readonly int[] OneClass = [0];

    private int[]? leaves;
    private int[]? running;

    /// <summary>The same for all addresses.</summary>
    public static PacketFunction Unaddressed(Diagram diagram) =>
        new(AddressCut.Whole, AddressCut.Whole, OneClass, [diagram]);

    public AddressCut Sources => sources;

    public AddressCut Destinations => destinations;

    public int[] Classes => classes;

    public Diagram[] Diagrams => diagrams;

    public bool IsConstant => diagrams.Length == 1 && diagrams[0].IsLeaf;

    /// <summary>No address matters.</summary>
    public bool IsUnaddressed => diagrams.Length == 1;

    public Diagram At(int source, int destination) => diagrams[classes[source * destinations.Count + destination]];

    /// <summary>The values that it takes; those of a kind, if there is a filter.</summary>
    /// <param name="all">Where the diagrams are.</param>
    /// <param name="filter">Always the same one, or null.</param>
    public int[] Leaves(Diagrams all, LeafFilter? filter)
    {
        ref int[]? known = ref filter is null ? ref leaves : ref running;
        if (known is null && diagrams.Length == 1)
        {
            known = Of(diagrams[0]);
        }
        else if (known is null)
        {
            var values = new HashSet<int>();
            foreach (Diagram diagram in diagrams)
            {
                values.UnionWith(Of(diagram));
            }

            known = [.. values];
            Array.Sort(known);
        }

        return known;

        int[] Of(Diagram diagram) => filter is null ? all.Leaves(diagram) : filter.Of(all, diagram);
    }

    /// <summary>What this function became before, when each of its leaves was replaced by the same function.</summary>
    public PacketFunction? Derived(PacketFunction[] results) =>
        first is { } one && SameObjects.Instance.Equals(one.Results, results) ? one.Bound
            : derived?.GetValueOrDefault(results);

    public void Derive(PacketFunction[] results, PacketFunction bound)
    {
        if (first is null)
        {
            first = (results, bound);
        }
        else
        {
            (derived ??= new(SameObjects.Instance)).Add(results, bound);
        }
    }

    /// <summary>Of what a chain has made of packets: the same where it was jumped to; null: nobody asked yet.</summary>
    public PacketFunction? Resumed { get; set; }

    /// <summary>Equal for all packets, as far as can be seen without cutting further.</summary>
    public bool Same(PacketFunction other) =>
        ReferenceEquals(this, other)
        || (IsUnaddressed && other.IsUnaddressed && diagrams[0] == other.Diagrams[0])
        || (ReferenceEquals(sources, other.Sources) && ReferenceEquals(destinations, other.Destinations)
            && diagrams.AsSpan().SequenceEqual(other.Diagrams) && classes.AsSpan().SequenceEqual(other.Classes));
}

/// <summary>Lists of functions are equal if they are the same objects in the same order.</summary>
internal sealed class SameObjects : IEqualityComparer<PacketFunction[]>
{
    public static readonly SameObjects Instance = new();

    public bool Equals(PacketFunction[]? x, PacketFunction[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(PacketFunction[] functions)
    {
        int hash = functions.Length;
        foreach (PacketFunction one in functions)
        {
            hash = unchecked(hash * 0x5bd1e995 + RuntimeHelpers.GetHashCode(one));
        }

        return hash;
    }
}
