using Agent.Policy;
using static Agent.Contract.FaultList;

namespace Agent.Contract;

/// <summary>
/// Checks what resources say of each other, over the whole state: nothing may name what is not there.
/// </summary>
internal sealed class ReferenceCheck(PolicySnapshot policy, PolicyLimits limits, FaultList faults)
{
    /// <summary>Heavier than any limit: sums end here, whatever was sent.</summary>
    private const long Heavy = 1L << 32;

    private readonly Dictionary<string, long> weights = new(StringComparer.Ordinal);

    /// <summary>Where a rule stands. Written out only for a fault: a host has as many rules as there are.</summary>
    private readonly record struct RulePath(string GroupId, string RuleId)
    {
        public override string ToString() => $"groups[{Place(GroupId)}].rules[{Place(RuleId)}]";
    }

    public void Run()
    {
        foreach (SecurityGroup group in policy.Groups.Values)
        {
            Check(group);
        }

        foreach (Vnic vnic in policy.Vnics.Values)
        {
            Check(vnic);
        }

        CheckUnique();
        new VpcCheck(policy, faults).Run();
    }

    private void Check(SecurityGroup group)
    {
        string at = $"groups[{Place(group.Id)}]";
        int groupRules = 0;
        long weight = 0;
        foreach (GroupRule rule in group.Rules)
        {
            var path = new RulePath(group.Id, rule.Id);
            weight = Math.Min(weight + Weight(path, rule), Heavy);
            if (rule.Remote is Remote.Group other)
            {
                groupRules++;
                CheckGroupReference(path, group, rule, other.Id);
            }
            else if (rule.Remote is Remote.PrefixList list)
            {
                CheckListFamily(path, rule, list.Id);
            }
        }

        weights.Add(group.Id, weight);
        if (group.Type == GroupType.Basic && groupRules > limits.GroupRulesPerBasicGroup)
        {
            faults.Add($"{at}.rules", Codes.GroupRuleLimit,
                $"{groupRules} rules name a group, limit {limits.GroupRulesPerBasicGroup}",
                "Use prefix lists or fewer groups.");
        }
    }

    private long Weight(RulePath path, GroupRule rule)
    {
        long weight = 1;
        if (rule.Remote is Remote.PrefixList prefixes)
        {
            if (policy.PrefixLists.TryGetValue(prefixes.Id, out PrefixList? list))
            {
                weight *= list.MaxEntries;
            }
            else
            {
                faults.Add(
                    $"{path}.prefix_list_id", Codes.PrefixListNotFound, $"no prefix list {Show(prefixes.Id)}",
                    "Send the list, or correct the id.");
            }
        }

        if (rule.PortListId is string id)
        {
            if (policy.PortLists.TryGetValue(id, out PortList? list))
            {
                weight *= list.MaxEntries;
            }
            else
            {
                faults.Add($"{path}.port_list_id", Codes.PortListNotFound, $"no port list {Show(id)}",
                    "Send the list, or correct the id.");
            }
        }

        return Math.Min(weight, Heavy);
    }

    private void CheckGroupReference(RulePath path, SecurityGroup group, GroupRule rule, string id)
    {
        bool ingress = rule.Direction == Direction.Ingress;
        if (group.Type == GroupType.Advanced)
        {
            faults.Add(
                $"{path}.group_id", Codes.AdvancedReference, "an advanced group cannot name a group",
                "Use a CIDR or a prefix list.");
        }

        if (id == group.Id)
        {
            faults.Add(
                $"{path}.group_id", ingress ? Codes.SelfIngress : Codes.SelfEgress, "the group names itself",
                "Use inner_access_policy for traffic between members.");
        }
        else if (!policy.Groups.TryGetValue(id, out SecurityGroup? other))
        {
            faults.Add(
                $"{path}.group_id", ingress ? Codes.SourceNotFound : Codes.DestNotFound,
                $"no group {Show(id)}",
                "Send the group (its members are enough), or correct the id.");
        }
        else if (other.VpcId != group.VpcId)
        {
            faults.Add($"{path}.group_id", ingress ? Codes.SourceMismatch : Codes.DestMismatch,
                $"group {Place(id)} is in VPC {Place(other.VpcId)}, not {Place(group.VpcId)}",
                "A group works in its own VPC only.");
        }
        else if (other.Type == GroupType.Advanced)
        {
            faults.Add(
                $"{path}.group_id", Codes.AdvancedReference, $"group {Place(id)} is advanced and cannot be named",
                "Use a CIDR or a prefix list.");
        }
    }

