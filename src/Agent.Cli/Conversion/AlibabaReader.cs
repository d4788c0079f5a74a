using System.Globalization;
using Agent.Cli.Input;
using Agent.V1;
using Direction = Agent.V1.Direction;

namespace Agent.Cli.Conversion;

/// <summary>
/// Alibaba Cloud's DescribeSecurityGroupAttribute, with DescribeSecurityGroups for what that does not say, and
/// DescribePrefixListAttributes and port lists for what rules name (semantics.md sections 2 and 3). The model is ours.
/// </summary>
internal sealed class AlibabaReader(PolicyDraft draft, Findings findings, GroupType type)
{
    /// <summary>From DescribeSecurityGroups: type, and whether a service manages the group.</summary>
    private readonly Dictionary<string, (string Type, bool Managed)> listed = new(StringComparer.Ordinal);

    /// <summary>Groups that are in the documents, whether they were read already or not.</summary>
    public HashSet<string> Documents { get; } = new(StringComparer.Ordinal);

    /// <summary>What groups name, and what is said of them elsewhere; read before all groups.</summary>
    public void Lists(ForeignObject answer)
    {
        answer.Ignore("RequestId", "RegionId", "TotalCount", "PageNumber", "PageSize");
        if (answer.HasObject("SecurityGroups"))
        {
            Listed(answer.Object("SecurityGroups")!);
        }
        else if (answer.Has("PrefixListId"))
        {
            PrefixList(answer);
        }
        else if (answer.Has("PortRangeListId"))
        {
            PortList(answer);
        }
    }

    public void Groups(ForeignObject answer)
    {
        if (answer.Has("SecurityGroupId") || answer.HasObject("Permissions"))
        {
            Group(answer);
        }
    }

    private void Listed(ForeignObject groups)
    {
        foreach (ForeignObject group in groups.Objects("SecurityGroup"))
        {
            listed[group.Needed("SecurityGroupId")] =
                (group.Text("SecurityGroupType"), group.Flag("ServiceManaged") == true);
        }
    }

    private void PrefixList(ForeignObject from)
    {
        from.Ignore("CreationTime", "Description");
        var list = new PrefixList
        {
            Id = from.Needed("PrefixListId"),
            Name = draft.Words(from, "PrefixListName", 128),
            MaxEntries = (uint)Math.Max(0, from.Number("MaxEntries") ?? 0),
            Family = from.Needed("AddressFamily").ToUpperInvariant() switch
            {
                "IPV4" => IpFamily.Ipv4,
                "IPV6" => IpFamily.Ipv6,
                _ => IpFamily.Unspecified, // the agent's checks say so
            },
        };
        from.MustHave("Entries");
        IReadOnlyList<ForeignObject> entries = from.HasList("Entries")
            ? from.Objects("Entries") : from.Object("Entries")?.Objects("Entry") ?? [];
        list.Entries.AddRange(entries.Select(entry => entry.Needed("Cidr")));
        draft.PrefixList(list, from.Origin);
        findings.Overlooked(from);
    }

    private void PortList(ForeignObject from)
    {
        Whole(from);
        from.Ignore("CreationTime", "Description");
        var list = new PortList
        {
            Id = from.Needed("PortRangeListId"),
            Name = draft.Words(from, "PortRangeListName", 128),
            MaxEntries = (uint)Math.Max(0, from.Number("MaxEntries") ?? 0),
        };
        from.MustHave("Entries");
        list.Entries.AddRange(from.Objects("Entries").Select(entry => entry.Needed("PortRange")));
        draft.PortList(list, from.Origin);
        findings.Overlooked(from);
    }

