using System.Collections.Immutable;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;
using Agent.Policy;

namespace Agent.Evaluator.Differences;

/// <summary>
/// Summarises how the judgement of a vNIC changes: of all pairs of address atoms whose verdicts differ, those with the
/// same services become one line, and the other way round.
/// </summary>
internal sealed class FormLines
{
    private readonly Diagrams diagrams;
    private readonly VnicSide before;
    private readonly VnicSide after;
    private readonly Direction direction;
    private readonly IpFamily family;
    private readonly AddressNames names;
    private readonly AddressCut remotes;
    private readonly AddressCut owns;
    private readonly AddressSet ofVnic;
    private readonly List<Cell> cells = [];

    private FormLines(
        Diagrams diagrams, VnicSide before, VnicSide after, Direction direction, IpFamily family, AddressNames names)
    {
        this.diagrams = diagrams;
        this.before = before;
        this.after = after;
        this.direction = direction;
        this.family = family;
        this.names = names;
        remotes = before.Remotes.Refine(after.Remotes);
        owns = before.Owns.Refine(after.Owns)
            .Refine(AddressFunction.Of(family, before.Own)).Refine(AddressFunction.Of(family, after.Own));
        ofVnic = before.Own.Union(after.Own);
    }

    /// <summary>All packets whose verdict differs, as disjoint lines; of one family each.</summary>
    public static IEnumerable<DifferenceLine> Of(
        Diagrams diagrams, VnicSide before, VnicSide after, Direction direction, IpFamily family, AddressNames names)
    {
        var lines = new FormLines(diagrams, before, after, direction, family, names);
        lines.FindCells();
        return lines.cells.Count == 0 ? []
            : new[] { Verdict.Accept, Verdict.Drop }.SelectMany(lines.Of);
    }

    /// <summary>A pair of atoms with packets whose verdict differs.</summary>
    /// <param name="Remote">Atom of <see cref="remotes"/>.</param>
    /// <param name="Own">Atom of <see cref="owns"/>.</param>
    /// <param name="Pairs">
    /// Over protocol and ports: 0 where the verdict is the same, otherwise 1 and the pair of deciders.
    /// </param>
    private readonly record struct Cell(int Remote, int Own, Diagram Pairs);

    private void FindCells()
    {
        int[] remoteBefore = remotes.AtomsIn(before.Remotes);
        int[] remoteAfter = remotes.AtomsIn(after.Remotes);
        int[] ownBefore = owns.AtomsIn(before.Owns);
        int[] ownAfter = owns.AtomsIn(after.Owns);
        var pairs = new DiagramMerge(diagrams, (one, other) =>
            before.Accepts(one) == after.Accepts(other) ? 0 : 1 + one * after.Deciders + other);
        for (int own = 0; own < owns.Count; own++)
        {
            bool wasOwn = before.Own.Contains(owns.Samples[own]);
            bool isOwn = after.Own.Contains(owns.Samples[own]);
            for (int remote = 0; (wasOwn || isOwn) && remote < remotes.Count; remote++)
            {
                Diagram differing = pairs.Of(
                    before.Decider(remoteBefore[remote], ownBefore[own], wasOwn),
                    after.Decider(remoteAfter[remote], ownAfter[own], isOwn));
                if (differing != Diagrams.Leaf(0))
                {
                    cells.Add(new Cell(remote, own, differing));
                }
            }
        }
    }

    private IEnumerable<DifferenceLine> Of(Verdict verdict)
    {
        var changes = new DiagramMap(diagrams, pair =>
            pair > 0 && before.Accepts((pair - 1) / after.Deciders) == (verdict == Verdict.Accept) ? 1 : 0);
        Diagram[] services = [.. cells.Select(cell => changes.Of(cell.Pairs))];
        Dictionary<Diagram, RowSet> whole = BySamePorts(services);
        Dictionary<RowSet, Diagram> parts = BySameAddresses(services);
        (Diagram Services, RowSet Cells)[] lines = parts.Count < whole.Count
            ? [.. parts.Select(part => (part.Value, part.Key))] : [.. whole.Select(one => (one.Key, one.Value))];
        return lines.SelectMany(line => Rectangles(verdict, line.Services, line.Cells));
    }

    private Dictionary<Diagram, RowSet> BySamePorts(Diagram[] services)
    {
        var found = new Dictionary<Diagram, RowSet>();
        for (int cell = 0; cell < services.Length; cell++)
        {
            if (services[cell] != Diagrams.Leaf(0))
            {
                CellsOf(found, services[cell]).Add(cell);
            }
        }

        return found;
    }

    // Each box of ports with all the cells that have it; then boxes with the same cells together.
    private Dictionary<RowSet, Diagram> BySameAddresses(Diagram[] services)
    {
        var boxes = new Dictionary<PacketBox, RowSet>();
        for (int cell = 0; cell < services.Length; cell++)
        {
            foreach (PacketBox box in diagrams.Boxes(services[cell]).Where(box => box.Value == 1))
            {
                CellsOf(boxes, box).Add(cell);
            }
        }

        var either = new DiagramMerge(diagrams, (one, other) => one | other);
        var found = new Dictionary<RowSet, Diagram>();
        foreach ((PacketBox box, RowSet set) in boxes)
        {
            Diagram inside = ServiceSet.DiagramOf(diagrams, box);
            found[set] = found.TryGetValue(set, out Diagram others) ? either.Of(others, inside) : inside;
        }

        return found;
    }

    private RowSet CellsOf<TKey>(Dictionary<TKey, RowSet> sets, TKey key) where TKey : notnull
    {
        if (!sets.TryGetValue(key, out RowSet? set))
        {
            sets.Add(key, set = new RowSet(cells.Count));
        }

        return set;
    }

    // Own atoms that go with the same remote atoms are one line: "from these to those".
    private IEnumerable<DifferenceLine> Rectangles(Verdict verdict, Diagram services, RowSet set)
    {
        int[] members = [.. Enumerable.Range(0, cells.Count).Where(set.Contains)];
        var byOwn = new Dictionary<int, RowSet>();
        foreach (int cell in members)
        {
            if (!byOwn.TryGetValue(cells[cell].Own, out RowSet? with))
            {
                byOwn.Add(cells[cell].Own, with = new RowSet(remotes.Count));
            }

            with.Add(cells[cell].Remote);
        }

        var masked = new DiagramMerge(diagrams, (inside, pair) => inside == 1 ? pair : 0);
        foreach (IGrouping<RowSet, int> rectangle in byOwn.GroupBy(one => one.Value, one => one.Key))
        {
            HashSet<int> atoms = [.. rectangle];
            var deciders = new SortedSet<int>();
            foreach (int cell in members.Where(cell => atoms.Contains(cells[cell].Own)))
            {
                deciders.UnionWith(diagrams.Leaves(masked.Of(services, cells[cell].Pairs)));
            }

            deciders.Remove(0);
            AddressSet own = AddressSet.Of(owns, family, atoms.Contains).Intersect(ofVnic);
            yield return new DifferenceLine(
                direction, verdict, ServiceSet.Of(diagrams, services),
                [names.Describe(AddressSet.Of(remotes, family, rectangle.Key.Contains))],
                own.SameAs(ofVnic) ? null : new AddressNames(family, []).Describe(own),
                Names(deciders.Select(pair => before.NameOf((pair - 1) / after.Deciders))),
                Names(deciders.Select(pair => after.NameOf((pair - 1) % after.Deciders))));
        }
    }

    private static ImmutableArray<string> Names(IEnumerable<string> names) =>
        [.. names.Distinct().Order(StringComparer.Ordinal)];
}
