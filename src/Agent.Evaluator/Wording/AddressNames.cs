using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Wording;

/// <summary>Finds the shortest exact name of a set of addresses, in the words of a policy.</summary>
/// <param name="family">The family of all sets.</param>
/// <param name="vocabulary">Groups and lists that the rules in question name.</param>
internal sealed class AddressNames(IpFamily family, IEnumerable<AddressTerm> vocabulary)
{
    private readonly AddressTerm everything = AddressTerm.Of(IpPrefix.Universal(family));

    /// <summary>Largest first, so that few of them cover much.</summary>
    private readonly ImmutableArray<AddressTerm> words =
        [.. vocabulary.Where(term => !term.Set.IsEmpty).Distinct().OrderByDescending(term => term.Set.Size)
            .ThenBy(term => term.Name, StringComparer.Ordinal).ThenBy(term => term.Side)];

    /// <param name="set">Not empty.</param>
    public AddressScope Describe(AddressSet set)
    {
        var best = new AddressScope(family, Sum(set), []);
        if (best.Include.Length == 1)
        {
            return best;
        }

        // "All of that, but ...": the universe, the smallest prefix around the set, or a name that contains it.
        foreach (AddressTerm outer in words.Prepend(AddressTerm.Of(set.Hull(family))).Prepend(everything))
        {
            if (set.IsSubsetOf(outer.Set))
            {
                ImmutableArray<AddressTerm> without = Sum(outer.Set.Except(set));
                if (1 + without.Length < best.Include.Length + best.Exclude.Length)
                {
                    best = new AddressScope(family, [outer], without);
                }
            }
        }

        return best;
    }

    // Names that lie in the set, then prefixes for what is left.
    private ImmutableArray<AddressTerm> Sum(AddressSet set)
    {
        ImmutableArray<AddressTerm>.Builder terms = ImmutableArray.CreateBuilder<AddressTerm>();
        AddressSet rest = set;
        foreach (AddressTerm word in words)
        {
            AddressSet gain = word.Set.Intersect(rest);
            if (!gain.IsEmpty && word.Set.IsSubsetOf(set)
                && (gain.SameAs(rest) || gain.Prefixes(family).Skip(1).Any()))
            {
                terms.Add(word);
                rest = rest.Except(word.Set);
            }
        }

        terms.AddRange(rest.Prefixes(family).Select(AddressTerm.Of));
        return terms.ToImmutable();
    }
}