    private void Group(ForeignObject from)
    {
        string id = from.Needed("SecurityGroupId");
        if (draft.Group(id, from.Origin) is not { } group)
        {
            return;
        }

        Whole(from);
        from.Ignore("SnapshotPolicyIds", "SecurityGroupType");
        group.VpcId = from.Text("VpcId");
        if (group.VpcId.Length == 0)
        {
            findings.Fault(
                from.Origin, ConversionCodes.Inexpressible, "the group is of the classic network: it is in no VPC",
                "Leave it out: its rules are of two kinds of interfaces.");
            group.VpcId = "none";
        }

        group.Name = draft.Words(from, "SecurityGroupName", 128);
        group.Description = draft.Words(from, "Description", 256);
        group.ServiceManaged = listed.TryGetValue(id, out (string Type, bool Managed) more) && more.Managed;
        from.MustHave("Permissions");
        ForeignObject[] permissions = [.. from.Object("Permissions")?.Objects("Permission") ?? []];
        string inner = from.Needed("InnerAccessPolicy").ToUpperInvariant();
        group.Type = TypeOf(from, more.Type ?? "", inner, permissions);
        group.InnerAccessPolicy = PolicyOf(from, "InnerAccessPolicy");
        foreach (ForeignObject permission in permissions)
        {
            if (Rule(permission) is Rule rule)
            {
                draft.Rule(group, rule, permission.Origin);
            }
        }

        findings.Overlooked(from);
    }

    /// <summary>A page of the rules is no group: a drop rule on the next page would be missing.</summary>
    private void Whole(ForeignObject from)
    {
        if (from.Text("NextToken").Length > 0)
        {
            findings.Fault(
                from.At("NextToken"), ConversionCodes.Partial, "this is one page of several: rules are missing",
                "Ask for all at once (MaxResults 1000), or join the pages' lists in one document.");
        }
    }

    /// <summary>The answer itself does not say it; a wrong guess would open or close a whole direction.</summary>
    private GroupType TypeOf(ForeignObject from, string known, string inner, ForeignObject[] permissions)
    {
        known = known.Length > 0 ? known : from.Text("SecurityGroupType");
        switch (known.ToUpperInvariant())
        {
            case "NORMAL": return GroupType.Basic;
            case "ENTERPRISE": return GroupType.Advanced;
        }

        if (type != GroupType.Unspecified)
        {
            return type;
        }

        if (inner == "ACCEPT" || permissions.Any(rule => rule.Has("SourceGroupId") || rule.Has("DestGroupId")))
        {
            return GroupType.Basic; // an advanced group has neither (semantics.md 2)
        }

        findings.Fault(
            from.Origin, ConversionCodes.Missing, "nothing says whether the group is basic or advanced",
            "Add a file with the answer of DescribeSecurityGroups, or say it for all such groups with --group-type.");
        return GroupType.Advanced;
    }

    private V1.Policy PolicyOf(ForeignObject from, string name)
    {
        string text = from.Text(name);
        switch (text.ToUpperInvariant())
        {
            case "ACCEPT": return V1.Policy.Accept;
            case "DROP": return V1.Policy.Drop;
            default:
                findings.Fault(
                    from.At(name), ConversionCodes.Value, $"'{SchemaReader.Shorten(text)}' is no policy",
                    "Accept or Drop.");
                return V1.Policy.Drop;
        }
    }

    private Rule? Rule(ForeignObject from)
    {
        from.Ignore(
            "CreateTime", "SourceGroupName", "DestGroupName", "SourceGroupOwnerAccount", "DestGroupOwnerAccount",
            "SourceGroupOwnerId", "DestGroupOwnerId", "SourcePrefixListName", "DestPrefixListName",
            "PortRangeListName");
        string direction = from.Needed("Direction");
        bool egress = direction == "egress";
        if (!egress && direction != "ingress")
        {
            findings.Fault(
                from.At("Direction"), ConversionCodes.Value, $"'{SchemaReader.Shorten(direction)}' is no direction",
                "ingress or egress.");
            return null;
        }

        var rule = new Rule
        {
            Id = from.Text("SecurityGroupRuleId"),
            Direction = egress ? Direction.Egress : Direction.Ingress,
            Policy = PolicyOf(from, "Policy"),
            Protocol = from.Needed("IpProtocol").ToLowerInvariant(),
            Priority = Priority(from),
            PortRange = from.Text("PortRange"),
            PortListId = from.Text("PortRangeListId"),
            SourcePortRange = from.Text("SourcePortRange"),
            Description = draft.Words(from, "Description", 512),
        };
        bool isDrop = rule.Policy == V1.Policy.Drop;
        if (rule.PortListId.Length > 0 && rule.PortRange == "-1/-1")
        {
            rule.PortRange = "";
        }

        bool said = IsOfVpc(from, isDrop) & Sides(from, rule, egress, isDrop) & PortListIsThere(from, rule, isDrop);
        return !findings.SaysMore(from, isDrop) && said ? rule : null;
    }

