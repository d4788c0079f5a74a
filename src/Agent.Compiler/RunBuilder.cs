namespace Agent.Compiler;

/// <summary>Both inclusive.</summary>
internal readonly record struct Interval(UInt128 First, UInt128 Last)
{
    public bool Meets(Interval other) => First <= other.Last && other.First <= Last;
}

/// <summary>Packets that one rule decides: a box over four fields.</summary>
/// <param name="Place">Numbers of places.</param>
/// <param name="Own">Own addresses.</param>
/// <param name="Port">Destination ports; where they do not matter, protocols.</param>
/// <param name="Source">Source ports.</param>
/// <param name="Decision">What is decided (<see cref="Compiler.Decision"/>).</param>
internal readonly record struct RunBox(Interval Place, Interval Own, Interval Port, Interval Source, uint Decision)
{
    public static readonly Interval AllPorts = new(0, ushort.MaxValue);
    public static readonly Interval AllProtocols = new(0, byte.MaxValue);

    public bool Meets(RunBox other) => Place.Meets(other.Place) && Port.Meets(other.Port) && Own.Meets(other.Own)
        && Source.Meets(other.Source);

    /// <summary>What of it lies outside of another one that it meets: at most two pieces a field.</summary>
    public void CutBy(RunBox other, List<RunBox> pieces)
    {
        RunBox rest = this;
        foreach (Interval part in Outside(rest.Place, other.Place))
        {
            pieces.Add(rest with { Place = part });
        }

        rest = rest with { Place = Inside(rest.Place, other.Place) };
        foreach (Interval part in Outside(rest.Own, other.Own))
        {
            pieces.Add(rest with { Own = part });
        }

        rest = rest with { Own = Inside(rest.Own, other.Own) };
        foreach (Interval part in Outside(rest.Port, other.Port))
        {
            pieces.Add(rest with { Port = part });
        }

        rest = rest with { Port = Inside(rest.Port, other.Port) };
        foreach (Interval part in Outside(rest.Source, other.Source))
        {
            pieces.Add(rest with { Source = part });
        }
    }

    private static Interval Inside(Interval one, Interval other) =>
        new(UInt128.Max(one.First, other.First), UInt128.Min(one.Last, other.Last));

    private static IEnumerable<Interval> Outside(Interval one, Interval other)
    {
        if (one.First < other.First)
        {
            yield return new Interval(one.First, other.First - 1);
        }

        if (other.Last < one.Last)
        {
            yield return new Interval(other.Last + 1, one.Last);
        }
    }
}

/// <summary>Sorts boxes into runs (<see cref="RunProgram"/>).</summary>
/// <param name="boxesMax">More are refused.</param>
internal sealed class RunBuilder(int boxesMax)
{
    /// <summary>
    /// Pieces that a box may be cut into. A lookup more costs a new session 0.2 us and more, a piece 0.1 ns a lookup
    /// (nftables-facts.md section 3, concatenated intervals): so cutting pays well beyond this; but the back end loads
    /// 100 boxes a millisecond, and beyond this boxes multiply (fw5: 2,400 at 16 pieces, 6,000 at 64).
    /// </summary>
    private const int PiecesMax = 16;

    private readonly List<List<RunBox>> runs = [];

    public IReadOnlyList<IReadOnlyList<RunBox>> Runs => runs;

    public int Count { get; private set; }

    /// <summary>Adds a box that is weaker than all before; what they decide of it is left out.</summary>
    /// <returns>False: there are too many.</returns>
    public bool Add(RunBox box)
    {
        int run = LastThatMeets(box);
        if (run >= 0 && Cut(box, runs[run]) is List<RunBox> pieces)
        {
            return Place(pieces, run);
        }

        return Place([box], run + 1);
    }

    private bool Place(List<RunBox> pieces, int run)
    {
        if (run == runs.Count)
        {
            runs.Add([]);
        }

        runs[run].AddRange(pieces);
        Count += pieces.Count;
        return Count <= boxesMax;
    }

    private int LastThatMeets(RunBox box)
    {
        for (int run = runs.Count - 1; run >= 0; run--)
        {
            foreach (RunBox other in runs[run])
            {
                if (box.Meets(other))
                {
                    return run;
                }
            }
        }

        return -1;
    }

    /// <returns>What the run leaves of the box; null: too many pieces.</returns>
    private static List<RunBox>? Cut(RunBox box, List<RunBox> run)
    {
        List<RunBox> pieces = [box];
        foreach (RunBox other in run)
        {
            if (!box.Meets(other))
            {
                continue;
            }

            var left = new List<RunBox>(pieces.Count);
            foreach (RunBox piece in pieces)
            {
                if (piece.Meets(other))
                {
                    piece.CutBy(other, left);
                }
                else
                {
                    left.Add(piece);
                }
            }

            pieces = left;
            if (pieces.Count > PiecesMax)
            {
                return null;
            }
        }

        return pieces;
    }
}
