using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Policy;
using Agent.Tests.Nftables;
using Codes = Agent.Contract.Codes;
using Rule = Agent.V1.Rule;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Contract;

/// <summary>
/// One table of every limit: what is exactly at it is accepted, one more is refused by its code, and where the limit is
/// a setting, a larger setting takes that one too.
/// </summary>
public partial class LimitTests
{
    /// <summary>What this table shows of codes; the others are in the table of faults.</summary>
    internal static readonly string[] ShownCodes = [Codes.TooMany, Codes.Limit];

    private static readonly Limit[] Limits =
    [
        new("limits.groups_per_vnic", nameof(PolicyLimits.GroupsPerVnic), [10, 3, 16],
            "vnics[v].group_ids", Codes.GroupsPerVnic, (s, n) =>
            {
                V1.SecurityGroup[] more = [.. Numbers(n - 1).Select(i => new V1.SecurityGroup
                {
                    Id = $"g{i}",
                    VpcId = "vpc",
                })];
                s.Groups.AddRange(more);
                s.Vnics[0].GroupIds.AddRange(more.Select(group => group.Id));
            }),
        new("limits.weighted_rules_per_vnic", nameof(PolicyLimits.WeightedRulesPerVnic), [1000, 7],
            "vnics[v].group_ids", Codes.RulesPerVnic, (s, n) => s.Groups[0].Rules.AddRange(Numbers(n).Select(Tcp)),
            "limits.rules_per_group_warning=100000"),
        new("limits.weighted_rules_per_vnic", nameof(PolicyLimits.WeightedRulesPerVnic), [12, 200],
            "vnics[v].group_ids", Codes.RulesPerVnic, (s, n) =>
            {
                s.PrefixLists.Add(new V1.PrefixList { Id = "l", Family = V1.IpFamily.Ipv4, MaxEntries = (uint)n });
                s.Groups[0].Rules.Add(new Rule(Tcp(1)) { PrefixListId = "l" });
            },
            "limits.prefix_list_entries=100000"),
        new("limits.weighted_rules_per_vnic", nameof(PolicyLimits.WeightedRulesPerVnic), [1000],
            "vnics[v].group_ids", Codes.RulesPerVnic, (s, n) =>
            {
                // Both lists: their product (semantics.md 4.2), and one rule for the rest.
                s.PrefixLists.Add(new V1.PrefixList { Id = "l", Family = V1.IpFamily.Ipv4, MaxEntries = 20 });
                s.PortLists.Add(new V1.PortList { Id = "p", MaxEntries = (uint)(n / 20) });
                s.Groups[0].Rules.Add(new Rule(Tcp(1)) { PrefixListId = "l", PortRange = "", PortListId = "p" });
                s.Groups[0].Rules.AddRange(Numbers(n % 20).Select(i => Tcp(i + 2)));
            }),
        new("limits.rules_per_group_warning", nameof(PolicyLimits.RulesPerGroupWarning), [200, 4],
            "groups[g]", Code: null, (s, n) => s.Groups[0].Rules.AddRange(Numbers(n).Select(Tcp))),
        new("limits.group_rules_per_basic_group", nameof(PolicyLimits.GroupRulesPerBasicGroup), [20, 2],
            "groups[g].rules", Codes.GroupRuleLimit, (s, n) =>
            {
                s.Groups.Add(new V1.SecurityGroup { Id = "peer", VpcId = "vpc" });
                s.Groups[0].Rules.AddRange(Numbers(n).Select(i => new Rule(Tcp(i)) { GroupId = "peer" }));
            }),
        new("limits.members_per_basic_group", nameof(PolicyLimits.MembersPerBasicGroup), [65_536, 5],
            "groups[g].members", Codes.MembersPerGroup, (s, n) => s.Groups[0].Members.AddRange(Members(n))),
        new("limits.members_per_advanced_group", nameof(PolicyLimits.MembersPerAdvancedGroup), [65_536, 5],
            "groups[g].members", Codes.MembersPerGroup, (s, n) =>
            {
                s.Groups[0].Type = V1.GroupType.Advanced;
                s.Groups[0].Members.AddRange(Members(n));
            }),
        new("limits.prefix_list_entries", nameof(PolicyLimits.PrefixListEntries), [200, 6],
            "prefix_lists[l].max_entries", Codes.Limit, (s, n) => s.PrefixLists.Add(
                new V1.PrefixList { Id = "l", Family = V1.IpFamily.Ipv4, Entries = { Members(n) } })),
        new("limits.prefix_list_entries", nameof(PolicyLimits.PrefixListEntries), [200, 6],
            "prefix_lists[l].max_entries", Codes.Limit, (s, n) => s.PrefixLists.Add(
                new V1.PrefixList { Id = "l", Family = V1.IpFamily.Ipv6, MaxEntries = (uint)n })),
        new("limits.port_list_entries", nameof(PolicyLimits.PortListEntries), [2000, 6],
            "port_lists[p].max_entries", Codes.Limit, (s, n) => s.PortLists.Add(
                new V1.PortList { Id = "p", Entries = { Numbers(n).Select(i => $"{i + 1}/{i + 1}") } })),
        new("limits.port_list_entries", nameof(PolicyLimits.PortListEntries), [2000, 6],
            "port_lists[p].max_entries", Codes.Limit, (s, n) => s.PortLists.Add(
                new V1.PortList { Id = "p", MaxEntries = (uint)n })),

        // What the contract itself says: no setting.
        new(null, nameof(PolicyLimits.MaxSessionsPerVnic), [PolicyLimits.MaxSessionsPerVnic],
            "vnics[v].max_sessions", Codes.Limit, (s, n) => s.Vnics[0].MaxSessions = (uint)n),
        new(null, "max_entries of a prefix list", [3], "prefix_lists[l].entries", Codes.Limit, (s, n) =>
            s.PrefixLists.Add(new V1.PrefixList
            {
                Id = "l",
                Family = V1.IpFamily.Ipv4,
                MaxEntries = 3,
                Entries = { Members(n) },
            })),
        new(null, "id", [64], $"groups[{new string('i', 64)}].id", Codes.GroupId, (s, n) =>
            s.Groups.Add(new V1.SecurityGroup { Id = new string('i', n), VpcId = "vpc" })),
        new(null, "rule id", [64], $"groups[g].rules[{new string('i', 64)}].id", Codes.Id, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Id = new string('i', n) })),
        new(null, "group name", [128], "groups[g].name", Codes.Text, (s, n) => s.Groups[0].Name = new string('n', n)),
        new(null, "group description", [256], "groups[g].description", Codes.Text, (s, n) =>
            s.Groups[0].Description = new string('n', n)),
        new(null, "rule description", [512], "groups[g].rules[r1].description", Codes.Description, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Description = new string('n', n) })),
        new(null, "label key", [128], "groups[g].labels", Codes.Text, (s, n) =>
            s.Groups[0].Labels[new string('k', n)] = ""),
        new(null, "label value", [256], "groups[g].labels", Codes.Text, (s, n) =>
            s.Groups[0].Labels["k"] = new string('v', n)),
        new(null, "prefix list name", [128], "prefix_lists[l].name", Codes.Text, (s, n) => s.PrefixLists.Add(
            new V1.PrefixList { Id = "l", Family = V1.IpFamily.Ipv4, Name = new string('n', n) })),
        new(null, "port list name", [128], "port_lists[p].name", Codes.Text, (s, n) => s.PortLists.Add(
            new V1.PortList { Id = "p", Name = new string('n', n) })),
        new(null, "interface", [15], "vnics[v].interface_name", Codes.Interface, (s, n) =>
            s.Vnics[0].InterfaceName = new string('t', n)),
        new(null, "uplink", [15], "vpcs[vpc].uplink_interfaces[0]", Codes.Interface, (s, n) => s.Vpcs.Add(
            new V1.Vpc { Id = "vpc", UplinkInterfaces = { new string('t', n) } })),
        new(null, "priority", [100], "groups[g].rules[r1].priority", Codes.Priority, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Priority = (uint)n })),
        new(null, "port", [65_535], "groups[g].rules[r1].port_range", Codes.PortRange, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { PortRange = $"1/{n}" })),
        new(null, "source port", [65_535], "groups[g].rules[r1].source_port_range", Codes.SourcePortRange, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { SourcePortRange = $"1/{n}" })),
        new(null, "protocol", [255], "groups[g].rules[r1].protocol", Codes.Protocol, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Protocol = $"{n}", PortRange = "" })),
        new(null, "v4 prefix", [32], "groups[g].rules[r1].cidr", Codes.SourceCidr, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Cidr = $"10.0.0.1/{n}" })),
        new(null, "v6 prefix", [128], "groups[g].rules[r1].cidr", Codes.SourceCidrV6, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Cidr = $"2001:db8::1/{n}" })),
        new(null, "own v6 prefix", [128], "groups[g].rules[r1].own_cidr", Codes.DestCidrV6, (s, n) =>
            s.Groups[0].Rules.Add(new Rule(Tcp(1)) { Cidr = "::/0", OwnCidr = $"2001:db8::1/{n}" })),
        new(null, "established", [910], "vnics[v].timeouts.tcp_established_seconds", Codes.Timeout, (s, n) =>
            s.Vnics[0].Timeouts = new V1.SessionTimeouts { TcpEstablishedSeconds = (uint)n }),
        new(null, "established, least", [-30], "vnics[v].timeouts.tcp_established_seconds", Codes.Timeout, (s, n) =>
            s.Vnics[0].Timeouts = new V1.SessionTimeouts { TcpEstablishedSeconds = (uint)-n }),
        new(null, "closed", [15], "vnics[v].timeouts.tcp_closed_and_time_wait_seconds", Codes.Timeout, (s, n) =>
            s.Vnics[0].Timeouts = new V1.SessionTimeouts { TcpClosedAndTimeWaitSeconds = (uint)n }),
        new(null, "closed, least", [-3], "vnics[v].timeouts.tcp_closed_and_time_wait_seconds", Codes.Timeout, (s, n) =>
            s.Vnics[0].Timeouts = new V1.SessionTimeouts { TcpClosedAndTimeWaitSeconds = (uint)-n }),
        new(null, "udp", [100], "vnics[v].timeouts.udp_seconds", Codes.Timeout, (s, n) =>
            s.Vnics[0].Timeouts = new V1.SessionTimeouts { UdpSeconds = (uint)n }),
        new(null, "udp, least", [-10], "vnics[v].timeouts.udp_seconds", Codes.Timeout, (s, n) =>
            s.Vnics[0].Timeouts = new V1.SessionTimeouts { UdpSeconds = (uint)-n }),
        new(null, "one group at least", [-1], "vnics[v].group_ids", Codes.GroupNotFound, (s, n) =>
        {
            if (n == 0)
            {
                s.Vnics[0].GroupIds.Clear();
            }
        }),
    ];

    public static TheoryData<int, int> Rows
    {
        get
        {
            var rows = new TheoryData<int, int>();
            for (int i = 0; i < Limits.Length; i++)
            {
                foreach (int value in Limits[i].Values)
                {
                    rows.Add(i, value);
                }
            }

            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void What_is_at_a_limit_is_accepted_and_one_more_is_told(int row, int value)
    {
        Limit limit = Limits[row];
        SnapshotResult at = Read(limit, value, value);
        Assert.True(at.Policy is not null, $"{limit.Name}: {string.Join('\n', at.Faults)}");
        Assert.Empty(at.Warnings);

        SnapshotResult beyond = Read(limit, value + 1, value);
        if (limit.Code is null)
        {
            Assert.StartsWith(limit.Path, Assert.Single(beyond.Warnings), StringComparison.Ordinal);
            return;
        }

        Assert.Null(beyond.Policy);
        PolicyFault fault = Assert.Single(beyond.Faults);
        Assert.Equal((limit.Path, limit.Code), (fault.Path, fault.Code));
        Assert.NotEmpty(fault.Remedy);
        if (limit.Setting is not null)
        {
            Assert.NotNull(Read(limit, value + 1, value + 1).Policy);
            Assert.NotNull(SnapshotReader.Read(Made(limit, value + 1), PolicyLimits.Unlimited).Policy);
        }
    }

    [Fact]
    public void The_table_has_every_limit_and_every_setting_of_one()
    {
        string[] members = [.. typeof(PolicyLimits).GetProperties(BindingFlags.Instance | BindingFlags.Public)
            .Where(property => property.PropertyType == typeof(int)).Select(property => property.Name)
            .Append(nameof(PolicyLimits.MaxSessionsPerVnic))];
        Assert.Empty(members.Except(Limits.Select(limit => limit.Name)));
        Assert.Equal(
            Limits.Select(limit => limit.Setting).OfType<string>().Distinct().Order(StringComparer.Ordinal),
            Setting().Matches(File.ReadAllText(Path.Combine(GoldenTests.RepositoryRoot(), "README.md")))
                .Select(match => match.Groups[1].Value).Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Weights_of_absurd_lists_add_up_to_a_fault_and_not_to_an_overflow()
    {
        Snapshot snapshot = Small();
        snapshot.PrefixLists.Add(
            new V1.PrefixList { Id = "l", Family = V1.IpFamily.Ipv4, MaxEntries = uint.MaxValue });
        snapshot.PortLists.Add(new V1.PortList { Id = "p", MaxEntries = uint.MaxValue });
        for (int i = 0; i < 20; i++)
        {
            snapshot.Groups[0].Rules.Add(new Rule(Tcp(i))
            {
                PrefixListId = "l",
                PortRange = "",
                PortListId = "p",
                SourcePortRange = $"1/{i + 1}",
            });
        }

        Assert.Equal(
            ["prefix_lists[l].max_entries", "port_lists[p].max_entries", "vnics[v].group_ids"],
            SnapshotReader.Read(snapshot, PolicyLimits.Default).Faults.Select(fault => fault.Path));
    }

    private static SnapshotResult Read(Limit limit, int size, int setting)
    {
        ConfigResult config = ConfigReader.Read("", limit.Setting is null ? limit.With
            : [.. limit.With, string.Create(CultureInfo.InvariantCulture, $"{limit.Setting}={setting}")]);
        Assert.Empty(config.Faults);
        return SnapshotReader.Read(Made(limit, size), config.Config!.Limits);
    }

    private static Snapshot Made(Limit limit, int size)
    {
        Snapshot snapshot = Small();
        limit.Make(snapshot, size);
        return snapshot;
    }

    private static Snapshot Small() => new()
    {
        Revision = 1,
        Groups = { new V1.SecurityGroup { Id = "g", VpcId = "vpc" } },
        Vnics =
        {
            new V1.Vnic
            {
                Id = "v",
                InterfaceName = "tap",
                Mac = "02:00:00:00:00:01",
                VpcId = "vpc",
                GroupIds = { "g" },
            },
        },
    };

    private static Rule Tcp(int number) => new()
    {
        Id = $"r{number}",
        Direction = V1.Direction.Ingress,
        Protocol = "tcp",
        PortRange = $"{number + 1}/{number + 1}",
        Cidr = "0.0.0.0/0",
    };

    private static IEnumerable<int> Numbers(int count) => Enumerable.Range(0, count);

    private static IEnumerable<string> Members(int count) =>
        Numbers(count).Select(i => $"10.{i >> 16}.{i >> 8 & 255}.{i & 255}");

    [GeneratedRegex(@"^\| `(limits\.[a-z_]+)`", RegexOptions.Multiline)]
    private static partial Regex Setting();

    /// <param name="Setting">Its key; null: it cannot be set.</param>
    /// <param name="Name">The member of <see cref="PolicyLimits"/>, or what it is a limit of.</param>
    /// <param name="Values">At which it is tried; negative: a least value, and one less is beyond.</param>
    /// <param name="Path">Where one more is told.</param>
    /// <param name="Code">As what; null: a warning.</param>
    /// <param name="Make">Puts so many into the small snapshot.</param>
    /// <param name="With">Other settings, which would be in the way.</param>
    private sealed record Limit(
        string? Setting, string Name, int[] Values, string Path, string? Code, Action<Snapshot, int> Make,
        params string[] With);
}
