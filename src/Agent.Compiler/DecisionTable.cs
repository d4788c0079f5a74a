using Agent.Policy;

namespace Agent.Compiler;

/// <summary>An exception to a protocol's decision: inclusive port ranges.</summary>
internal readonly record struct PortCell(PortRange Destination, PortRange Source, uint Decision);

/// <summary>One protocol's decision, and the ports that decide otherwise (disjoint, ascending).</summary>
internal sealed record ProtocolDecision(byte Protocol, uint Decision, PortCell[] Cells)
{
    public bool Equals(ProtocolDecision? other) =>
        other is not null && Protocol == other.Protocol && Decision == other.Decision
        && Cells.AsSpan().SequenceEqual(other.Cells);

    public override int GetHashCode() => HashCode.Combine(Protocol, Decision, Cells.Length);
}

/// <summary>
/// What a policy decides for one class of addresses, as a function of protocol and ports: every cell has exactly one
/// deciding rule, so the order of rules is gone.
/// </summary>
/// <param name="Other">Decision for every protocol that is not listed.</param>
/// <param name="Protocols">Ascending by number; only those that differ from <paramref name="Other"/>.</param>
internal sealed record DecisionTable(uint Other, ProtocolDecision[] Protocols)
{
    public bool IsConstant => Protocols.Length == 0;

    public bool Equals(DecisionTable? other) =>
        other is not null && Other == other.Other && Protocols.AsSpan().SequenceEqual(other.Protocols);

    public override int GetHashCode() => HashCode.Combine(Other, Protocols.Length);

    /// <summary>Builds the table of rules that all match the class's addresses.</summary>
    /// <param name="rules">In evaluation order, with each rule's number; all cover the family.</param>
    /// <param name="fallback">The type's default.</param>
    public static DecisionTable Of(IReadOnlyList<(RankedRule Rule, uint Number)> rules, Verdict fallback)
    {
        uint none = Decision.Of(fallback, 0);
        uint other = none;
        var named = new SortedSet<byte>();
        bool otherKnown = false;
        foreach ((RankedRule rule, uint number) in rules)
        {
            if (rule.Protocol is byte protocol)
            {
                named.Add(protocol);
            }
            else if (!otherKnown)
            {
                other = Decision.Of(rule.Verdict, number);
                otherKnown = true;
            }
        }

        var protocols = new List<ProtocolDecision>();
        foreach (byte protocol in named)
        {
            ProtocolDecision decision = OfProtocol(rules, protocol, none);
            if (decision.Decision != other || decision.Cells.Length > 0)
            {
                protocols.Add(decision);
            }
        }

        return new DecisionTable(other, [.. protocols]);
    }

    private static ProtocolDecision OfProtocol(
        IReadOnlyList<(RankedRule Rule, uint Number)> rules, byte protocol, uint none)
    {
        var matching = new List<(RankedRule Rule, uint Number)>();
        foreach ((RankedRule Rule, uint Number) ranked in rules)
        {
            if (ranked.Rule.Protocol is null || ranked.Rule.Protocol == protocol)
            {
                matching.Add(ranked);
                if (!ranked.Rule.HasPorts)
                {
                    break; // nothing behind a rule that matches the whole protocol is ever reached
                }
            }
        }

        if (!matching.Exists(ranked => ranked.Rule.HasPorts))
        {
            uint first = matching.Count == 0 ? none : Decide(matching[0]);
            return new ProtocolDecision(protocol, first, []);
        }

        List<PortCell> cells = matching.Exists(ranked => ranked.Rule.Source != PortRange.All)
            ? PaintBoth(matching, none)
            : [.. PaintDestination(matching, none)];
        uint common = MostCommon(cells);
        cells.RemoveAll(cell => cell.Decision == common);
        return new ProtocolDecision(protocol, common, [.. cells]);
    }

    private static uint Decide((RankedRule Rule, uint Number) ranked) =>
        Decision.Of(ranked.Rule.Verdict, ranked.Number);

    private static IEnumerable<PortCell> PaintDestination(
        IReadOnlyList<(RankedRule Rule, uint Number)> rules, uint none)
    {
        var line = new PortLine(none);
        foreach ((RankedRule Rule, uint Number) ranked in rules)
        {
            line.Paint(ranked.Rule.Destination, Decide(ranked));
        }

        return line.Pieces().Select(piece => new PortCell(piece.Range, PortRange.All, piece.Decision));
    }

