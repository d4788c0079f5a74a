using Agent.Evaluator.Forms;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Composes packet functions. What it computes is canonical per pair of atoms: two functions are equal if and only if
/// their diagrams are, pair by pair.
/// </summary>
internal sealed class PacketFunctions(Diagrams diagrams)
{
    /// <summary>Leaves from here on stand for a diagram that is put in their place.</summary>
    private const int FirstPlaceholder = 1 << 28;

    /// <summary>More pairs of atoms than a function may tell apart; beyond it there is no proof.</summary>
    public const int PairsMax = 1 << 23;

    private readonly List<DiagramMerge> placements = [];
    private readonly Dictionary<(AddressCut, AddressCut), AddressCut> joints = [];
    private readonly Dictionary<(AddressCut, AddressCut), int[]> inclusions = [];
    private readonly Dictionary<AddressFunction, AddressCut> cuts = [];
    private readonly Dictionary<(Diagram, int, Diagram, int, Diagram), Diagram> substitutions = [];
    private readonly Paged<PacketFunction?> unaddressed = new();
    private readonly Dictionary<int, PacketFunction> constants = [];
    private readonly Dictionary<(AddressFunction, bool), PacketFunction> addresses = [];

    /// <summary>Pieces of cuts that are remembered: some 20 MB of them, 20 bytes each.</summary>
    private const int PiecesMax = 1_000_000;

    /// <summary>
    /// What is made of more leaves is not remembered: they are all classes of a VPC, which change with its next member,
    /// and it is as large as they are.
    /// </summary>
    private const int DerivedMax = 1024;

    private long pieces;

    /// <summary>Functions that were computed, not remembered: what a test watches.</summary>
    public long Steps { get; private set; }

    /// <summary>Pieces of cuts that were made: likewise.</summary>
    public long PiecesMade { get; private set; }

    public Diagrams Diagrams => diagrams;

    public DiagramMirror Mirror { get; } = new(diagrams);

    public DataNumbers Data { get; } = new();

    public SweptRows Swept { get; } = new();

    /// <summary>Where a header is that long, if there is a session, by bytes and family.</summary>
    public Dictionary<(int Bytes, Policy.IpFamily), Diagram> Transports { get; } = [];

    /// <summary>Forgets cuts of addresses if there are many: they are found again.</summary>
    public void Trim()
    {
        if (pieces > PiecesMax)
        {
            joints.Clear();
            inclusions.Clear();
            cuts.Clear();
            addresses.Clear();
            pieces = 0;
        }
    }

    /// <summary>Conditions that were found by trying all values of a field.</summary>
    public Dictionary<string, PacketFunction> Conditions { get; } = new(StringComparer.Ordinal);

    /// <summary>Entries of the memos: what a cache's owner watches.</summary>
    public int Size => diagrams.Count + joints.Count + substitutions.Count + Data.Count;

    /// <summary>The same diagram for all addresses: one object for each.</summary>
    public PacketFunction Of(Diagram diagram)
    {
        if (diagram.IsLeaf)
        {
            return Of(diagram.Value);
        }

        unaddressed.Reach(diagram.Ref);
        return unaddressed[diagram.Ref] ??= PacketFunction.Unaddressed(diagram);
    }

    public PacketFunction Of(int value)
    {
        if (!constants.TryGetValue(value, out PacketFunction? known))
        {
            constants.Add(value, known = PacketFunction.Unaddressed(Diagrams.Leaf(value)));
        }

        return known;
    }

    /// <summary>The value of a function of one of the addresses.</summary>
    public PacketFunction Of(AddressFunction function, bool source)
    {
        if (!addresses.TryGetValue((function, source), out PacketFunction? known))
        {
            AddressCut cut = CutOf(function);
            int[] values = cut.ValuesOf(function);
            known = Compressed(
                source ? cut : AddressCut.Whole, source ? AddressCut.Whole : cut, [.. Enumerable.Range(0, cut.Count)],
                [.. values.Select(Diagrams.Leaf)]);
            addresses.Add((function, source), known);
        }

        return known;
    }

