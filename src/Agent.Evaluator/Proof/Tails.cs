using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>
/// What the rest of a chain does from a rule and an outcome on, and what it asked of sets on the way. Chains whose
/// rules say the same share it, whatever their sets are called and hold: where the sets still give the same answers,
/// the rest does the same. So of a policy with a thousand classes only those are run again that changed.
/// </summary>
internal sealed class Tails
{
    /// <summary>Fewer outcomes go on together.</summary>
    public const int OutcomesMin = 8;

    private readonly NftObject?[] objects;
    private readonly ChainNode?[] targets;
    private readonly SetNode?[] sets;
    private readonly Dictionary<(int Rule, int Leaf, bool LiveBehind, int Circumstances), Tail> known = [];

    private Tails(NftObject?[] objects, ChainNode?[] targets, SetNode?[] sets) =>
        (this.objects, this.targets, this.sets) = (objects, targets, sets);

    public int Count => known.Count;

    /// <summary>Whether all chains behind are among some.</summary>
    public bool LeadsTo(HashSet<ChainNode> nodes) =>
        Array.TrueForAll(targets, target => target is null || nodes.Contains(target));

    /// <summary>The rules with numbers in place of the names of sets and chains.</summary>
    /// <param name="chain">The chain.</param>
    /// <param name="chainNames">Gets the numbers of chains, in the order of the rules.</param>
    /// <param name="setNames">Of sets.</param>
    public static NftChain ShapeOf(
        NftChain chain, Dictionary<string, string> chainNames, Dictionary<string, string> setNames) => new(
        "", Hook: null, chain.Rules.Select(rule => new NftRule(
            rule.Exprs.Select(expr => VnicView.Renamed(expr, chainNames, setNames)).ToValueArray())).ToValueArray());

    /// <summary>Those among some of one shape that hold for other sets as well; or new ones, which are added.</summary>
    public static Tails Of(List<Tails> shape, NftObject?[] objects, ChainNode?[] targets, SetNode?[] sets)
    {
        foreach (Tails one in shape)
        {
            if (one.objects.AsSpan().SequenceEqual(objects)
                && one.targets.AsSpan().SequenceEqual(targets, ReferenceEqualityComparer.Instance)
                && one.sets.Zip(sets).All(pair => AreAlike(pair.First, pair.Second)))
            {
                return one;
            }
        }

        var added = new Tails(objects, targets, sets);
        shape.Add(added);
        return added;
    }

    // Whatever else is asked of a set than its elements.
    private static bool AreAlike(SetNode? one, SetNode? other) => ReferenceEquals(one, other)
        || (one is { IsReadable: true } && other is { IsReadable: true } && one.Set.Kind == other.Set.Kind
            && one.Set.Interval == other.Set.Interval && one.Set.Key == other.Set.Key);

    /// <returns>Null: it is not known, or a set has another answer by now.</returns>
    public Tail? Find(int rule, int leaf, bool liveBehind, int circumstances, ChainNode chain, IpFamily family) =>
        known.TryGetValue((rule, leaf, liveBehind, circumstances), out Tail? tail)
            && tail.Asked.TrueForAll(asked => asked.StillHolds(chain, family)) ? tail : null;

    public void Keep(int rule, int leaf, bool liveBehind, int circumstances, Tail tail) =>
        known[(rule, leaf, liveBehind, circumstances)] = tail;
}

/// <param name="Summary">What it does with every packet.</param>
/// <param name="Asked">All that sets were asked for.</param>
internal sealed record Tail(Summary Summary, List<AskedOfSet> Asked);

/// <summary>What a run asked of a set, and the answer.</summary>
/// <param name="rule">The rule that asked.</param>
/// <param name="index">Which of its expressions.</param>
/// <param name="set">The set as it was; null: none of that name.</param>
/// <param name="key">What was looked up; null: something else, and the set has to be the same.</param>
/// <param name="rows">The answer.</param>
internal sealed class AskedOfSet(int rule, int index, SetNode? set, SymbolicByte[]? key, PacketFunction? rows)
{
    private SetNode? last = set;

    public bool StillHolds(ChainNode chain, IpFamily family)
    {
        SetNode? now = chain.Sets.GetValueOrDefault(ProgramNodes.SetIn(chain.Chain.Rules[rule].Exprs[index])!);
        if (ReferenceEquals(now, last))
        {
            return true;
        }

        if (key is null || rows is null || now is null || !ReferenceEquals(now.Find(key, family).Rows, rows))
        {
            return false;
        }

        last = now;
        return true;
    }
}
