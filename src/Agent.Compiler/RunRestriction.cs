using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// Whether a family of a policy takes anything away, if it is laid out in runs before or after a change.
/// </summary>
/// <remarks>
/// There are no tables to compare. If places have other numbers, or the layout is another one, the answer is yes: the
/// map that gives the numbers out is exchanged, and a packet on its way may meet a class that the old one does not
/// know. Otherwise tables are made for those places and own addresses whose rules are not the same ones, as long as
/// they are few; beyond that, in doubt, the answer is yes as well.
/// </remarks>
internal sealed class RunRestriction
{
    private const int TablesMax = 1000;

    private readonly RunProgram? old;
    private readonly RunProgram? now;
    private readonly Verdict oldFallback;
    private readonly Verdict newFallback;
    private readonly Func<DecisionTable, DecisionTable, bool> loses;
    private readonly Dictionary<(int Old, int New), bool> places = [];
    private int room = TablesMax;

    private RunRestriction(
        PolicyProgram old, PolicyProgram now, IpFamily family, Func<DecisionTable, DecisionTable, bool> loses)
    {
        (this.old, this.now) = (old.RunsOf(family), now.RunsOf(family));
        (oldFallback, newFallback) = (old.Fallback, now.Fallback);
        this.loses = loses;
    }

    /// <param name="old">Before.</param>
    /// <param name="now">After.</param>
    /// <param name="family">Family.</param>
    /// <param name="loses">Whether one table accepts what the other one does not.</param>
    /// <returns>Null: both have tables.</returns>
    public static RunRestriction? Of(
        PolicyProgram old, PolicyProgram now, IpFamily family, Func<DecisionTable, DecisionTable, bool> loses) =>
        old.RunsOf(family) is null && now.RunsOf(family) is null ? null
            : new RunRestriction(old, now, family, loses);

    /// <summary>Of an address whose class before and after is known.</summary>
    public bool Loses(uint oldClass, uint newClass)
    {
        if (old is null || now is null || old.Numbering != now.Numbering)
        {
            return true;
        }

        (int, int) pair = (old.PlaceOf(oldClass), now.PlaceOf(newClass));
        if (!places.TryGetValue(pair, out bool answer))
        {
            places.Add(pair, answer = PlaceLoses(old, now, pair.Item1, pair.Item2));
        }

        return answer;
    }

    private bool PlaceLoses(RunProgram before, RunProgram after, int oldPlace, int newPlace)
    {
        (RankedRule Rule, uint Number)[] left = [.. before.RulesAt(oldPlace)];
        (RankedRule Rule, uint Number)[] right = [.. after.RulesAt(newPlace)];
        if (AreSame(left, right))
        {
            return false;
        }

        IpPrefix[] prefixes =
            [.. left.Concat(right).Select(ranked => ranked.Rule.Own).OfType<IpPrefix>().Distinct().Order()];
        foreach (Segment segment in AddressSpace.Cut([.. prefixes.Select((prefix, i) => (prefix, i))])
            .Append(new Segment(0, 0, new Signature([])))) // every other address
        {
            HashSet<IpPrefix> covering = [.. segment.Signature.Tags.Select(tag => prefixes[tag])];
            (RankedRule Rule, uint Number)[] one = Within(left, covering);
            (RankedRule Rule, uint Number)[] other = Within(right, covering);
            if (AreSame(one, other))
            {
                continue;
            }

            if (--room < 0 || loses(DecisionTable.Of(one, oldFallback), DecisionTable.Of(other, newFallback)))
            {
                return true;
            }
        }

        return false;
    }

    private static (RankedRule Rule, uint Number)[] Within(
        (RankedRule Rule, uint Number)[] rules, HashSet<IpPrefix> own) =>
        Array.FindAll(rules, ranked => ranked.Rule.Own is not IpPrefix prefix || own.Contains(prefix));

    private bool AreSame((RankedRule Rule, uint Number)[] left, (RankedRule Rule, uint Number)[] right) =>
        oldFallback == newFallback && left.Length == right.Length
        && left.Zip(right).All(pair => IsSame(pair.First.Rule, pair.Second.Rule));

    private static bool IsSame(RankedRule one, RankedRule other) => ReferenceEquals(one, other)
        || (one with { Destination = other.Destination } == other
            && one.Destination.AsSpan().SequenceEqual(other.Destination.AsSpan()));
}