    public PacketFunction Map(PacketFunction from, Func<int, int> map) => Bind(from, null, leaf => Of(map(leaf)));

    /// <summary>Replaces each value by the value that <paramref name="next"/>'s function has at the packet.</summary>
    /// <param name="from">The function.</param>
    /// <param name="movers">Leaves to replace; null: all.</param>
    /// <param name="next">Asked once for each leaf.</param>
    /// <returns>The same object if the same was asked before: what follows is then known as well.</returns>
    public PacketFunction Bind(PacketFunction from, LeafFilter? movers, Func<int, PacketFunction> next)
    {
        int[] moving = from.Leaves(diagrams, movers);
        var results = new PacketFunction[moving.Length];
        for (int i = 0; i < results.Length; i++)
        {
            results[i] = next(moving[i]);
        }

        return Bind(from, movers, results);
    }

    /// <summary>The same, with what each leaf to replace becomes, in the order of the leaves.</summary>
    public PacketFunction Bind(PacketFunction from, LeafFilter? movers, PacketFunction[] results)
    {
        int[] moving = from.Leaves(diagrams, movers);
        bool changed = false;
        for (int i = 0; i < results.Length; i++)
        {
            changed |= !results[i].IsConstant || results[i].Diagrams[0].Value != moving[i];
        }

        if (!changed || from.IsConstant)
        {
            return changed ? results[0] : from;
        }

        PacketFunction? bound = from.Derived(results);
        if (bound is null)
        {
            bound = Bound(from, movers, moving, results);
            Steps++;
            if (results.Length < DerivedMax)
            {
                from.Derive(results, bound);
            }
        }

        return bound;
    }

    private PacketFunction Bound(PacketFunction from, LeafFilter? movers, int[] moving, PacketFunction[] results)
    {
        var all = new LeafResults(moving, results);
        AddressCut sources = from.Sources;
        AddressCut destinations = from.Destinations;
        foreach (PacketFunction result in results)
        {
            if (!result.IsUnaddressed)
            {
                sources = Joint(sources, result.Sources);
                destinations = Joint(destinations, result.Destinations);
            }
        }

        return Array.TrueForAll(results, result => result.IsUnaddressed)
            ? Unaddressed(from, movers, all)
            : Addressed(from, movers, all, sources, destinations);
    }

    private AddressCut CutOf(AddressFunction function)
    {
        if (!cuts.TryGetValue(function, out AddressCut? cut))
        {
            cuts.Add(function, cut = AddressCut.Of(function));
            pieces += cut.Starts.Length;
            PiecesMade += cut.Starts.Length;
        }

        return cut;
    }

    /// <summary>The coarsest cut that both are made of.</summary>
    public AddressCut Joint(AddressCut one, AddressCut other)
    {
        if (ReferenceEquals(one, other) || other.Count == 1)
        {
            return one;
        }

        if (one.Count == 1)
        {
            return other;
        }

        if (!joints.TryGetValue((one, other), out AddressCut? joint))
        {
            joint = one.Refine(other);
            joint = joint.Count == one.Count ? one : joint.Count == other.Count ? other : joint;
            joints.Add((one, other), joint);
            pieces += joint.Starts.Length;
            PiecesMade += joint.Starts.Length;
        }

        return joint;
    }

    /// <summary>The class of each pair of atoms of finer cuts.</summary>
    public int[] Pull(PacketFunction function, AddressCut sources, AddressCut destinations)
    {
        if (ReferenceEquals(function.Sources, sources) && ReferenceEquals(function.Destinations, destinations))
        {
            return function.Classes;
        }

        if ((long)sources.Count * destinations.Count > PairsMax)
        {
            throw new TooManyAtomsException();
        }

        int[] source = Inclusion(sources, function.Sources);
        int[] destination = Inclusion(destinations, function.Destinations);
        int[] classes = new int[sources.Count * destinations.Count];
        int at = 0;
        foreach (int row in source)
        {
            int start = row * function.Destinations.Count;
            foreach (int column in destination)
            {
                classes[at++] = function.Classes[start + column];
            }
        }

        return classes;
    }

