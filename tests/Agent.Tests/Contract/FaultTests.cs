using System.Reflection;
using Agent.Contract;
using Agent.Policy;
using Google.Protobuf.WellKnownTypes;
using Rule = Agent.V1.Rule;
using Snapshot = Agent.V1.Snapshot;

namespace Agent.Tests.Contract;

/// <summary>Every fault that a snapshot can have, one at a time and all at once.</summary>
public class FaultTests
{
    internal static readonly PolicyLimits Limits = PolicyLimits.Default with
    {
        MembersPerBasicGroup = 5,
        PrefixListEntries = 300,
        WeightedRulesPerVnic = 1000,
    };

    /// <summary>What is done to the valid snapshot, and the one fault that follows.</summary>
    internal static readonly Fault[] Faults =
    [
        new(Codes.Protocol, "groups[web].rules[r1].protocol", s => s.Rule("r1").Protocol = "sctp"),
        new(Codes.Protocol, "groups[web].rules[r1].protocol", s => s.Rule("r1").Protocol = "256"),
        new(Codes.PortRange, "groups[web].rules[r1].port_range", s => s.Rule("r1").PortRange = "80/22"),
        new(Codes.PortRange, "groups[web].rules[r1].port_range", s => s.Rule("r1").PortRange = "-1/-1"),
        new(Codes.PortRange, "groups[web].rules[r1].port_range", s => s.Rule("r1").PortRange = "0/80"),
        new(Codes.PortRange, "groups[web].rules[r1].port_range", s => s.Rule("r1").PortRange = "80"),
        new(Codes.PortRange, "groups[web].rules[r1].port_range", s => s.Rule("r1").PortRange = "+80/ 80"),
        new(Codes.PortRange, "groups[web].rules[r1].port_range", s => s.Rule("r1").PortRange = "1/65536"),
        new(Codes.SourcePortRange, "groups[web].rules[r2].source_port_range", s => s.Rule("r2")
            .SourcePortRange = "9/1"),
        new(Codes.PortMismatch, "groups[web].rules[r1].port_range", s => s.Rule("r1").Protocol = "icmp"),
        new(Codes.PortMismatch, "groups[web].rules[r4].source_port_range", s => s.Group("web").Rules.Add(
            Extra("gre", rule => rule.SourcePortRange = "1/2"))),
        new(Codes.PortListProtocol, "groups[web].rules[r3].port_list_id", s => s.Rule("r3").Protocol = "gre"),
        new(Codes.PortListNotFound, "groups[web].rules[r3].port_list_id", s => s.Rule("r3").PortListId = "gone"),
        new(Codes.SourceCidr, "groups[web].rules[r4].cidr", s => s.Group("web").Rules.Add(
            Extra("all", rule => rule.Cidr = "10.0.0.0/33"))),
        new(Codes.SourceCidrV6, "groups[web].rules[r4].cidr", s => s.Group("web").Rules.Add(
            Extra("all", rule => rule.Cidr = "2001:db8::1/32"))),
        new(Codes.DestCidr, "groups[web].rules[r4].cidr", s => s.Group("web").Rules.Add(
            Extra("all", rule => (rule.Direction, rule.Cidr) = (V1.Direction.Egress, "10.0.0")))),
        new(Codes.DestCidrV6, "groups[web].rules[r4].cidr", s => s.Group("web").Rules.Add(
            Extra("all", rule => (rule.Direction, rule.Cidr) = (V1.Direction.Egress, "fe80::1%eth0")))),
        new(Codes.DestCidr, "groups[web].rules[r1].own_cidr", s => s.Rule("r1").OwnCidr = "10.0.0.0/99"),
        new(Codes.DestCidrV6, "groups[web].rules[r1].own_cidr", s => s.Rule("r1").OwnCidr = "2001:db8::1/32"),
        new(Codes.SourceCidrV6, "groups[web].rules[r3].own_cidr", s => s.Rule("r3").OwnCidr = "fe80::1%tap1"),
        new(Codes.SourceCidr, "groups[web].rules[r3].own_cidr", s => s.Rule("r3").OwnCidr = "010.0.0.1"),
        new(Codes.ProtocolFamily, "groups[web].rules[r4].protocol", s => s.Group("web").Rules.Add(
            Extra("icmp", rule => rule.Cidr = "::/0"))),
        new(Codes.ProtocolFamily, "groups[web].rules[r4].protocol", s => s.Group("web").Rules.Add(
            Extra("icmpv6", rule => rule.Cidr = "0.0.0.0/0"))),
        new(Codes.ProtocolFamily, "groups[web].rules[r1].own_cidr", s => s.Rule("r1").OwnCidr = "2001:db8::8"),
        new(Codes.ListFamily, "groups[web].rules[r4].prefix_list_id", s => s.Group("web").Rules.Add(
            Extra("icmpv6", rule => rule.PrefixListId = "pl4"))),
        new(Codes.ListFamily, "prefix_lists[pl4].entries[2]", s => s.List("pl4").Entries.Add("2001:db8::/64")),
        new(Codes.SameCidr, "groups[web].rules[r1].own_cidr", s => s.Rule("r1").OwnCidr = "10.0.0.0/8"),
        new(Codes.AddressOverlap, "vnics[v2].addresses", s =>
        {
            s.Vnic("v2").VpcId = s.Group("adv").VpcId = "vpc-2";
            s.Vnic("v2").Addresses[0] = "10.0.0.8";
        }),
        new(Codes.Policy, "groups[web].rules[r1].policy", s => s.Rule("r1").Policy = (V1.Policy)9),
        new(Codes.Policy, "groups[web].inner_access_policy", s => s.Group("web").InnerAccessPolicy = (V1.Policy)9),
        new(Codes.Priority, "groups[web].rules[r1].priority", s => s.Rule("r1").Priority = 101),
        new(Codes.Description, "groups[web].rules[r1].description", s => s.Rule("r1").Description = "two\nlines"),
        new(Codes.Description, "groups[web].rules[r1].description", s => s.Rule("r1")
            .Description = new string('x', 513)),
        new(Codes.MissingSource, "groups[web].rules[r1].cidr", s => s.Rule("r1").ClearRemote()),
        new(Codes.MissingDest, "groups[web].rules[r3].cidr", s => s.Rule("r3").ClearRemote()),
        new(Codes.GroupRuleLimit, "groups[web].rules", s => s.Group("web").Rules.Add(Enumerable.Range(0, 20).Select(i =>
            new Rule(s.Rule("r2")) { Id = $"more{i}", PortRange = $"{i + 1}/{i + 1}" }))),
        new(Codes.AdvancedReference, "groups[adv].rules[a1].group_id", s => s.Group("adv").Rules[0].GroupId = "peers"),
        new(Codes.AdvancedReference, "groups[web].rules[r2].group_id", s => s.Rule("r2").GroupId = "adv"),
        new(Codes.SelfIngress, "groups[web].rules[r2].group_id", s => s.Rule("r2").GroupId = "web"),
        new(Codes.SelfEgress, "groups[web].rules[r3].group_id", s => s.Rule("r3").GroupId = "web"),
        new(Codes.SourceMismatch, "groups[web].rules[r2].group_id", s => s.Group("peers").VpcId = "vpc-2"),
        new(Codes.DestMismatch, "groups[web].rules[r3].group_id", s =>
        {
            s.Rule("r3").GroupId = "far";
            s.Groups.Add(new V1.SecurityGroup { Id = "far", VpcId = "vpc-2" });
        }),
        new(Codes.SourceNotFound, "groups[web].rules[r2].group_id", s => s.Rule("r2").GroupId = "gone"),
        new(Codes.DestNotFound, "groups[web].rules[r3].group_id", s => s.Rule("r3").GroupId = "gone"),
        new(Codes.PrefixListNotFound, "groups[web].rules[r3].prefix_list_id", s => s.Rule("r3").PrefixListId = "gone"),
        new(Codes.GroupNotFound, "vnics[v1].group_ids", s => s.Vnic("v1").GroupIds.Add("gone")),
        new(Codes.GroupNotFound, "vnics[v1].group_ids", s => s.Vnic("v1").GroupIds.Clear()),
        new(Codes.GroupId, "groups[a b].id", s => s.Groups.Add(new V1.SecurityGroup { Id = "a b", VpcId = "vpc-1" })),
        new(Codes.InnerAccess, "groups[adv].inner_access_policy", s => s.Group("adv")
            .InnerAccessPolicy = V1.Policy.Accept),
        new(Codes.MultiGroupType, "vnics[v1].group_ids", s => s.Vnic("v1").GroupIds.Add("adv")),
        new(Codes.VpcMismatch, "vnics[v1].group_ids", s => s.Vnic("v1").VpcId = "vpc-2"),
        new(Codes.GroupsPerVnic, "vnics[v1].group_ids", s =>
        {
            for (int i = 0; i < 10; i++)
            {
                s.Groups.Add(new V1.SecurityGroup { Id = $"g{i}", VpcId = "vpc-1" });
                s.Vnic("v1").GroupIds.Add($"g{i}");
            }
        }),
        new(Codes.RulesPerVnic, "vnics[v1].group_ids", s => s.List("pl4").MaxEntries = 250),
        new(Codes.MembersPerGroup, "groups[web].members", s => s.Group("web")
            .Members.Add(["10.5.0.1", "10.5.0.2", "10.5.0.3"])),
        new(Codes.Id, "prefix_lists[].id", s => s.PrefixLists.Add(new V1.PrefixList { Family = V1.IpFamily.Ipv4 })),
        new(Codes.Id, "port_lists[a/b].id", s => s.PortLists.Add(new V1.PortList { Id = "a/b" })),
        new(Codes.Duplicate, "prefix_lists[pl6]", s => s.PrefixLists.Add(s.List("pl6").Clone())),
        new(Codes.Duplicate, "groups[web].rules[r1].id", s => s.Group("web").Rules.Add(
            new Rule(s.Rule("r1")) { PortRange = "81/81" })),
        new(Codes.Duplicate, "prefix_lists[pl4].entries[2]", s => s.List("pl4").Entries.Add("192.0.2.1/32")),
        new(Codes.Duplicate, "port_lists[ports].entries[2]", s => s.PortLists[0].Entries.Add("22/22")),
        new(Codes.Duplicate, "vnics[v1].addresses[2]", s => s.Vnic("v1").Addresses.Add("10.0.0.8")),
        new(Codes.Duplicate, "vnics[v1].group_ids", s => s.Vnic("v1").GroupIds.Add("web")),
        new(Codes.Duplicate, "vnics[v2].addresses", s => s.Vnic("v2").Addresses.Add("10.0.0.8")),
        new(Codes.Duplicate, "vnics[v2].mac", s => s.Vnic("v2").Mac = "02:00:00:00:00:01"),
        new(Codes.Duplicate, "vnics[v2].interface_name", s => s.Vnic("v2").InterfaceName = "tap1"),
        new(Codes.Text, "groups[web].name", s => s.Group("web").Name = "bell\a"),
        new(Codes.Text, "groups[web].labels", s => s.Group("web").Labels["k"] = new string('v', 257)),
        new(Codes.Address, "groups[peers].members[2]", s => s.Group("peers").Members.Add("10.0.0.1-10.0.0.5")),
        new(Codes.Address, "groups[peers].members[2]", s => s.Group("peers").Members.Add("10.0.0.1/8")),
        new(Codes.Address, "vnics[v1].addresses[2]", s => s.Vnic("v1").Addresses.Add("10.7.0.0/16")),
        new(Codes.Enumeration, "groups[web].rules[r1].direction", s => s.Rule("r1").Direction = default),
        new(Codes.Enumeration, "groups[peers].type", s => s.Group("peers").Type = (V1.GroupType)9),
        new(Codes.Enumeration, "prefix_lists[new].family", s => s.PrefixLists.Add(new V1.PrefixList { Id = "new" })),
        new(Codes.Interface, "vnics[v1].interface_name", s => s.Vnic("v1").InterfaceName = "tap/1"),
        new(Codes.Interface, "vnics[v1].interface_name", s => s.Vnic("v1").InterfaceName = "a234567890123456"),
        new(Codes.Interface, "vnics[v1].interface_name", s => s.Vnic("v1").InterfaceName = ".."),
        new(Codes.Mac, "vnics[v1].mac", s => s.Vnic("v1").Mac = "01:00:5e:00:00:01"),
        new(Codes.Mac, "vnics[v1].mac", s => s.Vnic("v1").Mac = "02-00-00-00-00-01"),
        new(Codes.Timeout, "vnics[v1].timeouts.udp_seconds", s => s.Vnic("v1").Timeouts.UdpSeconds = 9),
        new(Codes.Timeout, "vnics[v1].timeouts.tcp_established_seconds",
            s => s.Vnic("v1").Timeouts.TcpEstablishedSeconds = uint.MaxValue),
        new(Codes.Timeout, "vnics[v1].timeouts.tcp_closed_and_time_wait_seconds",
            s => s.Vnic("v1").Timeouts.TcpClosedAndTimeWaitSeconds = 16),
        new(Codes.Limit, "prefix_lists[pl4].entries", s => s.List("pl4").MaxEntries = 1),
        new(Codes.Limit, "prefix_lists[pl6].max_entries", s => s.List("pl6").MaxEntries = 301),
        new(Codes.Entry, "prefix_lists[pl4].entries[2]", s => s.List("pl4").Entries.Add("::ffff:10.0.0.1")),
        new(Codes.Revision, "revision", s => s.Revision = 0),
        new(Codes.Time, "issued_at", s => s.IssuedAt = new Timestamp { Nanos = 1_000_000_000 }),
        new(Codes.Time, "issued_at", s => s.IssuedAt = new Timestamp { Seconds = long.MaxValue }),
    ];

