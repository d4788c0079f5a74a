using System.Diagnostics;

namespace Agent.Evaluator.Forms;

/// <summary>What tells packets of one pair of addresses apart, in the order in which diagrams ask.</summary>
internal enum PacketField : byte
{
    /// <summary>IANA number of the upper layer, 0..255.</summary>
    Protocol,

    /// <summary>Bytes behind the network header, see <see cref="TransportSize"/>.</summary>
    Transport,

    /// <summary>Destination port: bytes 2 and 3 of the transport header, 0..65535.</summary>
    Destination,

    /// <summary>Source port: bytes 0 and 1 of the transport header; for ICMP, type and code.</summary>
    Source,

    /// <summary>TCP flags: byte 13 of the transport header.</summary>
    Flags,

    /// <summary>
    /// No field of a packet, like all that follow: 1 where a condition holds that a proof does not look into. This one:
    /// the vNIC's rules accept the session, by a packet in its direction, inwards.
    /// </summary>
    JudgedIn,

    /// <summary>The same, by a packet against the session's direction.</summary>
    JudgedInReply,
    JudgedOut,
    JudgedOutReply,

    /// <summary>The source address is one of the vNIC's own.</summary>
    OwnSource,
    OwnDestination,
}

/// <summary>Values of <see cref="PacketField.Transport"/>.</summary>
internal static class TransportSize
{
    /// <summary>The way to an upper-layer header cannot be followed: there is not even a protocol.</summary>
    public const ushort None = 0;

    /// <summary>No program asks for more: this many bytes, or more of them.</summary>
    public const ushort Max = 64;

    /// <param name="bytes">0 to 63; more count as 63.</param>
    public static ushort Of(int bytes) => (ushort)(Math.Min(bytes, Max - 1) + 1);
}

/// <summary>A function of <see cref="PacketField"/>s to a number. Equal references are equal functions.</summary>
/// <remarks>It belongs to the <see cref="Diagrams"/> that made it.</remarks>
internal readonly record struct Diagram(int Ref)
{
    /// <summary>The same number for every packet.</summary>
    public bool IsLeaf => Ref < 0;

    public int Value => ~Ref;
}

/// <summary>One value of every field.</summary>
internal readonly record struct PacketPoint(
    byte Protocol, ushort Destination, ushort Source, ushort Transport = TransportSize.Max, byte Flags = 2)
{
    public ushort this[PacketField field] => field switch
    {
        PacketField.Protocol => Protocol,
        PacketField.Transport => Transport,
        PacketField.Destination => Destination,
        PacketField.Source => Source,
        PacketField.Flags => Flags,
        _ => throw new UnreachableException(),
    };
}

/// <summary>
/// Interval decision diagrams with many leaves ("firewall decision diagrams", Gouda and Liu), hash-consed: a function
/// of protocol and ports exists once, so two of them are compared by reference.
/// </summary>
/// <remarks>
/// A node asks one field and has an edge for each interval of its values: inclusive ends, ascending, the last one the
/// field's greatest; neighbours lead to different nodes; a field that decides nothing is not asked. Not for
/// concurrent use. Nodes live as long as the object.
/// </remarks>
internal sealed class Diagrams
{
    private static readonly ushort[] FieldMax =
        [255, TransportSize.Max, ushort.MaxValue, ushort.MaxValue, 255, 1, 1, 1, 1, 1, 1];

    /// <summary>Edges that one page holds, unless a node has more: its arrays are no large objects.</summary>
    private const int PageEdges = 8192;

    private readonly Paged<Vertex> nodes = new();
    private readonly Dictionary<int, int[]> single = [];
    private readonly List<int> gathered = [];
    private Page page = new(PageEdges);
    private int edges;

    /// <summary>Open addressing: a node's number and one, or 0.</summary>
    private Paged<int> buckets = NewBuckets(1024);