    private void CheckListFamily(RulePath path, GroupRule rule, string id)
    {
        if (!policy.PrefixLists.TryGetValue(id, out PrefixList? list))
        {
            return;
        }

        bool protocolFits = rule.Protocol switch
        {
            IpProtocol.Icmp => list.Family == IpFamily.V4,
            IpProtocol.Icmpv6 => list.Family == IpFamily.V6,
            _ => true,
        };
        if (!protocolFits || (rule.OwnSide is IpPrefix own && own.Family != list.Family))
        {
            faults.Add($"{path}.prefix_list_id", Codes.ListFamily,
                $"list {Place(id)} is of another family than the rule", "Use a list of the other family.");
        }
    }

    private void Check(Vnic vnic)
    {
        string path = $"vnics[{Place(vnic.Id)}]";
        var types = new HashSet<GroupType>();
        long weight = 0;
        foreach (string id in vnic.GroupIds)
        {
            if (!policy.Groups.TryGetValue(id, out SecurityGroup? group))
            {
                faults.Add(
                    $"{path}.group_ids", Codes.GroupNotFound, $"no group {Show(id)}",
                    "Send the group, or correct the id.");
                continue;
            }

            types.Add(group.Type);
            weight = Math.Min(weight + weights[id], Heavy);
            if (group.VpcId != vnic.VpcId)
            {
                faults.Add(
                    $"{path}.group_ids", Codes.VpcMismatch,
                    $"group {Place(id)} is in VPC {Place(group.VpcId)}, the vNIC in {Place(vnic.VpcId)}",
                    "Use groups of the vNIC's VPC.");
            }
        }

        if (types.Count > 1)
        {
            faults.Add(
                $"{path}.group_ids", Codes.MultiGroupType, "basic and advanced groups together",
                "Use groups of one type.");
        }

        if (weight > limits.WeightedRulesPerVnic)
        {
            faults.Add($"{path}.group_ids", Codes.RulesPerVnic,
                $"rules weigh {weight} over all groups, limit {limits.WeightedRulesPerVnic}",
                "Use fewer rules or groups; a list weighs its max_entries.");
        }
    }

    private void CheckUnique()
    {
        var interfaces = new Dictionary<string, string>(StringComparer.Ordinal);
        var macs = new Dictionary<(string, MacAddress), string>();
        var addresses = new Dictionary<(string, IpPrefix), string>();
        foreach (Vnic vnic in policy.Vnics.Values)
        {
            Claim(interfaces, vnic.InterfaceName, vnic, "interface_name", vnic.InterfaceName);
            Claim(macs, (vnic.VpcId, vnic.Mac), vnic, "mac", vnic.Mac);
            foreach (IpPrefix address in vnic.Addresses.Concat(vnic.DelegatedPrefixes))
            {
                Claim(addresses, (vnic.VpcId, address), vnic, "addresses", address);
            }
        }
    }

    private void Claim<TKey, TValue>(
        Dictionary<TKey, string> taken, TKey key, Vnic vnic, string field, TValue value) where TKey : notnull
    {
        if (!taken.TryAdd(key, vnic.Id) && taken[key] != vnic.Id)
        {
            faults.Add($"vnics[{Place(vnic.Id)}].{field}", Codes.Duplicate,
                $"{Show($"{value}")} belongs to vNIC {Place(taken[key])} already", "Give each vNIC its own.");
        }
    }
}