    private int[] Movers(Diagram diagram, LeafFilter? movers) =>
        movers is null ? diagrams.Leaves(diagram) : movers.Of(diagrams, diagram);

    private PacketFunction Unaddressed(PacketFunction from, LeafFilter? movers, LeafResults results)
    {
        var replaced = new Diagram[from.Diagrams.Length];
        for (int i = 0; i < replaced.Length; i++)
        {
            replaced[i] = Substitute(from.Diagrams[i], movers, leaf => results[leaf].Diagrams[0]);
        }

        return Compressed(from.Sources, from.Destinations, from.Classes, replaced);
    }

    private PacketFunction Addressed(
        PacketFunction from, LeafFilter? movers, LeafResults results, AddressCut sources, AddressCut destinations)
    {
        int[] before = Pull(from, sources, destinations);
        Dictionary<int, int[]> pulled = results.Leaves.Where(leaf => !results[leaf].IsUnaddressed)
            .ToDictionary(leaf => leaf, leaf => Pull(results[leaf], sources, destinations));
        int[][][] splits = [.. from.Diagrams.Select(diagram =>
            SplitsOf(diagram, movers, pulled))];

        // A new class for each combination of the old one with the classes that its leaves have there.
        var numbers = new Dictionary<(int, int), int>();
        int next = from.Diagrams.Length;
        var dense = new Dictionary<int, int>();
        var diagramOf = new List<Diagram>();
        int[] classes = new int[before.Length];
        for (int pair = 0; pair < classes.Length; pair++)
        {
            int key = before[pair];
            foreach (int[] split in splits[before[pair]])
            {
                if (!numbers.TryGetValue((key, split[pair]), out int number))
                {
                    numbers.Add((key, split[pair]), number = next++);
                }

                key = number;
            }

            if (!dense.TryGetValue(key, out int found))
            {
                dense.Add(key, found = diagramOf.Count);
                int here = pair;
                diagramOf.Add(Substitute(from.Diagrams[before[pair]], movers, leaf =>
                    results[leaf].Diagrams[pulled.TryGetValue(leaf, out int[]? at) ? at[here] : 0]));
            }

            classes[pair] = found;
        }

        return Compressed(sources, destinations, classes, [.. diagramOf]);
    }

    private int[][] SplitsOf(Diagram diagram, LeafFilter? movers, Dictionary<int, int[]> pulled)
    {
        var splits = new List<int[]>();
        foreach (int leaf in Movers(diagram, movers))
        {
            if (pulled.TryGetValue(leaf, out int[]? classes))
            {
                splits.Add(classes);
            }
        }

        return [.. splits];
    }

    private Diagram Substitute(Diagram diagram, LeafFilter? movers, Func<int, Diagram> result)
    {
        int[] moving = Movers(diagram, movers);
        if (moving.Length == 0 || diagram.IsLeaf)
        {
            return moving.Length == 0 ? diagram : result(diagram.Value);
        }

        if (moving.Length > 2)
        {
            return SubstituteAnew(diagram, movers, moving, result);
        }

        // Most often one or two leaves move, and the same ones again in the next situation.
        (Diagram, int, Diagram, int, Diagram) key = moving.Length == 1
            ? (diagram, moving[0], result(moving[0]), -1, default)
            : (diagram, moving[0], result(moving[0]), moving[1], result(moving[1]));
        if (!substitutions.TryGetValue(key, out Diagram known))
        {
            substitutions.Add(key, known = SubstituteAnew(diagram, movers, moving, result));
        }

        return known;
    }

