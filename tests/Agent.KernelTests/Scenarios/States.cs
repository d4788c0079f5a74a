using System.Globalization;
using Agent.TestNet;
using Agent.V1;
using Verdict = Agent.V1.Policy;

namespace Agent.KernelTests.Scenarios;

/// <summary>Makes desired states from the notation of semantics.md section 8.</summary>
internal static class States
{
    internal const string Vpc = "vpc-1";

    internal static readonly GuestSpec[] Guests =
    [
        new("e1", "tap-e1", "02:00:00:00:00:01", "10.0.0.8", "10.0.0.9", "2001:db8:1::8", "2001:db8:1::9"),
        new("e2", "tap-e2", "02:00:00:00:00:02", "10.0.0.5", "10.0.0.6", "2001:db8:1::5", "2001:db8:1::6")
        {
            DelegatedPrefixes = ["10.0.3.0/28", "2001:db8:1:3::/80"],
        },
        new("e3", "tap-e3", "02:00:00:00:00:03", "10.0.0.7", "2001:db8:1::7"),
    ];

    internal static SecurityGroup Accepting(string id, params string[] rules) =>
        Group(id, GroupType.Basic, Verdict.Accept, rules);

    internal static SecurityGroup Isolating(string id, params string[] rules) =>
        Group(id, GroupType.Basic, Verdict.Drop, rules);

    internal static SecurityGroup Advanced(string id, params string[] rules) =>
        Group(id, GroupType.Advanced, Verdict.Drop, rules);

    /// <summary>The ENI of a guest with all of its addresses, in these groups.</summary>
    internal static Vnic Nic(string name, params string[] groups)
    {
        GuestSpec guest = Guests.Single(g => g.Name == name);
        return new Vnic
        {
            Id = $"eni-{name}",
            InterfaceName = guest.Device,
            Mac = guest.Mac,
            VpcId = Vpc,
            Addresses = { guest.Addresses },
            DelegatedPrefixes = { guest.DelegatedPrefixes },
            GroupIds = { groups },
        };
    }

    internal static ScenarioStep.Apply Apply(SecurityGroup[] groups, params Vnic[] vnics) =>
        new(new Snapshot { Groups = { groups }, Vnics = { vnics } });

    /// <summary>A state with a prefix list of the plan's family.</summary>
    internal static ScenarioStep.Apply ApplyWithPrefixes(
        AddressPlan plan, SecurityGroup group, string[] prefixes, Vnic vnic)
    {
        ScenarioStep.Apply step = Apply([group], vnic);
        step.State.PrefixLists.Add(new PrefixList
        {
            Id = "pl-1",
            Family = plan.IsV4 ? IpFamily.Ipv4 : IpFamily.Ipv6,
            MaxEntries = 10,
            Entries = { prefixes },
        });
        return step;
    }

    internal static ScenarioStep.Apply ApplyWithPorts(SecurityGroup group, string[] ranges, Vnic vnic)
    {
        ScenarioStep.Apply step = Apply([group], vnic);
        step.State.PortLists.Add(new PortList { Id = "prl-1", MaxEntries = 10, Entries = { ranges } });
        return step;
    }

    private static SecurityGroup Group(string id, GroupType type, Verdict inner, string[] rules) => new()
    {
        Id = id,
        VpcId = Vpc,
        Type = type,
        InnerAccessPolicy = inner,
        Rules = { rules.Select((text, index) => ParseRule($"r{index + 1}", text)) },
    };

    /// <summary>
    /// <c>in 1 drop tcp 22/22 10.0.0.0/8 own=10.0.0.8/32 sport=1/9</c>; the object may be sg-... or pl-...
    /// </summary>
    private static Rule ParseRule(string id, string text)
    {
        string[] words = text.Split(' ');
        Rule rule = new()
        {
            Id = id,
            Direction = words[0] == "in" ? Direction.Ingress : Direction.Egress,
            Priority = uint.Parse(words[1], CultureInfo.InvariantCulture),
            Policy = words[2] == "drop" ? Verdict.Drop : Verdict.Accept,
            Protocol = words[3],
        };
        if (words[4].StartsWith("prl-", StringComparison.Ordinal))
        {
            rule.PortListId = words[4];
        }
        else
        {
            rule.PortRange = words[4];
        }

        SetRemote(rule, words[5]);
        foreach (string word in words[6..])
        {
            string[] pair = word.Split('=');
            _ = pair[0] switch
            {
                "own" => rule.OwnCidr = pair[1],
                "sport" => rule.SourcePortRange = pair[1],
                _ => throw new ArgumentException($"unknown word '{word}' in rule '{text}'"),
            };
        }

        return rule;
    }

    private static void SetRemote(Rule rule, string remote)
    {
        if (remote.StartsWith("sg-", StringComparison.Ordinal))
        {
            rule.GroupId = remote;
        }
        else if (remote.StartsWith("pl-", StringComparison.Ordinal))
        {
            rule.PrefixListId = remote;
        }
        else
        {
            rule.Cidr = remote;
        }
    }
}
