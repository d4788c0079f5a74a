using Agent.Policy;
using Direction = Agent.V1.Direction;
using IpFamily = Agent.V1.IpFamily;

namespace Agent.Cli.Conversion;

/// <summary>A rule of a cloud that only allows.</summary>
/// <param name="From">Where it stands.</param>
/// <param name="Rule">Accept, without an id if the provider gives none.</param>
/// <param name="Family">The one family that it speaks of; unspecified: both, or whatever its remote side says.</param>
internal sealed record AllowRule(Origin From, V1.Rule Rule, IpFamily Family);

/// <summary>
/// Groups of clouds that only allow (AWS, OpenStack): no drop rules, no order, and closed both ways without a rule.
/// They become basic groups without inner access that close their egress themselves, because advanced groups could not
/// name each other.
/// </summary>
internal static class AllowRules
{
    private static readonly IpFamily[] Families = [IpFamily.Ipv4, IpFamily.Ipv6];

    public static void Add(
        PolicyDraft draft, Findings findings, V1.SecurityGroup group, IReadOnlyList<AllowRule> rules, Origin from)
    {
        group.Type = V1.GroupType.Basic;
        group.InnerAccessPolicy = V1.Policy.Drop;
        AllowRule[] own = [.. rules.Where(rule => NamesItself(group, rule))];
        foreach (AllowRule rule in rules.Except(own))
        {
            if (rule.Rule.RemoteCase == V1.Rule.RemoteOneofCase.GroupId && NeedsFamily(rule))
            {
                // A group has members of both families; the guest's own address tells which packets are meant.
                rule.Rule.OwnCidr = PolicyDraft.Everything(rule.Family);
            }

            draft.Rule(group, rule.Rule, rule.From);
        }

        AddInner(findings, group, own);
        foreach (IpFamily family in Families.Where(family => !IsOpen(group, Direction.Egress, family)))
        {
            draft.CloseEgress(group, family, from);
            if (group.InnerAccessPolicy == V1.Policy.Accept)
            {
                findings.Warn(
                    from, ConversionCodes.Value,
                    "members may not send everywhere, but an agent with semantics.egress_inner = inner_first would let "
                    + "them send to each other", "Leave that setting at custom_first.");
            }
        }
    }

    /// <summary>
    /// A group may not name itself: what all members may send to each other is inner access, nothing less and nothing
    /// more.
    /// </summary>
    private static void AddInner(Findings findings, V1.SecurityGroup group, AllowRule[] own)
    {
        bool inner = Families.All(family => own.Any(rule => rule.Rule.Direction == Direction.Ingress
            && rule.Rule.Protocol == "all" && Covers(rule, family)));
        if (inner)
        {
            group.InnerAccessPolicy = V1.Policy.Accept;
        }

        foreach (AllowRule rule in own)
        {
            bool ingress = rule.Rule.Direction == Direction.Ingress;
            bool open = Families.Where(family => Covers(rule, family))
                .All(family => IsOpen(group, rule.Rule.Direction, family));
            if (ingress && inner && rule.Rule.Protocol == "all")
            {
                continue;
            }

            if ((ingress && inner) || open)
            {
                findings.Warn(
                    rule.From, ConversionCodes.LeftOut, "left out: another rule of the group allows all of it",
                    "Nothing: no packet is judged differently.");
                continue;
            }

            findings.Inexpressible(
                rule.From, isDrop: false,
                ingress ? "members may send each other a part of all traffic: only all of it can be said"
                    : "the group allows sending to its own members: a group cannot name itself",
                "Put the same members in a second group, and name that one here.");
        }
    }

    private static bool NamesItself(V1.SecurityGroup group, AllowRule rule) =>
        rule.Rule.RemoteCase == V1.Rule.RemoteOneofCase.GroupId && rule.Rule.GroupId == group.Id;

    private static bool NeedsFamily(AllowRule rule) => rule.Family != IpFamily.Unspecified
        && rule.Rule.Protocol is not ("icmp" or "icmpv6" or "1" or "58");

    private static bool Covers(AllowRule rule, IpFamily family) =>
        rule.Family == IpFamily.Unspecified || rule.Family == family;

    private static bool IsOpen(V1.SecurityGroup group, Direction direction, IpFamily family) =>
        group.Rules.Any(rule => rule.Direction == direction && rule.Policy == V1.Policy.Accept
            && rule.Protocol == "all" && rule.OwnCidr.Length == 0
            && rule.RemoteCase == V1.Rule.RemoteOneofCase.Cidr
            && IpPrefix.TryParse(rule.Cidr, out IpPrefix prefix, out _) && prefix.IsUniversal
            && (prefix.Family == Policy.IpFamily.V4) == (family == IpFamily.Ipv4));
}
