using System.Collections.Immutable;
using Agent.Policy;
using Google.Protobuf.Collections;
using static Agent.Contract.FaultList;

namespace Agent.Contract;

/// <summary>Reads one resource from its message, without looking at others.</summary>
internal sealed class ResourceReader(FaultList faults, PolicyLimits limits)
{
    private readonly Fields fields = new(faults, limits);

    /// <param name="message">As sent.</param>
    /// <param name="members">Members to use instead of the message's; null: the message's.</param>
    public SecurityGroup Group(V1.SecurityGroup message, ImmutableSortedSet<IpPrefix>? members = null)
    {
        string path = $"groups[{Place(message.Id)}]";
        GroupType type = TypeOf($"{path}.type", message.Type);
        var group = new SecurityGroup
        {
            Id = fields.Id($"{path}.id", message.Id, Codes.GroupId),
            VpcId = fields.Id($"{path}.vpc_id", message.VpcId),
            Type = type,
            InnerAccess = Inner($"{path}.inner_access_policy", message.InnerAccessPolicy, type),
            Rules = Rules(path, message.Rules),
            Members = members ?? Members($"{path}.members", message.Members),
            ServiceManaged = message.ServiceManaged,
            Name = fields.Text($"{path}.name", message.Name, 128),
            Description = fields.Text($"{path}.description", message.Description, 256),
            Labels = Labels(path, message.Labels),
        };
        CheckMemberCount(group);
        return group;
    }

    public void CheckMemberCount(SecurityGroup group)
    {
        int limit = group.Type == GroupType.Basic ? limits.MembersPerBasicGroup : limits.MembersPerAdvancedGroup;
        if (group.Members.Count > limit)
        {
            faults.Add($"groups[{Place(group.Id)}].members", Codes.MembersPerGroup,
                $"{group.Members.Count} members, limit {limit}",
                "Split the group, or raise limits.members_per_*_group.");
        }
    }

    public PrefixList PrefixList(V1.PrefixList message)
    {
        string path = $"prefix_lists[{Place(message.Id)}]";
        IpFamily family = message.Family switch
        {
            V1.IpFamily.Ipv4 => IpFamily.V4,
            V1.IpFamily.Ipv6 => IpFamily.V6,
            _ => Unknown<IpFamily>($"{path}.family", message.Family, "Set ipv4 or ipv6."),
        };
        var entries = ImmutableSortedSet.CreateBuilder<IpPrefix>();
        for (int i = 0; i < message.Entries.Count; i++)
        {
            string at = $"{path}.entries[{i}]";
            if (fields.Prefix(at, message.Entries[i], Codes.Entry, canonical: true) is not IpPrefix entry)
            {
                continue;
            }

            if (entry.Family != family && family != default)
            {
                faults.Add(at, Codes.ListFamily, $"{entry} is not of the list's family", "Keep one list a family.");
            }

            if (!entries.Add(entry))
            {
                faults.Add(at, Codes.Duplicate, $"{entry} stands twice", "Remove one.");
            }
        }

        return new PrefixList
        {
            Id = fields.Id($"{path}.id", message.Id),
            Family = family,
            MaxEntries = MaxEntries(path, message.MaxEntries, message.Entries.Count, limits.PrefixListEntries),
            Entries = entries.ToImmutable(),
            Name = fields.Text($"{path}.name", message.Name, 128),
        };
    }

    public PortList PortList(V1.PortList message)
    {
        string path = $"port_lists[{Place(message.Id)}]";
        var entries = new List<PortRange>();
        var seen = new HashSet<PortRange>();
        for (int i = 0; i < message.Entries.Count; i++)
        {
            if (fields.Ports($"{path}.entries[{i}]", message.Entries[i], Codes.PortRange) is not PortRange range)
            {
                continue;
            }

            if (!seen.Add(range))
            {
                faults.Add($"{path}.entries[{i}]", Codes.Duplicate, $"{range} stands twice", "Remove one.");
            }

            entries.Add(range);
        }

        return new PortList
        {
            Id = fields.Id($"{path}.id", message.Id),
            MaxEntries = MaxEntries(path, message.MaxEntries, message.Entries.Count, limits.PortListEntries),
            Entries = [.. entries],
            Name = fields.Text($"{path}.name", message.Name, 128),
        };
    }

