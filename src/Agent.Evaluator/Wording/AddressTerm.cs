using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Wording;

/// <summary>What a set of addresses is called by.</summary>
internal enum AddressTermKind : byte
{
    Prefix,

    /// <summary>The effective members of a group.</summary>
    Group,

    /// <summary>The entries of a prefix list.</summary>
    List,
}

/// <summary>
/// Of which of two policies a group or list is meant; of no importance where it is the same in both, or in one only.
/// </summary>
internal enum AddressTermSide : byte
{
    Both,
    Before,
    After,
}

/// <summary>A set of addresses of one family that has a name.</summary>
/// <param name="Kind">What the name is.</param>
/// <param name="Name">A prefix, or the id of a group or list.</param>
/// <param name="Side">Which policy's group or list.</param>
/// <param name="Set">Its addresses; not part of what makes two terms equal.</param>
internal sealed record AddressTerm(AddressTermKind Kind, string Name, AddressTermSide Side, AddressSet Set)
{
    public static AddressTerm Of(IpPrefix prefix) => new(
        AddressTermKind.Prefix, prefix.ToString(), AddressTermSide.Both, AddressSet.Of(prefix.Family, [prefix]));

    public bool Equals(AddressTerm? other) =>
        other is not null && (Kind, Name, Side) == (other.Kind, other.Name, other.Side);

    public override int GetHashCode() => HashCode.Combine(Kind, Name, Side);

    public override string ToString()
    {
        string name = Kind switch
        {
            AddressTermKind.Group => $"members of {Name}",
            AddressTermKind.List => $"list {Name}",
            _ => Name,
        };
        return Side switch
        {
            AddressTermSide.Before => name + " (before)",
            AddressTermSide.After => name + " (after)",
            _ => name,
        };
    }
}

/// <summary>Addresses of one family in words: what is included, without what is excluded. Exact.</summary>
internal sealed record AddressScope(
    IpFamily Family, ImmutableArray<AddressTerm> Include, ImmutableArray<AddressTerm> Exclude)
{
    /// <summary>Names in one text; more are counted.</summary>
    private const int NamesMax = 8;

    /// <summary>What is included is every address of the family.</summary>
    public bool StartsEverywhere => Include is [{ Kind: AddressTermKind.Prefix } one]
        && one.Name == IpPrefix.Universal(Family).ToString();

    public bool Contains(UInt128 address) =>
        Include.Any(term => term.Set.Contains(address)) && !Exclude.Any(term => term.Set.Contains(address));

    /// <summary>"10.0.0.0/8", "any IPv4 address but members of sg-a", "list pl-1 and 192.0.2.7".</summary>
    public override string ToString() =>
        Names(Include, Family) + Without;

    private string Without => Exclude.IsEmpty ? "" : $" but {Names(Exclude, Family)}";

    /// <summary>Scopes of the two families together: "anywhere but members of sg-a" where they say the same.</summary>
    public static string Text(ImmutableArray<AddressScope> scopes) =>
        scopes.Length == 2 && scopes.All(scope => scope.StartsEverywhere) && scopes[0].Without == scopes[1].Without
            ? "anywhere" + scopes[0].Without
            : scopes.Length == 2 && scopes[0].ToString() == scopes[1].ToString() ? scopes[0].ToString()
            : scopes.All(scope => !scope.Exclude.IsEmpty) ? string.Join(", and ", scopes)
            : string.Join(" and ", scopes.OrderByDescending(scope => scope.Exclude.IsEmpty));

    public bool Equals(AddressScope? other) =>
        other is not null && Family == other.Family && Include.SequenceEqual(other.Include)
        && Exclude.SequenceEqual(other.Exclude);

    public override int GetHashCode() => HashCode.Combine(Family, Include.Length, Exclude.Length, Include[0]);

    private static string Names(ImmutableArray<AddressTerm> terms, IpFamily family)
    {
        string universal = IpPrefix.Universal(family).ToString();
        string[] names = [.. terms.Take(NamesMax).Select(term =>
            term.Kind != AddressTermKind.Prefix || term.Name != universal ? term.ToString()
            : family == IpFamily.V4 ? "any IPv4 address" : "any IPv6 address")];
        int more = terms.Length - names.Length;
        return more > 0 ? $"{string.Join(", ", names)} and {more} more prefixes"
            : names.Length == 1 ? names[0]
            : $"{string.Join(", ", names[..^1])} and {names[^1]}";
    }
}