    /// <summary>Intervals of some nodes: inclusive ends, and where they lead.</summary>
    private sealed class Page(int size)
    {
        public readonly ushort[] Last = GC.AllocateUninitializedArray<ushort>(size);
        public readonly Diagram[] Child = GC.AllocateUninitializedArray<Diagram>(size);
    }

    private record struct Vertex(PacketField Field, Page Page, int Start, int Count, int Hash)
    {
        public int[]? Leaves { get; set; }

        public readonly ReadOnlySpan<ushort> Ends => Page.Last.AsSpan(Start, Count);

        public readonly ReadOnlySpan<Diagram> Children => Page.Child.AsSpan(Start, Count);
    }

    /// <summary>Nodes so far: what a cache's owner watches.</summary>
    public int Count => nodes.Count;

    public static ushort MaxOf(PacketField field) => FieldMax[(int)field];

    /// <param name="value">Not negative.</param>
    public static Diagram Leaf(int value) => new(~value);

    /// <summary>The field that the diagram asks first; null for a leaf.</summary>
    public PacketField? FieldOf(Diagram diagram) => diagram.IsLeaf ? null : nodes[diagram.Ref].Field;

    /// <summary>Inclusive ends of the edges' intervals.</summary>
    public ReadOnlySpan<ushort> Ends(Diagram diagram) => nodes[diagram.Ref].Ends;

    public ReadOnlySpan<Diagram> Children(Diagram diagram) => nodes[diagram.Ref].Children;

    /// <summary>The node that asks <paramref name="field"/>; edges may repeat their neighbour.</summary>
    /// <param name="field">Asked before every field of the children.</param>
    /// <param name="ends">Inclusive, ascending; the last is the field's greatest value.</param>
    /// <param name="children">One for each interval.</param>
    public Diagram Node(PacketField field, ReadOnlySpan<ushort> ends, ReadOnlySpan<Diagram> children)
    {
        if (ends[^1] != MaxOf(field) || ends.Length != children.Length)
        {
            throw new ArgumentException("edges do not cover the field", nameof(ends));
        }

        Reserve(ends.Length);
        Span<ushort> last = page.Last.AsSpan(edges, ends.Length);
        Span<Diagram> child = page.Child.AsSpan(edges, ends.Length);
        int count = 0;
        for (int i = 0; i < ends.Length; i++)
        {
            if (count > 0 && child[count - 1] == children[i])
            {
                last[count - 1] = ends[i];
                continue;
            }

            last[count] = ends[i];
            child[count++] = children[i];
        }

        return count == 1 ? child[0] : Intern(field, count);
    }

    /// <summary>One interval of a field against everything else.</summary>
    public Diagram Where(PacketField field, ushort first, ushort end, Diagram inside, Diagram outside)
    {
        Span<ushort> ends = stackalloc ushort[3];
        Span<Diagram> children = stackalloc Diagram[3];
        int count = 0;
        if (first > 0)
        {
            ends[count] = (ushort)(first - 1);
            children[count++] = outside;
        }

        ends[count] = end;
        children[count++] = inside;
        if (end < MaxOf(field))
        {
            ends[count] = MaxOf(field);
            children[count++] = outside;
        }

        return Node(field, ends[..count], children[..count]);
    }

    public int At(Diagram diagram, PacketPoint packet)
    {
        while (!diagram.IsLeaf)
        {
            ReadOnlySpan<ushort> ends = Ends(diagram);
            int edge = ends.BinarySearch(packet[nodes[diagram.Ref].Field]);
            diagram = Children(diagram)[edge < 0 ? ~edge : edge];
        }

        return diagram.Value;
    }

    /// <summary>The values that the function takes, ascending.</summary>
    public int[] Leaves(Diagram diagram)
    {
        if (diagram.IsLeaf)
        {
            if (!single.TryGetValue(diagram.Value, out int[]? one))
            {
                single.Add(diagram.Value, one = [diagram.Value]);
            }

            return one;
        }

        return nodes[diagram.Ref].Leaves ??= FindLeaves(nodes[diagram.Ref].Children);
    }

