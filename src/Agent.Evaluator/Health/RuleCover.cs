using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Health;

/// <summary>
/// The documented class "redundant": some other rule of the group covers all conditions of this one, whose priority
/// is not higher (semantics.md section 6). Nothing is said about policies, so it is no reason to delete a rule.
/// </summary>
internal sealed class RuleCover(PolicyOracle oracle)
{
    private static readonly PortRange[] AllPorts = [PortRange.All];

    private readonly Dictionary<Remote, Addresses> remotes = [];

    /// <summary>The first rule that covers the other one; null if none does.</summary>
    public GroupRule? Of(GroupRule rule, ImmutableArray<GroupRule> group) => group.FirstOrDefault(other =>
        other.Id != rule.Id && other.Direction == rule.Direction && other.Priority <= rule.Priority
        && Covers(other, rule));

    /// <summary>Every packet that matches the second rule matches the first.</summary>
    private bool Covers(GroupRule wide, GroupRule narrow) =>
        (wide.Protocol is null || wide.Protocol == narrow.Protocol)
        && (wide.OwnSide is not { } own || (narrow.OwnSide is { } part && own.Family == part.Family
            && own.First <= part.First && part.Last <= own.Last))
        && (wide.SourcePorts is not { } source || (narrow.SourcePorts is { } some
            && source.First <= some.First && some.Last <= source.Last))
        && PortsOf(narrow).All(range => IsIn(range, PortsOf(wide)))
        && Matching(narrow).Of(IpFamily.V4).IsSubsetOf(Matching(wide).Of(IpFamily.V4))
        && Matching(narrow).Of(IpFamily.V6).IsSubsetOf(Matching(wide).Of(IpFamily.V6));

    private IEnumerable<PortRange> PortsOf(GroupRule rule) =>
        oracle.DestinationPortsOf(rule) is { } ports ? ports : AllPorts;

    // Ranges of a list may touch or overlap.
    private static bool IsIn(PortRange range, IEnumerable<PortRange> ranges)
    {
        int next = range.First;
        foreach (PortRange one in ranges.OrderBy(one => one.First))
        {
            next = one.First <= next && one.Last >= next ? one.Last + 1 : next;
        }

        return next > range.Last;
    }

    // Of the families that the rule can match at all.
    private Addresses Matching(GroupRule rule)
    {
        if (!remotes.TryGetValue(rule.Remote, out Addresses? addresses))
        {
            remotes.Add(rule.Remote, addresses = rule.Remote switch
            {
                Remote.Cidr cidr => Addresses.Of([cidr.Prefix]),
                Remote.PrefixList list => oracle.EntriesOf(list.Id),
                Remote.Group group => oracle.MembersOf(group.Id),
                _ => throw new System.Diagnostics.UnreachableException(),
            });
        }

        bool v4 = rule.Protocol != IpProtocol.Icmpv6 && rule.OwnSide is not { Family: IpFamily.V6 };
        bool v6 = rule.Protocol != IpProtocol.Icmp && rule.OwnSide is not { Family: IpFamily.V4 };
        return new Addresses(v4 ? addresses.V4 : AddressSet.Empty, v6 ? addresses.V6 : AddressSet.Empty);
    }
}
