using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>
/// What a chain, and what it leads to without a verdict map, asks of names of interfaces: two names with the same
/// answers take the same ways.
/// </summary>
/// <param name="Bounds">What names are compared with, byte by byte.</param>
/// <param name="Sets">What names are looked up in: keys are a name, and nothing else.</param>
/// <param name="IsKnown">False: something else is done with a name.</param>
internal sealed record NameTests(
    IReadOnlyList<ValueArray<byte>> Bounds, IReadOnlyList<SetNode> Sets, bool IsKnown)
{
    private const int NameWords = 4;

    private static readonly NameTests None = new([], [], IsKnown: true);

    public static NameTests Of(
        NftChain chain, Dictionary<string, SetNode?> sets, Dictionary<string, ChainNode?> targets)
    {
        var bounds = new HashSet<ValueArray<byte>>();
        var asked = new HashSet<SetNode>(ReferenceEqualityComparer.Instance);
        bool known = true;
        foreach (NftRule rule in chain.Rules)
        {
            known &= Add(rule, sets, bounds, asked);
        }

        foreach (ChainNode? target in targets.Values)
        {
            bounds.UnionWith(target?.Names.Bounds ?? []);
            asked.UnionWith(target?.Names.Sets ?? []);
            known &= target?.Names.IsKnown ?? true;
        }

        return bounds.Count + asked.Count == 0 && known ? None : new NameTests([.. bounds], [.. asked], known);
    }

    private static bool Add(
        NftRule rule, Dictionary<string, SetNode?> sets, HashSet<ValueArray<byte>> bounds, HashSet<SetNode> asked)
    {
        int? name = null; // the word where a name begins
        foreach (NftExpr expr in rule.Exprs)
        {
            if (expr is NftExpr.Meta { Key: NftMetaKey.IifName or NftMetaKey.OifName } meta)
            {
                if (name is not null && name != meta.Dreg.Word)
                {
                    return false;
                }

                name = meta.Dreg.Word;
                continue;
            }

            if (name is not int word || !Touches(expr, word))
            {
                continue;
            }

            if (expr is NftExpr.Cmp cmp && cmp.Sreg.Word == word)
            {
                bounds.Add(cmp.Data);
                continue;
            }

            if (ProgramNodes.SetIn(expr) is string set && SourceOf(expr) == word
                && sets[set] is { Set: { Key: [NftType.IfName], Interval: false } } node)
            {
                asked.Add(node);
                name = expr is NftExpr.LookupData data && data.Dreg.Word == word ? null : name;
                if (expr is not NftExpr.LookupData other || !Overlaps(other.Dreg.Word, 1, word) || name is null)
                {
                    continue;
                }
            }

            return false;
        }

        return true;
    }

    private static int SourceOf(NftExpr expr) => expr switch
    {
        NftExpr.Lookup e => e.Sreg.Word,
        NftExpr.LookupData e => e.Sreg.Word,
        NftExpr.LookupVerdict e => e.Sreg.Word,
        NftExpr.ObjectMap e => e.Sreg.Word,
        _ => -1,
    };

    // What reads or writes nothing that a register holds is not listed; what is not known touches it.
    private static bool Touches(NftExpr expr, int name) => expr switch
    {
        NftExpr.Counter or NftExpr.Log or NftExpr.VerdictIs or NftExpr.ObjectRef or NftExpr.ConnLimit
            or NftExpr.NoTrack or NftExpr.Limit or NftExpr.Opaque => false,
        NftExpr.Meta e => Overlaps(e.Dreg.Word, NameWords, name),
        NftExpr.Ct e => Overlaps(e.Dreg.Word, NameWords, name),
        NftExpr.Payload e => Overlaps(e.Dreg.Word, (int)(e.Length + 3) / 4, name),
        NftExpr.Immediate e => Overlaps(e.Dreg.Word, (e.Data.Count + 3) / 4, name),
        NftExpr.Cmp e => Overlaps(e.Sreg.Word, (e.Data.Count + 3) / 4, name),
        NftExpr.MetaSet e => Overlaps(e.Sreg.Word, 1, name),
        NftExpr.CtSet e => Overlaps(e.Sreg.Word, 1, name),
        _ => true,
    };

    private static bool Overlaps(int word, int words, int name) => word < name + NameWords && name < word + words;
}