    public static TheoryData<int> Indices => [.. Enumerable.Range(0, Faults.Length)];

    [Theory]
    [MemberData(nameof(Indices))]
    public void A_fault_is_found_with_its_path_code_and_remedy(int index)
    {
        Fault fault = Faults[index];
        Snapshot snapshot = Messages.Valid();
        fault.Make(snapshot);
        SnapshotResult result = SnapshotReader.Read(snapshot, Limits);
        Assert.Null(result.Policy);
        PolicyFault found = Assert.Single(result.Faults);
        Assert.Equal((fault.Path, fault.Code), (found.Path, found.Code));
        Assert.NotEmpty(found.Message);
        Assert.NotEmpty(found.Remedy);
    }

    [Fact]
    public void The_valid_snapshot_has_no_fault()
    {
        SnapshotResult result = SnapshotReader.Read(Messages.Valid(), Limits);
        Assert.NotNull(result.Policy);
        Assert.Empty(result.Faults);
        Assert.Empty(result.Warnings);
    }

    [Fact]
    public void Every_code_has_a_test() =>
        Assert.Empty(typeof(Codes).GetFields(BindingFlags.Static | BindingFlags.Public)
        .Select(field => (string)field.GetRawConstantValue()!)
        .Except(Faults.Select(fault => fault.Code)).Except(DeltaTests.Codes).Except(AssemblerTests.Codes)
        .Except(LimitTests.ShownCodes));