    public Vnic Vnic(V1.Vnic message)
    {
        string path = $"vnics[{Place(message.Id)}]";
        V1.SessionTimeouts times = message.Timeouts ?? new V1.SessionTimeouts();
        SessionTimeouts defaults = SessionTimeouts.Default;
        return new Vnic
        {
            Id = fields.Id($"{path}.id", message.Id),
            InterfaceName = fields.Interface($"{path}.interface_name", message.InterfaceName),
            Mac = fields.Mac($"{path}.mac", message.Mac),
            VpcId = fields.Id($"{path}.vpc_id", message.VpcId),
            Addresses = Addresses($"{path}.addresses", message.Addresses, fields.Host),
            DelegatedPrefixes = Addresses($"{path}.delegated_prefixes", message.DelegatedPrefixes,
                (at, text) => fields.Prefix(at, text, Codes.Address, canonical: true)),
            GroupIds = GroupIds(path, message.GroupIds),
            Timeouts = new SessionTimeouts
            {
                TcpEstablishedSeconds = fields.Seconds($"{path}.timeouts.tcp_established_seconds",
                    times.TcpEstablishedSeconds, defaults.TcpEstablishedSeconds, 30, 910),
                TcpClosedAndTimeWaitSeconds = fields.Seconds($"{path}.timeouts.tcp_closed_and_time_wait_seconds",
                    times.TcpClosedAndTimeWaitSeconds, defaults.TcpClosedAndTimeWaitSeconds, 3, 15),
                UdpSeconds = fields.Seconds(
                    $"{path}.timeouts.udp_seconds", times.UdpSeconds, defaults.UdpSeconds, 10, 100),
            },
            MaxSessions = MaxSessions($"{path}.max_sessions", message),
            SourceDestinationCheck = !message.DisableSourceDestinationCheck,
        };
    }

    public Vpc Vpc(V1.Vpc message)
    {
        string path = $"vpcs[{Place(message.Id)}]";
        var uplinks = ImmutableSortedSet.CreateBuilder<string>(StringComparer.Ordinal);
        for (int i = 0; i < message.UplinkInterfaces.Count; i++)
        {
            string at = $"{path}.uplink_interfaces[{i}]";
            if (!uplinks.Add(fields.Interface(at, message.UplinkInterfaces[i])))
            {
                faults.Add(
                    at, Codes.Duplicate, $"{Show(message.UplinkInterfaces[i])} stands twice", "Remove one.");
            }
        }

        return new Vpc { Id = fields.Id($"{path}.id", message.Id), UplinkInterfaces = uplinks.ToImmutable() };
    }

    private int? MaxSessions(string path, V1.Vnic message)
    {
        if (!message.HasMaxSessions)
        {
            return null;
        }

        if (message.MaxSessions > PolicyLimits.MaxSessionsPerVnic)
        {
            faults.Add(path, Codes.Limit, $"{message.MaxSessions} sessions, limit {PolicyLimits.MaxSessionsPerVnic}",
                "Use a smaller number, or 0 for no limit.");
        }

        return (int)Math.Min(message.MaxSessions, PolicyLimits.MaxSessionsPerVnic);
    }

    public ImmutableSortedSet<IpPrefix> Members(string path, IReadOnlyList<string> texts)
    {
        var members = new List<IpPrefix>(texts.Count);
        for (int i = 0; i < texts.Count; i++)
        {
            if (fields.Prefix($"{path}[{i}]", texts[i], Codes.Address, canonical: true) is IpPrefix member)
            {
                members.Add(member);
            }
        }

        return [.. members];
    }

    private ImmutableArray<GroupRule> Rules(string path, RepeatedField<V1.Rule> messages)
    {
        var reader = new RuleReader(faults, fields);
        var rules = new List<GroupRule>(messages.Count);
        var ids = new HashSet<string>(StringComparer.Ordinal);
        var contents = new Dictionary<GroupRule, int>();
        for (int i = 0; i < messages.Count; i++)
        {
            string name = messages[i].Id.Length > 0 ? Place(messages[i].Id) : i.ToString(null, null);
            string at = $"{path}.rules[{name}]";
            if (!ids.Add(messages[i].Id))
            {
                faults.Add(
                    $"{at}.id", Codes.Duplicate, $"rule id {Show(messages[i].Id)} stands twice in the group",
                    "Give each rule its own id.");
            }

            if (reader.Read(at, messages[i]) is not GroupRule rule)
            {
                continue;
            }

            // semantics.md 3.4, E10: the same rule again is a success that adds nothing. The smallest id names it,
            // whatever came first.
            if (contents.TryAdd(rule with { Id = "", Description = "" }, rules.Count))
            {
                rules.Add(rule);
                continue;
            }

            int twin = contents[rule with { Id = "", Description = "" }];
            bool smaller = string.CompareOrdinal(rule.Id, rules[twin].Id) < 0;
            faults.Warn(
                smaller ? $"{path}.rules[{Place(rules[twin].Id)}]" : at,
                "says the same as another rule of the group; left out");
            rules[twin] = smaller ? rule : rules[twin];
        }

        if (rules.Count > limits.RulesPerGroupWarning)
        {
            faults.Warn(
                path, $"{rules.Count} rules; Alibaba Cloud advises at most {limits.RulesPerGroupWarning} in a group");
        }

        return [.. rules];
    }

