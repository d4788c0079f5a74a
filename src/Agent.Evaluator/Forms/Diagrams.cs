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

    private readonly List<(PacketField Field, int Start, int Count)> nodes = [];
    private readonly List<int> hashes = [];
    private ushort[] last = new ushort[1024];
    private Diagram[] child = new Diagram[1024];
    private int edges;
    private int[] buckets = NewBuckets(1024);
    private readonly Dictionary<Diagram, int[]> leaves = [];

    /// <summary>Nodes so far: what a cache's owner watches.</summary>
    public int Count => nodes.Count;

    public static ushort MaxOf(PacketField field) => FieldMax[(int)field];

    /// <param name="value">Not negative.</param>
    public static Diagram Leaf(int value) => new(~value);

    /// <summary>The field that the diagram asks first; null for a leaf.</summary>
    public PacketField? FieldOf(Diagram diagram) => diagram.IsLeaf ? null : nodes[diagram.Ref].Field;

    /// <summary>Inclusive ends of the edges' intervals.</summary>
    public ReadOnlySpan<ushort> Ends(Diagram diagram) =>
        last.AsSpan(nodes[diagram.Ref].Start, nodes[diagram.Ref].Count);

    public ReadOnlySpan<Diagram> Children(Diagram diagram) =>
        child.AsSpan(nodes[diagram.Ref].Start, nodes[diagram.Ref].Count);

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
        int count = 0;
        for (int i = 0; i < ends.Length; i++)
        {
            if (count > 0 && child[edges + count - 1] == children[i])
            {
                last[edges + count - 1] = ends[i];
                continue;
            }

            last[edges + count] = ends[i];
            child[edges + count++] = children[i];
        }

        return count == 1 ? child[edges] : Intern(field, count);
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
    public ReadOnlySpan<int> Leaves(Diagram diagram)
    {
        if (!leaves.TryGetValue(diagram, out int[]? found))
        {
            var values = new HashSet<int>();
            if (diagram.IsLeaf)
            {
                values.Add(diagram.Value);
            }
            else
            {
                (_, int start, int count) = nodes[diagram.Ref];
                for (int i = start; i < start + count; i++)
                {
                    if (child[i].IsLeaf)
                    {
                        values.Add(child[i].Value);
                        continue;
                    }

                    foreach (int value in Leaves(child[i]))
                    {
                        values.Add(value);
                    }
                }
            }

            found = [.. values];
            Array.Sort(found);
            leaves.Add(diagram, found);
        }

        return found;
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

        (PacketField field, int start, int count) = nodes[diagram.Ref];
        int first = 0;
        for (int i = start; i < start + count; i++)
        {
            foreach (PacketBox box in Boxes(child[i], within.With(field, (ushort)first, last[i])))
            {
                yield return box;
            }

            first = last[i] + 1;
        }
    }

    private Diagram Intern(PacketField field, int count)
    {
        int hash = HashOf(field, count);
        int slot = hash & buckets.Length - 1;
        for (; buckets[slot] >= 0; slot = slot + 1 & buckets.Length - 1)
        {
            int other = buckets[slot];
            if (hashes[other] == hash && nodes[other] is var (f, start, n) && f == field && n == count
                && last.AsSpan(start, n).SequenceEqual(last.AsSpan(edges, n))
                && child.AsSpan(start, n).SequenceEqual(child.AsSpan(edges, n)))
            {
                return new Diagram(other);
            }
        }

        buckets[slot] = nodes.Count;
        nodes.Add((field, edges, count));
        hashes.Add(hash);
        edges += count;
        if (nodes.Count * 2 > buckets.Length)
        {
            Rehash();
        }

        return new Diagram(nodes.Count - 1);
    }

    private int HashOf(PacketField field, int count)
    {
        unchecked
        {
            uint hash = (uint)field * 0x9e3779b1 + (uint)count;
            for (int i = edges; i < edges + count; i++)
            {
                hash = (hash ^ last[i]) * 0x85ebca6b;
                hash = (hash ^ hash >> 15 ^ (uint)child[i].Ref) * 0xc2b2ae35;
            }

            return (int)((hash ^ hash >> 16) & int.MaxValue);
        }
    }

    private void Rehash()
    {
        buckets = NewBuckets(buckets.Length * 4);
        for (int node = 0; node < nodes.Count; node++)
        {
            int slot = hashes[node] & buckets.Length - 1;
            while (buckets[slot] >= 0)
            {
                slot = slot + 1 & buckets.Length - 1;
            }

            buckets[slot] = node;
        }
    }

    private void Reserve(int count)
    {
        if (edges + count > last.Length)
        {
            int size = Math.Max(last.Length * 2, edges + count);
            Array.Resize(ref last, size);
            Array.Resize(ref child, size);
        }
    }

    private static int[] NewBuckets(int size)
    {
        int[] empty = new int[size];
        Array.Fill(empty, -1);
        return empty;
    }
}