    // Source ports are rare: cut the destination ports where any rule begins or ends, then paint the source ports of
    // each strip, and join strips that came out alike.
    private static List<PortCell> PaintBoth(IReadOnlyList<(RankedRule Rule, uint Number)> rules, uint none)
    {
        var starts = new SortedSet<int> { 0 };
        foreach ((RankedRule rule, _) in rules)
        {
            foreach (PortRange range in rule.Destination)
            {
                starts.Add(range.First);
                starts.Add(range.Last + 1);
            }
        }

        starts.Remove(ushort.MaxValue + 1);
        int[] edges = [.. starts, ushort.MaxValue + 1];
        var strips = new List<(int First, int Last, List<(PortRange Range, uint Decision)> Sources)>();
        for (int i = 0; i + 1 < edges.Length; i++)
        {
            var line = new PortLine(none);
            foreach ((RankedRule Rule, uint Number) ranked in rules)
            {
                bool all = ranked.Rule.Destination.IsEmpty;
                if (all || ranked.Rule.Destination.Any(range => range.Contains((ushort)edges[i])))
                {
                    line.Paint([ranked.Rule.Source], Decide(ranked));
                }
            }

            List<(PortRange Range, uint Decision)> sources = line.Pieces();
            if (strips.Count > 0 && strips[^1].Sources.SequenceEqual(sources))
            {
                strips[^1] = (strips[^1].First, edges[i + 1] - 1, sources);
            }
            else
            {
                strips.Add((edges[i], edges[i + 1] - 1, sources));
            }
        }

        return [.. strips.SelectMany(strip => strip.Sources.Select(source =>
            new PortCell(new PortRange((ushort)strip.First, (ushort)strip.Last), source.Range, source.Decision)))];
    }

    private static uint MostCommon(List<PortCell> cells)
    {
        var area = new Dictionary<uint, long>();
        foreach (PortCell cell in cells)
        {
            long size =
                (cell.Destination.Last - cell.Destination.First + 1L) * (cell.Source.Last - cell.Source.First + 1L);
            area[cell.Decision] = area.GetValueOrDefault(cell.Decision) + size;
        }

        // The largest area; among equals the smallest number, so that the answer does not hang on dictionary order.
        return area.OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key).First().Key;
    }

    /// <summary>The ports 0..65535, painted once each: the first colour stays.</summary>
    private sealed class PortLine(uint none)
    {
        private readonly List<(int First, int Last)> gaps = [(0, ushort.MaxValue)];
        private readonly List<(int First, int Last, uint Decision)> painted = [];

        public void Paint(IEnumerable<PortRange> ranges, uint decision)
        {
            bool any = false;
            foreach (PortRange range in ranges)
            {
                any = true;
                Paint(range.First, range.Last, decision);
            }

            if (!any)
            {
                Paint(0, ushort.MaxValue, decision);
            }
        }

        public List<(PortRange Range, uint Decision)> Pieces()
        {
            foreach ((int first, int last) in gaps)
            {
                painted.Add((first, last, none));
            }

            painted.Sort();
            var pieces = new List<(PortRange Range, uint Decision)>();
            foreach ((int first, int last, uint decision) in painted)
            {
                if (pieces.Count > 0 && pieces[^1].Decision == decision)
                {
                    pieces[^1] = (pieces[^1].Range with { Last = (ushort)last }, decision);
                }
                else
                {
                    pieces.Add((new PortRange((ushort)first, (ushort)last), decision));
                }
            }

            return pieces;
        }

        private void Paint(int first, int last, uint decision)
        {
            int i = 0;
            int high = gaps.Count;
            while (i < high)
            {
                int middle = (i + high) / 2;
                if (gaps[middle].Last < first)
                {
                    i = middle + 1;
                }
                else
                {
                    high = middle;
                }
            }

            while (i < gaps.Count && gaps[i].First <= last)
            {
                (int gapFirst, int gapLast) = gaps[i];
                int from = Math.Max(first, gapFirst);
                int to = Math.Min(last, gapLast);
                painted.Add((from, to, decision));
                gaps.RemoveAt(i);
                if (to < gapLast)
                {
                    gaps.Insert(i, (to + 1, gapLast));
                }

                if (gapFirst < from)
                {
                    gaps.Insert(i, (gapFirst, from - 1));
                    i++;
                }

                if (to < gapLast)
                {
                    return;
                }
            }
        }
    }
}