    private int[] FindLeaves(ReadOnlySpan<Diagram> children)
    {
        foreach (Diagram child in children)
        {
            Leaves(child); // before anything is gathered: each finds its own in the same list
        }

        gathered.Clear();
        foreach (Diagram child in children)
        {
            if (child.IsLeaf)
            {
                gathered.Add(child.Value);
            }
            else
            {
                gathered.AddRange(nodes[child.Ref].Leaves!);
            }
        }

        gathered.Sort();
        int count = 0;
        for (int i = 0; i < gathered.Count; i++)
        {
            if (count == 0 || gathered[count - 1] != gathered[i])
            {
                gathered[count++] = gathered[i];
            }
        }

        gathered.RemoveRange(count, gathered.Count - count);
        return [.. gathered];
    }

    /// <summary>Every interval box of the function, in ascending order of the fields.</summary>
    public IEnumerable<PacketBox> Boxes(Diagram diagram) => Boxes(diagram, PacketBox.All);

    private IEnumerable<PacketBox> Boxes(Diagram diagram, PacketBox within)
    {
        if (diagram.IsLeaf)
        {
            yield return within with { Value = diagram.Value };
            yield break;
        }

        Vertex node = nodes[diagram.Ref];
        int first = 0;
        for (int i = 0; i < node.Count; i++)
        {
            ushort end = node.Ends[i];
            foreach (PacketBox box in Boxes(node.Children[i], within.With(node.Field, (ushort)first, end)))
            {
                yield return box;
            }

            first = end + 1;
        }
    }

    private Diagram Intern(PacketField field, int count)
    {
        var made = new Vertex(field, page, edges, count, Hash: 0);
        made.Hash = HashOf(made);
        int slot = SlotOf(made.Hash);
        for (; buckets[slot] > 0; slot = SlotOf(slot + 1))
        {
            ref Vertex other = ref nodes[buckets[slot] - 1];
            if (other.Hash == made.Hash && other.Field == field && other.Count == count
                && other.Ends.SequenceEqual(made.Ends) && other.Children.SequenceEqual(made.Children))
            {
                return new Diagram(buckets[slot] - 1);
            }
        }

        nodes.Add(made);
        buckets[slot] = nodes.Count;
        edges += count;
        if (nodes.Count * 2 > buckets.Count)
        {
            Rehash();
        }

        return new Diagram(nodes.Count - 1);
    }

    private int SlotOf(int hash) => hash & buckets.Count - 1;

    private static int HashOf(in Vertex node)
    {
        unchecked
        {
            uint hash = (uint)node.Field * 0x9e3779b1 + (uint)node.Count;
            ReadOnlySpan<ushort> ends = node.Ends;
            ReadOnlySpan<Diagram> children = node.Children;
            for (int i = 0; i < ends.Length; i++)
            {
                hash = (hash ^ ends[i]) * 0x85ebca6b;
                hash = (hash ^ hash >> 15 ^ (uint)children[i].Ref) * 0xc2b2ae35;
            }

            return (int)((hash ^ hash >> 16) & int.MaxValue);
        }
    }

    private void Rehash()
    {
        buckets = NewBuckets(buckets.Count * 4);
        for (int node = 0; node < nodes.Count; node++)
        {
            int slot = SlotOf(nodes[node].Hash);
            while (buckets[slot] > 0)
            {
                slot = SlotOf(slot + 1);
            }

            buckets[slot] = node + 1;
        }
    }

    private void Reserve(int count)
    {
        if (edges + count > page.Last.Length)
        {
            page = new Page(Math.Max(PageEdges, count));
            edges = 0;
        }
    }

    private static Paged<int> NewBuckets(int size)
    {
        var empty = new Paged<int>();
        empty.Reach(size - 1);
        return empty;
    }
}
