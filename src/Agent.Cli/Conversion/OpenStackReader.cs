using System.Globalization;
using Agent.Cli.Input;
using Agent.V1;

namespace Agent.Cli.Conversion;

/// <summary>
/// OpenStack's security groups: the Neutron API (docs.openstack.org/api-ref/network/v2, security groups and address
/// groups) and what <c>openstack security group show -f json</c> prints.
/// </summary>
internal sealed class OpenStackReader(PolicyDraft draft, Findings findings, string? vpc)
{
    private static readonly Dictionary<string, byte> Protocols = new(StringComparer.OrdinalIgnoreCase)
    {
        ["ah"] = 51,
        ["dccp"] = 33,
        ["egp"] = 8,
        ["esp"] = 50,
        ["gre"] = 47,
        ["icmp"] = 1,
        ["icmpv6"] = 58,
        ["igmp"] = 2,
        ["ipip"] = 4,
        ["ipv6-encap"] = 41,
        ["ipv6-icmp"] = 58,
        ["ospf"] = 89,
        ["pgm"] = 113,
        ["rsvp"] = 46,
        ["sctp"] = 132,
        ["tcp"] = 6,
        ["udp"] = 17,
        ["udplite"] = 136,
        ["vrrp"] = 112,
    };

    /// <summary>Headers in front of the transport's, which is what a rule's protocol is compared with; and 0.</summary>
    private static readonly HashSet<string> Headers = new(StringComparer.OrdinalIgnoreCase)
    {
        "0", "ip", "hopopt", "43", "ipv6-route", "44", "ipv6-frag", "59", "ipv6-nonxt", "60", "ipv6-opts",
    };

    /// <summary>What groups name; read before all groups.</summary>
    public void Lists(ForeignObject answer)
    {
        if (answer.HasList("addresses"))
        {
            AddressGroup(answer);
            return;
        }

        foreach (ForeignObject group in answer.Objects("address_groups"))
        {
            AddressGroup(group);
        }

        if (answer.Object("address_group") is { } addresses)
        {
            AddressGroup(addresses);
        }
    }

    public void Groups(ForeignObject answer)
    {
        if (answer.HasList("addresses"))
        {
            return;
        }

        if (answer.Has("id"))
        {
            Group(answer); // as the command line shows one
            return;
        }

        if (answer.Has("security_groups_links"))
        {
            answer.Ignore("security_groups_links");
            findings.Warn(
                answer.At("security_groups_links"), ConversionCodes.Partial, "further groups may be on other pages",
                "Convert all pages together.");
        }

        foreach (ForeignObject group in answer.Objects("security_groups"))
        {
            Group(group);
        }

        if (answer.Object("security_group") is { } single)
        {
            Group(single);
        }

        findings.Overlooked(answer);
    }

    /// <summary>Addresses of both families: a list for each.</summary>
    private void AddressGroup(ForeignObject from)
    {
        from.Ignore(
            "project_id", "tenant_id", "description", "shared", "created_at", "updated_at", "revision_number",
            "location", "is_shared");
        string id = from.Needed("id");
        string name = draft.Words(from, "name", 128);
        from.MustHave("addresses");
        IReadOnlyList<string> addresses = from.Texts("addresses");
        foreach (IpFamily family in (IpFamily[])[IpFamily.Ipv4, IpFamily.Ipv6])
        {
            var list = new PrefixList { Id = ListOf(id, family), Family = family, Name = name };
            list.Entries.AddRange(addresses.Where(entry =>
                entry.Contains(':', StringComparison.Ordinal) == (family == IpFamily.Ipv6)));
            draft.PrefixList(list, from.Origin);
        }

        findings.Overlooked(from);
    }

    private void Group(ForeignObject from)
    {
        from.Ignore(
            "created_at", "updated_at", "revision_number", "shared", "is_shared", "location", "standard_attr_id",
            "tenant_id", "project_id");
        string id = from.Needed("id");
        if (draft.Group(id, from.Origin) is not { } group)
        {
            return;
        }

        group.Name = draft.Words(from, "name", 128);
        group.Description = draft.Words(from, "description", 256);
        foreach (string tag in from.Texts("tags"))
        {
            group.Labels[SchemaReader.Shorten(tag)] = "";
        }

        group.VpcId = vpc ?? from.Text("project_id");
        group.VpcId = group.VpcId.Length > 0 ? group.VpcId : from.Needed("tenant_id");
        if (vpc is null)
        {
            findings.Warn(
                from.Origin, ConversionCodes.Value,
                "the group is of a project, not of a VPC: the project stands for one",
                "Name the VPC of its vNICs with --vpc.");
        }

        if (from.Flag("stateful") == false)
        {
            findings.Fault(
                from.At("stateful"), ConversionCodes.Inexpressible,
                "a stateless group: here the answers to what passes always pass, which would be more",
                "Make the group stateful, or leave it out.");
        }

        string field = from.Has("rules") || from.HasList("rules") ? "rules" : "security_group_rules";
        from.MustHave(field);
        var rules = new List<AllowRule>();
        foreach (ForeignObject rule in from.Objects(field))
        {
            if (Rule(rule, id) is AllowRule read)
            {
                rules.Add(read);
            }
        }

        AllowRules.Add(draft, findings, group, rules, from.Origin);
        findings.Overlooked(from);
    }