    private uint Priority(ForeignObject from)
    {
        string text = from.Needed("Priority");
        if (uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint priority)
            && priority is >= 1 and <= 100)
        {
            return priority;
        }

        findings.Fault(
            from.At("Priority"), ConversionCodes.Value, $"priority '{SchemaReader.Shorten(text)}'",
            "1 to 100. Alibaba Cloud takes an older 110 for 100: write that if no rule of 100 says the opposite.");
        return 1;
    }

    private bool IsOfVpc(ForeignObject from, bool isDrop)
    {
        string nic = from.Text("NicType");
        if (nic is "" or "intranet")
        {
            return true;
        }

        findings.Inexpressible(
            from.At("NicType"), isDrop, $"a rule of {SchemaReader.Shorten(nic)} interfaces, which a VPC does not have",
            "Correct the document.");
        return false;
    }

    /// <summary>The remote side is the source of ingress and the destination of egress; the other is the own.</summary>
    private bool Sides(ForeignObject from, Rule rule, bool egress, bool isDrop)
    {
        (string far, string near) = egress ? ("Dest", "Source") : ("Source", "Dest");
        string[] remote =
        [
            from.Text($"{far}CidrIp"), from.Text($"Ipv6{far}CidrIp"), from.Text($"{far}PrefixListId"),
            from.Text($"{far}GroupId"),
        ];
        string[] own = [from.Text($"{near}CidrIp"), from.Text($"Ipv6{near}CidrIp")];
        if (remote.Count(side => side.Length > 0) != 1 || own.All(side => side.Length > 0))
        {
            findings.Fault(
                from.Origin, ConversionCodes.Value, "not exactly one remote side, or two own sides",
                $"One of {far}CidrIp, Ipv6{far}CidrIp, {far}PrefixListId, {far}GroupId.");
            return false;
        }

        rule.OwnCidr = own[0].Length > 0 ? own[0] : own[1];
        if (remote[3].Length > 0)
        {
            rule.GroupId = remote[3];
            return GroupIsThere(from, far, rule.GroupId, isDrop);
        }

        if (remote[2].Length == 0)
        {
            rule.Cidr = remote[0].Length > 0 ? remote[0] : remote[1];
            return true;
        }

        rule.PrefixListId = remote[2];
        if (!draft.HasPrefixList(rule.PrefixListId))
        {
            findings.Inexpressible(
                from.At($"{far}PrefixListId"), isDrop,
                $"the entries of {SchemaReader.Shorten(rule.PrefixListId)} are in no document",
                "Add a file with the answer of DescribePrefixListAttributes.");
            return false;
        }

        return true;
    }

    /// <summary>An empty group in place of one that is dropped would let it pass.</summary>
    private bool GroupIsThere(ForeignObject from, string far, string id, bool isDrop)
    {
        if (!isDrop || Documents.Contains(id))
        {
            return true;
        }

        findings.Inexpressible(
            from.At($"{far}GroupId"), isDrop, $"group {SchemaReader.Shorten(id)}, which is dropped, is in no document",
            "Add a file with the answer of DescribeSecurityGroupAttribute for it.");
        return false;
    }

    private bool PortListIsThere(ForeignObject from, Rule rule, bool isDrop)
    {
        if (rule.PortListId.Length == 0 || rule.PortRange.Length > 0 || draft.HasPortList(rule.PortListId))
        {
            return true;
        }

        findings.Inexpressible(
            from.At("PortRangeListId"), isDrop,
            $"the entries of {SchemaReader.Shorten(rule.PortListId)} are in no document",
            "Add a file with the answer of DescribePortRangeListEntries, with PortRangeListId added to it.");
        return false;
    }
}