    private Diagram SubstituteAnew(Diagram diagram, LeafFilter? movers, int[] moving, Func<int, Diagram> result)
    {
        var placed = new List<Diagram>();
        int[] leaves = new int[moving.Length];
        for (int i = 0; i < leaves.Length; i++)
        {
            Diagram one = result(moving[i]);
            if (!one.IsLeaf)
            {
                placed.Add(one);
            }

            leaves[i] = one.IsLeaf ? one.Value : FirstPlaceholder + placed.Count - 1;
        }

        Diagram mapped = new DiagramMap(
            diagrams, leaf => leaves[Array.BinarySearch(moving, leaf)], part => Movers(part, movers).Length > 0)
            .Of(diagram);
        for (int i = 0; i < placed.Count; i++)
        {
            mapped = Placement(i).Of(mapped, placed[i]);
        }

        return mapped;
    }

    private DiagramMerge Placement(int index)
    {
        while (placements.Count <= index)
        {
            int placeholder = FirstPlaceholder + placements.Count;
            placements.Add(new DiagramMerge(diagrams, (leaf, placed) => leaf == placeholder ? placed : leaf));
        }

        return placements[index];
    }

    /// <summary>The atom of a coarser cut, or of the same one, in which each atom lies.</summary>
    public int[] Inclusion(AddressCut fine, AddressCut coarse)
    {
        if (!inclusions.TryGetValue((fine, coarse), out int[]? atoms))
        {
            atoms = ReferenceEquals(fine, coarse) ? [.. Enumerable.Range(0, fine.Count)] : fine.AtomsIn(coarse);
            inclusions.Add((fine, coarse), atoms);
        }

        return atoms;
    }

    private PacketFunction Compressed(
        AddressCut sources, AddressCut destinations, int[] classes, Diagram[] replaced)
    {
        if (replaced.Length == 1)
        {
            return Of(replaced[0]);
        }

        var distinct = new Dictionary<Diagram, int>();
        int[] renumbered = new int[replaced.Length];
        for (int i = 0; i < replaced.Length; i++)
        {
            if (!distinct.TryGetValue(replaced[i], out int number))
            {
                distinct.Add(replaced[i], number = distinct.Count);
            }

            renumbered[i] = number;
        }

        if (distinct.Count == 1)
        {
            return Of(replaced[0]);
        }

        if (distinct.Count == replaced.Length)
        {
            return new PacketFunction(sources, destinations, classes, replaced);
        }

        int[] merged = new int[classes.Length];
        for (int i = 0; i < merged.Length; i++)
        {
            merged[i] = renumbered[classes[i]];
        }

        return new PacketFunction(sources, destinations, merged, [.. distinct.Keys]);
    }
}

/// <summary>What each of some leaves becomes.</summary>
/// <param name="Leaves">Ascending.</param>
/// <param name="Results">One for each.</param>
internal readonly record struct LeafResults(int[] Leaves, PacketFunction[] Results)
{
    public PacketFunction this[int leaf] => Results[Array.BinarySearch(Leaves, leaf)];
}

/// <summary>Leaves of a kind, remembered for each diagram of one <see cref="Diagrams"/>.</summary>
internal sealed class LeafFilter(Func<int, bool> includes)
{
    private readonly Paged<int[]?> known = new();

    public int[] Of(Diagrams diagrams, Diagram diagram)
    {
        if (diagram.IsLeaf)
        {
            return includes(diagram.Value) ? diagrams.Leaves(diagram) : [];
        }

        known.Reach(diagram.Ref);
        return known[diagram.Ref] ??= Some(diagrams.Leaves(diagram));
    }

    private int[] Some(int[] leaves) => Array.TrueForAll(leaves, leaf => includes(leaf))
        ? leaves : Array.FindAll(leaves, leaf => includes(leaf));
}

/// <summary>A function would tell more pairs of addresses apart than fit; what asked for it is not proved.</summary>
internal sealed class TooManyAtomsException : Exception;