    private AllowRule? Rule(ForeignObject from, string group)
    {
        from.Ignore(
            "tenant_id", "project_id", "created_at", "updated_at", "revision_number", "tags", "standard_attr_id",
            "belongs_to_default_sg", "location", "name", "normalized_cidr");
        if (from.Text("security_group_id") is { Length: > 0 } other && other != group)
        {
            findings.Fault(
                from.At("security_group_id"), ConversionCodes.Value, "the rule is of another group",
                "Use the provider's whole answer.");
        }

        IpFamily family = FamilyOf(from);
        var rule = new Rule
        {
            Id = from.Text("id"),
            Direction = from.Needed("direction") switch
            {
                "ingress" => Direction.Ingress,
                "egress" => Direction.Egress,
                _ => Direction.Unspecified, // the agent's checks say so
            },
            Policy = V1.Policy.Accept,
            Description = draft.Words(from, "description", 512),
        };
        bool said = Traffic(from, rule, family) & Remote(from, rule, family);
        return !findings.SaysMore(from, isDrop: false) && said ? new AllowRule(from.Origin, rule, family) : null;
    }

    private IpFamily FamilyOf(ForeignObject from)
    {
        string name = from.Has("ether_type") ? "ether_type" : "ethertype"; // as the SDK's objects have it
        string text = from.Needed(name);
        switch (text.ToUpperInvariant())
        {
            case "IPV4": return IpFamily.Ipv4;
            case "IPV6": return IpFamily.Ipv6;
            case "": return IpFamily.Unspecified;
            default:
                findings.Fault(
                    from.At(name), ConversionCodes.Value, $"'{SchemaReader.Shorten(text)}' is no family",
                    "IPv4 or IPv6.");
                return IpFamily.Unspecified;
        }
    }

    private bool Traffic(ForeignObject from, Rule rule, IpFamily family)
    {
        string name = from.Text("protocol");
        int? first = from.Number("port_range_min");
        int? last = from.Number("port_range_max");
        bool ports = (first ?? -1) != -1 || (last ?? -1) != -1;
        if (Headers.Contains(name))
        {
            findings.Inexpressible(
                from.At("protocol"), isDrop: false,
                $"{name} is no transport protocol, which is what rules compare", "Name the transport protocol.");
            return false;
        }

        rule.Protocol = name is "" or "any" ? "all"
            : Protocols.TryGetValue(name, out byte number) ? number.ToString(CultureInfo.InvariantCulture) : name;
        rule.Protocol = rule.Protocol switch
        {
            "6" => "tcp",
            "17" => "udp",
            "1" => family == IpFamily.Ipv6 ? "icmpv6" : "icmp", // Neutron's old name for both
            "58" => "icmpv6",
            "47" => "gre",
            string other => other,
        };
        if (rule.Protocol is "tcp" or "udp")
        {
            rule.PortRange = Ports.Of(findings, from.Origin, first, last) ?? "";
            return rule.PortRange.Length > 0;
        }

        if (ports)
        {
            string what = rule.Protocol is "icmp" or "icmpv6"
                ? string.Create(CultureInfo.InvariantCulture, $"{rule.Protocol} type {first}, code {last}: rules know ")
                    + "no ICMP types"
                : $"ports of protocol {SchemaReader.Shorten(rule.Protocol)}: rules know those of TCP and UDP only";
            findings.Inexpressible(
                from.Origin, isDrop: false, $"{what}, and the whole protocol would be more",
                "Allow the whole protocol by hand, if that is meant.");
            return false;
        }

        return true;
    }

    private bool Remote(ForeignObject from, Rule rule, IpFamily family)
    {
        string prefix = from.Text("remote_ip_prefix");
        string normal = from.Text("normalized_cidr"); // what Neutron makes of it
        string group = from.Text("remote_group_id");
        string addresses = from.Text("remote_address_group_id");
        if ((prefix.Length > 0 ? 1 : 0) + (group.Length > 0 ? 1 : 0) + (addresses.Length > 0 ? 1 : 0) > 1)
        {
            findings.Fault(from.Origin, ConversionCodes.Value, "more than one remote side", "Keep one.");
            return false;
        }

        if (group.Length > 0)
        {
            rule.GroupId = group;
            return family != IpFamily.Unspecified;
        }

        if (addresses.Length > 0)
        {
            rule.PrefixListId = ListOf(addresses, family);
            if (!draft.HasPrefixList(rule.PrefixListId))
            {
                findings.Inexpressible(
                    from.At("remote_address_group_id"), isDrop: false,
                    $"the addresses of {SchemaReader.Shorten(addresses)} are in no document",
                    "Add a file with the answer of: openstack address group show -f json.");
                return false;
            }

            return true;
        }

        rule.Cidr = prefix.Length == 0 ? PolicyDraft.Everything(family) : normal.Length > 0 ? normal : prefix;
        if (family != IpFamily.Unspecified
            && rule.Cidr.Contains(':', StringComparison.Ordinal) != (family == IpFamily.Ipv6))
        {
            findings.Fault(
                from.At("remote_ip_prefix"), ConversionCodes.Value, "the prefix is of the other family",
                "Correct ethertype or remote_ip_prefix.");
            return false;
        }

        return family != IpFamily.Unspecified;
    }

    private static string ListOf(string addressGroup, IpFamily family) =>
        $"{addressGroup}-{(family == IpFamily.Ipv6 ? "ipv6" : "ipv4")}";
}
