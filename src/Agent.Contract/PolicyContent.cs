using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Contract;

/// <summary>Whether two resources say the same, and in which members groups differ. Where order has no meaning for
/// <see cref="StateHash"/>, it has none here.</summary>
/// <remarks>
/// What a delta did not touch is the same object, so most comparisons are of references.
/// </remarks>
public static class PolicyContent
{
    public static bool AreSame(SecurityGroup left, SecurityGroup right) =>
        ReferenceEquals(left, right) || (SameMembers(left.Members, right.Members) && AreSameButMembers(left, right));

    /// <summary>Everything but who is in it.</summary>
    public static bool AreSameButMembers(SecurityGroup left, SecurityGroup right) =>
        ReferenceEquals(left, right)
        || (SameRules(left.Rules, right.Rules)
            && left.Labels.SequenceEqual(right.Labels)
            && left with { Members = right.Members, Rules = right.Rules, Labels = right.Labels } == right);

    public static bool AreSame(PrefixList left, PrefixList right) =>
        ReferenceEquals(left, right)
        || (left.Entries.SetEquals(right.Entries) && left with { Entries = right.Entries } == right);

    public static bool AreSame(PortList left, PortList right) =>
        ReferenceEquals(left, right)
        || (left.Entries.OrderBy(range => (range.First, range.Last))
                .SequenceEqual(right.Entries.OrderBy(range => (range.First, range.Last)))
            && left with { Entries = right.Entries } == right);

    public static bool AreSame(Vnic left, Vnic right) =>
        ReferenceEquals(left, right)
        || (left.Addresses.SequenceEqual(right.Addresses)
            && left.DelegatedPrefixes.Order().SequenceEqual(right.DelegatedPrefixes.Order())
            && left.GroupIds.Order(StringComparer.Ordinal).SequenceEqual(right.GroupIds.Order(StringComparer.Ordinal))
            && left with
            {
                Addresses = right.Addresses,
                DelegatedPrefixes = right.DelegatedPrefixes,
                GroupIds = right.GroupIds,
            } == right);

    public static bool AreSame(Vpc left, Vpc right) =>
        ReferenceEquals(left, right) || left.UplinkInterfaces.SetEquals(right.UplinkInterfaces);

    /// <summary>Members that are in one and not in the other, in order: one walk, side by side.</summary>
    public static IEnumerable<(IpPrefix Member, bool IsAdded)> Difference(
        ImmutableSortedSet<IpPrefix> before, ImmutableSortedSet<IpPrefix> after)
    {
        if (ReferenceEquals(before, after))
        {
            yield break;
        }

        using ImmutableSortedSet<IpPrefix>.Enumerator old = before.GetEnumerator();
        using ImmutableSortedSet<IpPrefix>.Enumerator fresh = after.GetEnumerator();
        bool hasOld = old.MoveNext();
        bool hasFresh = fresh.MoveNext();
        while (hasOld || hasFresh)
        {
            int order = !hasOld ? 1 : !hasFresh ? -1 : old.Current.CompareTo(fresh.Current);
            if (order != 0)
            {
                yield return (order < 0 ? old.Current : fresh.Current, IsAdded: order > 0);
            }

            hasOld = order <= 0 ? old.MoveNext() : hasOld;
            hasFresh = order >= 0 ? fresh.MoveNext() : hasFresh;
        }
    }

    private static bool SameMembers(ImmutableSortedSet<IpPrefix> left, ImmutableSortedSet<IpPrefix> right) =>
        ReferenceEquals(left, right) || (left.Count == right.Count && left.SequenceEqual(right));

    private static bool SameRules(ImmutableArray<GroupRule> left, ImmutableArray<GroupRule> right) =>
        left == right || left.OrderBy(rule => rule.Id, StringComparer.Ordinal)
            .SequenceEqual(right.OrderBy(rule => rule.Id, StringComparer.Ordinal));
}
