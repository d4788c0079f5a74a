using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>
/// Finds the deciding row of every protocol and port, for any set of rows whose addresses match: the strongest row
/// takes its ports first, and each weaker one what is left.
/// </summary>
/// <param name="diagrams">Where the results live.</param>
/// <param name="rows">All rows, strongest first; the last matches every packet.</param>
/// <param name="leafOf">The value where a row (by rank) decides.</param>
internal sealed class PortRows(Diagrams diagrams, IReadOnlyList<PolicyRow> rows, Func<int, int> leafOf)
{
    private static readonly ImmutableArray<PortRange> AllPorts = [PortRange.All];

    private readonly Dictionary<RowSet, Diagram> known = [];
    private readonly List<int> starts = [];

    /// <summary>The value of the deciding row at each packet.</summary>
    /// <param name="addressed">Rows whose address conditions hold; the last row is one of them.</param>
    public Diagram Of(RowSet addressed)
    {
        if (!known.TryGetValue(addressed, out Diagram result))
        {
            known.Add(addressed, result = Find(addressed));
        }

        return result;
    }

    private Diagram Find(RowSet addressed)
    {
        var protocols = new SortedSet<byte> { IpProtocol.Tcp, IpProtocol.Udp };
        for (int row = addressed.Next(0); row >= 0; row = addressed.Next(row + 1))
        {
            if (rows[row].Protocol is byte named)
            {
                protocols.Add(named);
            }
        }

        Diagram rest = Diagrams.Leaf(leafOf(FirstOf(addressed, null)));
        var ends = new List<ushort>();
        var children = new List<Diagram>();
        foreach (byte protocol in protocols)
        {
            if (protocol > 0 && (ends.Count == 0 || ends[^1] < protocol - 1))
            {
                ends.Add((ushort)(protocol - 1));
                children.Add(rest);
            }

            ends.Add(protocol);
            children.Add(IpProtocol.HasPorts(protocol)
                ? Ports(protocol, addressed) : Diagrams.Leaf(leafOf(FirstOf(addressed, protocol))));
        }

        if (ends[^1] < 255)
        {
            ends.Add(255);
            children.Add(rest);
        }

        return diagrams.Node(PacketField.Protocol, [.. ends], [.. children]);
    }

    private int FirstOf(RowSet addressed, byte? protocol)
    {
        int row = addressed.Next(0);
        for (; rows[row].Protocol is byte named && named != protocol; row = addressed.Next(row + 1))
        {
        }

        return row;
    }

    private Diagram Ports(byte protocol, RowSet addressed)
    {
        int[] first = StartsOf(protocol, addressed);
        int[] deciders = new int[first.Length];
        int[] open = new int[first.Length + 1]; // the next cell, from each one on, that no row has taken
        for (int cell = 0; cell < open.Length; cell++)
        {
            open[cell] = cell;
        }

        List<int>?[] sources = new List<int>?[first.Length];
        for (int row = addressed.Next(0); row >= 0 && Open(open, 0) < first.Length; row = addressed.Next(row + 1))
        {
            foreach (PortRange range in RangesOf(row, protocol))
            {
                int cell = Open(open, Array.BinarySearch(first, range.First));
                for (; cell < first.Length && first[cell] <= range.Last; cell = Open(open, cell + 1))
                {
                    if (rows[row].Source is null)
                    {
                        (deciders[cell], open[cell]) = (row, cell + 1);
                    }
                    else
                    {
                        (sources[cell] ??= []).Add(row);
                    }
                }
            }
        }

        var ends = new ushort[first.Length];
        var children = new Diagram[first.Length];
        for (int cell = 0; cell < first.Length; cell++)
        {
            ends[cell] = cell + 1 < first.Length ? (ushort)(first[cell + 1] - 1) : ushort.MaxValue;
            children[cell] = Sources(sources[cell], deciders[cell]);
        }

        return diagrams.Node(PacketField.Destination, ends, children);
    }

    private static int Open(int[] open, int cell)
    {
        int found = cell;
        while (open[found] != found)
        {
            found = open[found];
        }

        for (int at = cell; at != found;)
        {
            (at, open[at]) = (open[at], found);
        }

        return found;
    }

    private ImmutableArray<PortRange> RangesOf(int row, byte protocol) =>
        rows[row].Protocol is byte named && named != protocol ? [] : rows[row].Destination ?? AllPorts;

    private int[] StartsOf(byte protocol, RowSet addressed)
    {
        starts.Clear();
        starts.Add(0);
        for (int row = addressed.Next(0); row >= 0; row = addressed.Next(row + 1))
        {
            foreach (PortRange range in RangesOf(row, protocol))
            {
                starts.Add(range.First);
                starts.Add(range.Last + 1);
            }
        }

        starts.Sort();
        int[] first = new int[starts.Count];
        int count = 0;
        foreach (int start in starts)
        {
            if (start <= ushort.MaxValue && (count == 0 || first[count - 1] != start))
            {
                first[count++] = start;
            }
        }

        return first[..count];
    }

    // Rows that also ask for source ports, strongest first, above one that does not: painted from the weakest upwards.
    private Diagram Sources(List<int>? above, int last)
    {
        Diagram result = Diagrams.Leaf(leafOf(last));
        for (int i = (above?.Count ?? 0) - 1; i >= 0; i--)
        {
            int row = above![i];
            PortRange source = rows[row].Source!.Value;
            Diagram inside = diagrams.Where(
                PacketField.Source, source.First, source.Last, Diagrams.Leaf(1), Diagrams.Leaf(0));
            var paint = new DiagramMerge(diagrams, (mask, below) => mask == 1 ? leafOf(row) : below);
            result = paint.Of(inside, result);
        }

        return result;
    }
}
