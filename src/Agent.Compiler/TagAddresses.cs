using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>The addresses behind a tag: those of a prefix, of a list, or of a group's members and vNICs.</summary>
/// <param name="Listed">Prefixes that the policy lists.</param>
/// <param name="Vnics">Addresses of vNICs, sorted; some may be listed as well.</param>
internal sealed record TagAddresses(ImmutableSortedSet<IpPrefix> Listed, ImmutableArray<IpPrefix> Vnics)
{
    public int Count => Listed.Count + Vnics.Length;

    public IEnumerable<IpPrefix> All => Listed.Concat(Vnics);

    /// <summary>Whether just this prefix is named, not one around it.</summary>
    public bool Names(IpPrefix prefix) => Listed.Contains(prefix) || Vnics.BinarySearch(prefix) >= 0;

    /// <summary>Prefixes that may be named by one and not by the other.</summary>
    /// <returns>Empty: none; null: that is not known without looking at all of them.</returns>
    public ImmutableArray<IpPrefix>? Touched(TagAddresses other) =>
        MemberHistory.Between(Listed, other.Listed) is not { } listed ? null
        : Vnics == other.Vnics ? listed
        : [.. listed, .. Vnics.Except(other.Vnics), .. other.Vnics.Except(Vnics)];

    public bool Equals(TagAddresses? other) => ReferenceEquals(this, other)
        || (other is not null
            && (ReferenceEquals(Listed, other.Listed)
                || (Listed.Count == other.Listed.Count && Listed.SequenceEqual(other.Listed)))
            && (Vnics == other.Vnics || Vnics.AsSpan().SequenceEqual(other.Vnics.AsSpan())));

    public override int GetHashCode() => Count;
}

/// <summary>Everything that the policies of a VPC name, by tag.</summary>
internal sealed class TagTable
{
    private TagTable(
        int sources, Dictionary<string, TagAddresses> prefixes, SortedDictionary<string, TagAddresses> named) =>
        (Sources, Prefixes, Named) = (sources, prefixes, named);

    /// <summary>How many profiles name them.</summary>
    public int Sources { get; }

    /// <summary>"c:10.0.0.0/8": a tag is always the same addresses.</summary>
    private Dictionary<string, TagAddresses> Prefixes { get; }

    /// <summary>Groups and lists, whose addresses change.</summary>
    public SortedDictionary<string, TagAddresses> Named { get; }

    public int Count => Prefixes.Count + Named.Count;

    public IEnumerable<string> Tags => Prefixes.Keys.Concat(Named.Keys);

    public TagAddresses this[string tag] => Prefixes.TryGetValue(tag, out TagAddresses? prefix) ? prefix : Named[tag];

    /// <param name="tags">Of each profile.</param>
    /// <param name="addressesOf">Asked for groups and lists.</param>
    /// <param name="before">Prefixes that it has are not read again.</param>
    public static TagTable Of(
        IReadOnlyCollection<IReadOnlySet<string>> tags, Func<string, TagAddresses> addressesOf, TagTable? before)
    {
        var prefixes = new Dictionary<string, TagAddresses>(before?.Prefixes.Count ?? 0, StringComparer.Ordinal);
        var named = new SortedDictionary<string, TagAddresses>(StringComparer.Ordinal);
        foreach (string tag in tags.SelectMany(some => some))
        {
            if (tag[0] != 'c')
            {
                if (!named.ContainsKey(tag))
                {
                    named.Add(tag, addressesOf(tag));
                }
            }
            else if (!prefixes.ContainsKey(tag))
            {
                prefixes.Add(tag, before?.Prefixes.GetValueOrDefault(tag)
                    ?? new TagAddresses([IpPrefix.Parse(tag[2..])], []));
            }
        }

        return new TagTable(tags.Count, prefixes, named);
    }

    /// <summary>The same tags; this very table if their addresses are the same, too.</summary>
    /// <param name="addressesOf">Asked for groups and lists.</param>
    public TagTable With(Func<string, TagAddresses> addressesOf)
    {
        var named = new SortedDictionary<string, TagAddresses>(StringComparer.Ordinal);
        bool same = true;
        foreach ((string tag, TagAddresses before) in Named)
        {
            TagAddresses now = addressesOf(tag);
            bool kept = ReferenceEquals(before.Listed, now.Listed) && before.Vnics == now.Vnics;
            same &= kept;
            named.Add(tag, kept ? before : now);
        }

        return same ? this : new TagTable(Sources, Prefixes, named);
    }

    /// <summary>Whether both have the same tags.</summary>
    public bool HasTagsOf(TagTable other) =>
        (ReferenceEquals(Prefixes, other.Prefixes)
            || (Prefixes.Count == other.Prefixes.Count && Prefixes.Keys.All(other.Prefixes.ContainsKey)))
        && Named.Keys.SequenceEqual(other.Named.Keys);
}
