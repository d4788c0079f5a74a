using System.Globalization;
using Agent.Cli.Input;
using Direction = Agent.V1.Direction;
using IpFamily = Agent.V1.IpFamily;

namespace Agent.Cli.Conversion;

/// <summary>
/// Amazon EC2's DescribeSecurityGroups and DescribePrefixLists
/// (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroup.html, API_IpPermission.html).
/// </summary>
internal sealed class AwsReader(PolicyDraft draft, Findings findings, string? vpc)
{
    /// <summary>What groups name; read before all groups.</summary>
    public void Lists(ForeignObject answer)
    {
        foreach (ForeignObject list in answer.Objects("PrefixLists"))
        {
            PrefixList(list);
        }
    }

    public void Groups(ForeignObject answer)
    {
        if (answer.Has("GroupId"))
        {
            Group(answer); // one of an answer's groups by itself
            return;
        }

        answer.Ignore("ResponseMetadata");
        if (answer.Text("NextToken") is { Length: > 0 })
        {
            findings.Warn(
                answer.At("NextToken"), ConversionCodes.Partial, "further groups are on the next page",
                "Convert all pages together.");
        }

        foreach (ForeignObject group in answer.Objects("SecurityGroups"))
        {
            Group(group);
        }

        findings.Overlooked(answer);
    }

    private void Group(ForeignObject from)
    {
        string id = from.Needed("GroupId");
        if (draft.Group(id, from.Origin) is not { } group)
        {
            return;
        }

        group.VpcId = from.Text("VpcId") is { Length: > 0 } named ? named : vpc ?? from.Needed("VpcId");
        group.Name = draft.Words(from, "GroupName", 128);
        group.Description = draft.Words(from, "Description", 256);
        from.Ignore("OwnerId", "SecurityGroupArn");
        foreach (ForeignObject tag in from.Objects("Tags"))
        {
            group.Labels[draft.Words(tag, "Key", 128)] = draft.Words(tag, "Value", 256);
        }

        string owner = from.Text("OwnerId");
        from.MustHave("IpPermissions");
        from.MustHave("IpPermissionsEgress");
        var rules = new List<AllowRule>();
        foreach (ForeignObject permission in from.Objects("IpPermissions"))
        {
            rules.AddRange(Permission(permission, Direction.Ingress, group.VpcId, owner));
        }

        foreach (ForeignObject permission in from.Objects("IpPermissionsEgress"))
        {
            rules.AddRange(Permission(permission, Direction.Egress, group.VpcId, owner));
        }

        AllowRules.Add(draft, findings, group, rules, from.Origin);
        findings.Overlooked(from);
    }

    private void PrefixList(ForeignObject from)
    {
        var list = new V1.PrefixList
        {
            Id = from.Needed("PrefixListId"),
            Name = draft.Words(from, "PrefixListName", 128),
        };
        from.Ignore(
            "AddressFamily", "MaxEntries", "OwnerId", "PrefixListArn", "State", "StateMessage", "Tags", "Version");
        from.MustHave("Cidrs"); // describe-managed-prefix-lists leaves the entries out
        list.Entries.AddRange(from.Texts("Cidrs"));
        list.Family = list.Entries.Any(entry => entry.Contains(':', StringComparison.Ordinal))
            ? IpFamily.Ipv6 : IpFamily.Ipv4;
        draft.PrefixList(list, from.Origin);
        findings.Overlooked(from);
    }

    /// <summary>One permission is a rule for each remote side that it lists.</summary>
    private List<AllowRule> Permission(ForeignObject from, Direction direction, string vpcId, string owner)
    {
        V1.Rule? common = Traffic(from, direction);
        var rules = new List<AllowRule>();
        foreach (ForeignObject range in from.Objects("IpRanges"))
        {
            Add(range, rule => rule.Cidr = range.Needed("CidrIp"));
        }

        foreach (ForeignObject range in from.Objects("Ipv6Ranges"))
        {
            Add(range, rule => rule.Cidr = range.Needed("CidrIpv6"));
        }

        foreach (ForeignObject list in from.Objects("PrefixListIds"))
        {
            string id = list.Needed("PrefixListId");
            if (draft.HasPrefixList(id))
            {
                Add(list, rule => rule.PrefixListId = id);
            }
            else
            {
                findings.Inexpressible(
                    list.Origin, isDrop: false, $"the entries of {SchemaReader.Shorten(id)} are in no document",
                    "Add a file with the answer of: aws ec2 describe-prefix-lists.");
            }
        }

        foreach (ForeignObject pair in from.Objects("UserIdGroupPairs"))
        {
            if (GroupOf(pair, vpcId, owner) is string id)
            {
                Add(pair, rule => rule.GroupId = id);
            }
        }

        return findings.SaysMore(from, isDrop: false) || common is null ? [] : rules;

        void Add(ForeignObject side, Action<V1.Rule> remote)
        {
            V1.Rule rule = common?.Clone() ?? new V1.Rule();
            rule.Description = draft.Words(side, "Description", 512);
            remote(rule);
            if (!findings.SaysMore(side, isDrop: false))
            {
                rules.Add(new AllowRule(side.Origin, rule, IpFamily.Unspecified));
            }
        }
    }

    /// <summary>Protocol and ports; null if no policy can say them, which has been found.</summary>
    private V1.Rule? Traffic(ForeignObject from, Direction direction)
    {
        string protocol = from.Needed("IpProtocol");
        int? first = from.Number("FromPort");
        int? last = from.Number("ToPort");
        var rule = new V1.Rule
        {
            Direction = direction,
            Policy = V1.Policy.Accept,
            Protocol = protocol == "-1" ? "all" : protocol,
        };
        switch (protocol)
        {
            case "tcp" or "udp" or "6" or "17":
                rule.PortRange = Ports.Of(findings, from.Origin, first, last) ?? "";
                return rule.PortRange.Length > 0 ? rule : null;
            case "icmp" or "icmpv6" or "1" or "58" when first is null or -1 && last is null or -1:
                return rule;
            case "icmp" or "icmpv6" or "1" or "58":
                findings.Inexpressible(
                    from.Origin, isDrop: false,
                    string.Create(CultureInfo.InvariantCulture, $"{protocol} type {first}, code {last}: rules know ")
                        + "no ICMP types, and the whole protocol would be more",
                    "Allow the whole protocol by hand, if that is meant.");
                return null;
            default:
                // All ports, whatever stands there (API_IpPermission).
                return rule;
        }
    }

    /// <summary>A group of the same VPC; null if it is another one, or nobody can tell.</summary>
    private string? GroupOf(ForeignObject pair, string vpcId, string owner)
    {
        pair.Ignore("GroupName");
        string id = pair.Needed("GroupId");
        string otherVpc = pair.Text("VpcId");
        string peering = pair.Text("VpcPeeringConnectionId");
        string status = pair.Text("PeeringStatus");
        string account = pair.Text("UserId");
        bool foreign = (otherVpc.Length > 0 && otherVpc != vpcId) || peering.Length > 0 || status.Length > 0
            || (otherVpc.Length == 0 && account.Length > 0 && owner.Length > 0 && account != owner);
        if (!foreign)
        {
            return id;
        }

        findings.Inexpressible(
            pair.Origin, isDrop: false,
            $"{SchemaReader.Shorten(id)} is a group of another VPC or account: a group works in its own VPC only",
            "Name the peers' addresses, by CIDR or with a prefix list.");
        return null;
    }
}