    private ImmutableSortedDictionary<string, string> Labels(string path, IDictionary<string, string> labels)
    {
        foreach ((string key, string value) in labels)
        {
            fields.Text($"{path}.labels", key, 128);
            fields.Text($"{path}.labels", value, 256);
        }

        return labels.ToImmutableSortedDictionary(StringComparer.Ordinal);
    }

    private GroupType TypeOf(string path, V1.GroupType type) => type switch
    {
        V1.GroupType.Unspecified or V1.GroupType.Basic => GroupType.Basic,
        V1.GroupType.Advanced => GroupType.Advanced,
        _ => Unknown<GroupType>(path, type, "Set basic or advanced."),
    };

    private Verdict Inner(string path, V1.Policy policy, GroupType type)
    {
        switch (policy)
        {
            case V1.Policy.Unspecified: return type == GroupType.Basic ? Verdict.Accept : Verdict.Drop;
            case V1.Policy.Drop: return Verdict.Drop;
            case V1.Policy.Accept when type == GroupType.Basic: return Verdict.Accept;
            case V1.Policy.Accept:
                faults.Add(
                    path, Codes.InnerAccess, "an advanced group has no inner access", "Leave it out, or set drop.");
                return Verdict.Drop;
            default:
                faults.Add(path, Codes.Policy, $"{(int)policy} is not a policy", "Set accept or drop.");
                return Verdict.Drop;
        }
    }

    private int MaxEntries(string path, uint max, int count, int limit)
    {
        if (max > limit || count > limit)
        {
            faults.Add(
                $"{path}.max_entries", Codes.Limit, $"{Math.Max(max, (uint)count)} entries, limit {limit}",
                "Split the list.");
        }
        else if (max != 0 && count > max)
        {
            faults.Add(
                $"{path}.entries", Codes.Limit, $"{count} entries, max_entries is {max}",
                "Raise max_entries or remove entries.");
        }

        return max == 0 ? Math.Max(count, 1) : (int)Math.Min(max, int.MaxValue);
    }

    private ImmutableArray<IpPrefix> Addresses(
        string path, RepeatedField<string> texts, Func<string, string, IpPrefix?> parse)
    {
        var read = new List<IpPrefix>();
        var seen = new HashSet<IpPrefix>();
        for (int i = 0; i < texts.Count; i++)
        {
            if (parse($"{path}[{i}]", texts[i]) is not IpPrefix prefix)
            {
                continue;
            }

            if (!seen.Add(prefix))
            {
                faults.Add($"{path}[{i}]", Codes.Duplicate, $"{prefix} stands twice", "Remove one.");
            }

            read.Add(prefix);
        }

        return [.. read];
    }

    private ImmutableArray<string> GroupIds(string path, RepeatedField<string> ids)
    {
        if (ids.Count == 0)
        {
            faults.Add(
                $"{path}.group_ids", Codes.GroupNotFound, "no group", "Put the vNIC in at least one security group.");
        }

        if (ids.Count > limits.GroupsPerVnic)
        {
            faults.Add(
                $"{path}.group_ids", Codes.GroupsPerVnic, $"{ids.Count} groups, limit {limits.GroupsPerVnic}",
                "Leave some.");
        }

        if (ids.Distinct(StringComparer.Ordinal).Count() != ids.Count)
        {
            faults.Add($"{path}.group_ids", Codes.Duplicate, "a group stands twice", "Remove one.");
        }

        return [.. ids];
    }

    private T Unknown<T>(string path, Enum value, string remedy) where T : struct
    {
        faults.Add(path, Codes.Enumeration, $"{value} is not known to this version", remedy);
        return default;
    }
}