    [Fact]
    public void A_hostile_snapshot_is_answered_with_a_thousand_faults_at_most()
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Group("peers").Members.AddRange(Enumerable.Repeat("x", 5000));
        SnapshotResult result = SnapshotReader.Read(snapshot, Limits);
        Assert.Equal(1001, result.Faults.Length);
        Assert.Equal("TooManyFaults", result.Faults[^1].Code);
    }

    [Fact]
    public void What_is_shown_of_a_value_is_short_and_without_control_characters()
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Rule("r1").Protocol = "\u001b[31m" + new string('x', 10_000);
        PolicyFault fault = Assert.Single(SnapshotReader.Read(snapshot, Limits).Faults);
        Assert.DoesNotContain('\u001b', fault.Message);
        Assert.True(fault.Message.Length < 200);
    }

    [Fact]
    public void Host_bits_of_a_rule_are_cleared_with_a_warning()
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Rule("r1").Cidr = "10.159.6.18/12";
        SnapshotResult result = SnapshotReader.Read(snapshot, Limits);
        Assert.Equal("10.144.0.0/12", result.Policy!.Groups["web"].Rules[0].Remote.ToString());
        Assert.Contains("groups[web].rules[r1].cidr", Assert.Single(result.Warnings));
    }

    [Fact]
    public void The_same_rule_again_is_left_out_with_a_warning()
    {
        Snapshot snapshot = Messages.Valid();
        snapshot.Group("web").Rules.Add(new Rule(snapshot.Rule("r1")) { Id = "r0", Description = "again" });
        SnapshotResult result = SnapshotReader.Read(snapshot, Limits);
        Assert.Equal(["r0", "r2", "r3"], result.Policy!.Groups["web"].Rules.Select(rule => rule.Id));
        Assert.Contains("rules[r1]", Assert.Single(result.Warnings));
    }

    [Fact]
    public void Defaults_are_the_documented_ones()
    {
        var snapshot = new Snapshot
        {
            Revision = 1,
            Groups =
                { new V1.SecurityGroup { Id = "g", VpcId = "v",
                    Rules = { Extra("all", rule => rule.Cidr = "::/0") } } },
            Vnics = { new V1.Vnic { Id = "n", InterfaceName = "tap0", Mac = "02:00:00:00:00:01", VpcId = "v",
                GroupIds = { "g" } } },
        };
        PolicySnapshot policy = SnapshotReader.Read(snapshot, Limits).Policy!;
        SecurityGroup group = policy.Groups["g"];
        Assert.Equal((Policy.GroupType.Basic, Verdict.Accept), (group.Type, group.InnerAccess));
        Assert.Equal((Verdict.Accept, (byte)1), (group.Rules[0].Verdict, group.Rules[0].Priority));
        Assert.Equal(SessionTimeouts.Default, policy.Vnics["n"].Timeouts);
        Assert.True(policy.Vnics["n"].SourceDestinationCheck);
    }

    private static Rule Extra(string protocol, Action<Rule> change)
    {
        var rule = new Rule { Id = "r4", Direction = V1.Direction.Ingress, Protocol = protocol, Cidr = "10.3.0.0/16" };
        change(rule);
        return rule;
    }

    internal sealed record Fault(string Code, string Path, Action<Snapshot> Make);
}
