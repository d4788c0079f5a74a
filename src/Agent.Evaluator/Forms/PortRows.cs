using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>
/// Finds the deciding row of every protocol and port, for any set of rows whose addresses match: one bit set per
/// elementary interval of destination ports, so that a cell costs one "first common bit".
/// </summary>
internal sealed class PortRows
{
    private readonly Diagrams diagrams;
    private readonly IReadOnlyList<PolicyRow> rows;
    private readonly List<(byte Protocol, RowSet Rows)> named = [];
    private readonly RowSet unnamed;
    private readonly Dictionary<byte, (ushort[] Ends, RowSet[] Rows)> cells = [];
    private readonly Dictionary<RowSet, Diagram> known = [];

    /// <param name="diagrams">Where the results live.</param>
    /// <param name="rows">All rows; the last matches every packet.</param>
    public PortRows(Diagrams diagrams, IReadOnlyList<PolicyRow> rows)
    {
        this.diagrams = diagrams;
        this.rows = rows;
        unnamed = Matching(row => row.Protocol is null);
        IEnumerable<byte> protocols = rows.Select(row => row.Protocol).OfType<byte>()
            .Append(IpProtocol.Tcp).Append(IpProtocol.Udp);
        foreach (byte protocol in protocols.Distinct().Order())
        {
            named.Add((protocol, Matching(row => row.Protocol is null || row.Protocol == protocol)));
            if (IpProtocol.HasPorts(protocol))
            {
                cells.Add(protocol, CellsOf(named[^1].Rows));
            }
        }
    }

    /// <summary>The deciding row's rank at each packet.</summary>
    /// <param name="addressed">Rows whose address conditions hold.</param>
    public Diagram Of(RowSet addressed)
    {
        if (known.TryGetValue(addressed, out Diagram result))
        {
            return result;
        }

        Diagram rest = Diagrams.Leaf(unnamed.FirstIn(addressed));
        var ends = new List<ushort>();
        var children = new List<Diagram>();
        foreach ((byte protocol, RowSet matching) in named)
        {
            if (protocol > 0 && (ends.Count == 0 || ends[^1] < protocol - 1))
            {
                ends.Add((ushort)(protocol - 1));
                children.Add(rest);
            }

            ends.Add(protocol);
            children.Add(cells.ContainsKey(protocol)
                ? Ports(protocol, addressed) : Diagrams.Leaf(matching.FirstIn(addressed)));
        }

        if (ends[^1] < 255)
        {
            ends.Add(255);
            children.Add(rest);
        }

        result = diagrams.Node(PacketField.Protocol, [.. ends], [.. children]);
        known.Add(addressed, result);
        return result;
    }

    private RowSet Matching(Func<PolicyRow, bool> condition)
    {
        var set = new RowSet(rows.Count);
        for (int row = 0; row < rows.Count; row++)
        {
            if (condition(rows[row]))
            {
                set.Add(row);
            }
        }

        return set;
    }

    private (ushort[] Ends, RowSet[] Rows) CellsOf(RowSet matching)
    {
        var starts = new SortedSet<int> { 0 };
        for (int row = 0; row < rows.Count; row++)
        {
            foreach (PortRange range in matching.Contains(row) ? rows[row].Destination ?? [] : [])
            {
                starts.Add(range.First);
                starts.Add(range.Last + 1);
            }
        }

        starts.Remove(ushort.MaxValue + 1);
        int[] first = [.. starts];
        ushort[] ends = [.. first.Skip(1).Select(start => (ushort)(start - 1)), ushort.MaxValue];
        RowSet[] sets = [.. first.Select(_ => new RowSet(rows.Count))];
        for (int row = 0; row < rows.Count; row++)
        {
            if (!matching.Contains(row))
            {
                continue;
            }

            foreach (PortRange range in rows[row].Destination ?? [PortRange.All])
            {
                int cell = Array.BinarySearch(first, range.First);
                for (; cell < first.Length && first[cell] <= range.Last; cell++)
                {
                    sets[cell].Add(row);
                }
            }
        }

        return (ends, sets);
    }

    private Diagram Ports(byte protocol, RowSet addressed)
    {
        (ushort[] ends, RowSet[] sets) = cells[protocol];
        var children = new Diagram[ends.Length];
        for (int cell = 0; cell < ends.Length; cell++)
        {
            int row = sets[cell].FirstIn(addressed);
            children[cell] = rows[row].Source is null
                ? Diagrams.Leaf(row) : Sources(sets[cell], addressed, row);
        }

        return diagrams.Node(PacketField.Destination, ends, children);
    }

    // Rows that also ask for source ports, up to the first one that does not; painted from the weakest upwards.
    private Diagram Sources(RowSet cell, RowSet addressed, int strongest)
    {
        var painted = new Stack<int>();
        int row = strongest;
        for (; rows[row].Source is not null; row = cell.FirstIn(addressed, row + 1))
        {
            painted.Push(row);
        }

        Diagram result = Diagrams.Leaf(row);
        while (painted.TryPop(out int above))
        {
            PortRange source = rows[above].Source!.Value;
            Diagram inside = diagrams.Where(
                PacketField.Source, source.First, source.Last, Diagrams.Leaf(1), Diagrams.Leaf(0));
            var paint = new DiagramMerge(diagrams, (mask, below) => mask == 1 ? above : below);
            result = paint.Of(inside, result);
        }

        return result;
    }
}
