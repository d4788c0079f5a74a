using Agent.Cli;

namespace Agent.Tests.Cli.Conversion;

/// <summary>Answers of Amazon EC2, written by its API reference, and its verdicts.</summary>
public sealed class AwsTests
{
    private const string Groups = """
        {
          "SecurityGroups": [
            {
              "Description": "web servers", "GroupName": "web", "OwnerId": "111122223333", "GroupId": "sg-0web",
              "SecurityGroupArn": "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0web", "VpcId": "vpc-0a1b",
              "IpPermissions": [
                { "FromPort": 80, "IpProtocol": "tcp", "ToPort": 80, "PrefixListIds": [], "UserIdGroupPairs": [],
                  "IpRanges": [ { "CidrIp": "0.0.0.0/0", "Description": "everybody" } ],
                  "Ipv6Ranges": [ { "CidrIpv6": "::/0" } ] },
                { "FromPort": 22, "IpProtocol": "tcp", "ToPort": 22, "IpRanges": [ { "CidrIp": "203.0.113.0/24" } ],
                  "Ipv6Ranges": [], "PrefixListIds": [ { "PrefixListId": "pl-1", "Description": "offices" } ],
                  "UserIdGroupPairs": [ { "GroupId": "sg-0ops", "UserId": "111122223333" } ] },
                { "FromPort": -1, "IpProtocol": "icmp", "ToPort": -1, "IpRanges": [ { "CidrIp": "10.0.0.0/8" } ],
                  "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": [] },
                { "IpProtocol": "50", "IpRanges": [ { "CidrIp": "198.51.100.7/32" } ], "Ipv6Ranges": [],
                  "PrefixListIds": [], "UserIdGroupPairs": [] }
              ],
              "IpPermissionsEgress": [
                { "FromPort": 443, "IpProtocol": "tcp", "ToPort": 443, "IpRanges": [ { "CidrIp": "0.0.0.0/0" } ],
                  "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": [] }
              ],
              "Tags": [ { "Key": "team", "Value": "shop" } ]
            },
            {
              "Description": "default VPC security group", "GroupName": "default", "OwnerId": "111122223333",
              "GroupId": "sg-0def", "VpcId": "vpc-0a1b",
              "IpPermissions": [
                { "IpProtocol": "-1", "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [],
                  "UserIdGroupPairs": [ { "GroupId": "sg-0def", "UserId": "111122223333" } ] }
              ],
              "IpPermissionsEgress": [
                { "IpProtocol": "-1", "IpRanges": [ { "CidrIp": "0.0.0.0/0" } ], "Ipv6Ranges": [],
                  "PrefixListIds": [], "UserIdGroupPairs": [] }
              ]
            },
            { "Description": "nothing", "GroupName": "none", "OwnerId": "111122223333", "GroupId": "sg-0none",
              "VpcId": "vpc-0a1b", "IpPermissions": [], "IpPermissionsEgress": [] }
          ]
        }
        """;

    private const string Lists = """
        { "PrefixLists": [ { "PrefixListId": "pl-1", "PrefixListName": "offices", "Cidrs": ["192.0.2.0/25"] } ] }
        """;

    [Fact]
    public async Task Packets_are_judged_as_AWS_judges_them()
    {
        Converted converted = await Converted.Good([Groups, Lists]);
        await converted.Judges("sg-0web", "sg-0ops=10.0.0.77,2001:db8::77",
            "ingress tcp 192.0.2.200 10.0.0.5:80 : ACCEPT sg-0web/ingress-tcp-80_80-ipv4",
            "ingress tcp 2001:db8:9::1 [2001:db8::5]:80 : ACCEPT sg-0web/ingress-tcp-80_80-ipv6",
            "ingress tcp 192.0.2.200 10.0.0.5:81 : DROP default",
            "ingress udp 192.0.2.200 10.0.0.5:80 : DROP default",
            "ingress tcp 203.0.113.9 10.0.0.5:22 : ACCEPT",
            "ingress tcp 192.0.2.100 10.0.0.5:22 : ACCEPT sg-0web/ingress-tcp-22_22-pl-1",
            "ingress tcp 192.0.2.200 10.0.0.5:22 : DROP default",
            "ingress tcp 10.0.0.77 10.0.0.5:22 : ACCEPT sg-0web/ingress-tcp-22_22-sg-0ops",
            "ingress tcp 2001:db8::77 [2001:db8::5]:22 : ACCEPT",
            "ingress icmp 10.9.9.9 10.0.0.5 : ACCEPT",
            "ingress icmpv6 2001:db8::9 2001:db8::5 : DROP",
            "ingress 50 198.51.100.7 10.0.0.5 : ACCEPT",
            "ingress 51 198.51.100.7 10.0.0.5 : DROP",
            "egress tcp 10.0.0.5 192.0.2.1:443 : ACCEPT",
            "egress tcp 10.0.0.5 192.0.2.1:80 : DROP sg-0web/egress-closed-ipv4",
            "egress udp 10.0.0.5 192.0.2.1:443 : DROP",
            "egress tcp 2001:db8::5 [2001:db8::1]:443 : DROP sg-0web/egress-closed-ipv6");
        Assert.Equal("shop", (string?)converted.Group("sg-0web")["labels"]!["team"]);
        Assert.Equal("everybody", (string?)converted.Group("sg-0web")["rules"]![0]!["description"]);
    }

    [Fact]
    public async Task A_group_that_names_itself_for_all_traffic_has_inner_access()
    {
        Converted converted = await Converted.Good([Groups, Lists]);
        await converted.Judges("sg-0def", "sg-0def=10.0.0.6,2001:db8::6",
            "ingress tcp 10.0.0.6 10.0.0.5:80 : ACCEPT sg-0def",
            "ingress gre 2001:db8::6 2001:db8::5 : ACCEPT sg-0def",
            "ingress tcp 10.0.0.7 10.0.0.5:80 : DROP",
            "egress tcp 10.0.0.5 10.0.0.6:80 : ACCEPT",
            "egress tcp 2001:db8::5 [2001:db8::6]:80 : DROP sg-0def/egress-closed-ipv6");
        Assert.Contains(converted.List("warnings"), one => one.StartsWith(
            "SecurityGroups[1]: members may not send everywhere", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Groups_of_one_vNIC_add_up_and_no_rule_is_nothing()
    {
        Converted converted = await Converted.Good([Groups, Lists]);
        await converted.Judges("sg-0none", "",
            "ingress tcp 192.0.2.1 10.0.0.5:80 : DROP", "egress tcp 10.0.0.5 192.0.2.1:80 : DROP",
            "egress tcp 2001:db8::5 [2001:db8::1]:80 : DROP");
        await converted.Judges("sg-0none,sg-0web,sg-0def", "",
            "ingress tcp 192.0.2.1 10.0.0.5:80 : ACCEPT", "egress udp 10.0.0.5 192.0.2.1:53 : ACCEPT",
            "egress tcp 2001:db8::5 [2001:db8::1]:443 : DROP");
    }

    [Fact]
    public async Task What_is_in_no_document_is_said_and_closed()
    {
        Converted converted = await Converted.Good([Groups, Lists]);
        Assert.Contains(
            "SecurityGroups[0].IpPermissions[1].UserIdGroupPairs[0]: sg-0ops is in no document: an empty, closed group "
            + "stands for it", converted.List("warnings"));
        await converted.Judges("sg-0ops", "",
            "ingress tcp 192.0.2.1 10.0.0.5:80 : DROP", "egress tcp 10.0.0.5 192.0.2.1:80 : DROP",
            "egress tcp 2001:db8::5 [2001:db8::1]:80 : DROP");

        Converted without = await Converted.Of([Groups]);
        Assert.Equal(ExitCode.InputInvalid, without.Run.ExitCode);
        Assert.Equal(
            ["SecurityGroups[0].IpPermissions[1].PrefixListIds[0]: the entries of pl-1 are in no document"],
            without.List("faults"));
        Converted skipped = await Converted.Good([Groups], "--skip-unsupported");
        Assert.Single(skipped.List("skipped"));
        Assert.Equal("DROP default", await skipped.Judge("sg-0web", "ingress tcp 192.0.2.100 10.0.0.5:22"));
    }

    public static TheoryData<string, string, string> Inexpressible() => new()
    {
        {
            """{ "IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [ { "CidrIp": "0.0.0.0/0" } ] }""",
            "", "icmp type 8, code -1: rules know no ICMP types"
        },
        {
            """{ "IpProtocol": "icmpv6", "FromPort": 128, "ToPort": 0, "Ipv6Ranges": [ { "CidrIpv6": "::/0" } ] }""",
            "", "icmpv6 type 128, code 0"
        },
        {
            """{ "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [ { "GroupId": "sg-1" } ] }""",
            ".UserIdGroupPairs[0]", "members may send each other a part of all traffic"
        },
        {
            """
            { "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
              "UserIdGroupPairs": [ { "GroupId": "sg-2", "VpcId": "vpc-2", "PeeringStatus": "active" } ] }
            """,
            ".UserIdGroupPairs[0]", "sg-2 is a group of another VPC or account"
        },
        {
            """
            { "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
              "UserIdGroupPairs": [ { "GroupId": "sg-2", "UserId": "444455556666" } ] }
            """,
            ".UserIdGroupPairs[0]", "sg-2 is a group of another VPC or account"
        },
        {
            """{ "IpProtocol": "udp", "FromPort": 0, "ToPort": 0, "IpRanges": [ { "CidrIp": "0.0.0.0/0" } ] }""",
            "", "port 0 alone"
        },
        {
            """
            { "IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "IpRanges": [ { "CidrIp": "0.0.0.0/0" } ],
              "Condition": { "Time": "night" } }
            """,
            "", "Condition: not known, and may narrow the rule"
        },
    };

    [Theory]
    [MemberData(nameof(Inexpressible))]
    public async Task What_no_policy_says_exactly_is_a_fault_or_left_out_if_asked(
        string permission, string at, string says)
    {
        string document = OneGroup(permission);
        Converted refused = await Converted.Of([document]);
        Assert.Equal(ExitCode.InputInvalid, refused.Run.ExitCode);
        string fault = Assert.Single(refused.List("faults"));
        Assert.StartsWith($"SecurityGroups[0].IpPermissions[0]{at}: {says}", fault, StringComparison.Ordinal);
        Assert.Null(refused.Answer["policy"]);

        Converted skipped = await Converted.Good([document], "--skip-unsupported");
        Assert.Equal(fault, Assert.Single(skipped.List("skipped")));
        Assert.Equal("DROP default", await skipped.Judge("sg-1", "ingress tcp 10.0.0.9 10.0.0.5:22", "sg-1=10.0.0.9"));
        Assert.Equal("DROP default", await skipped.Judge("sg-1", "ingress icmp 10.0.0.9 10.0.0.5"));
    }

    [Fact]
    public async Task All_ports_are_all_but_port_0()
    {
        Converted converted = await Converted.Good([OneGroup(
            """{ "IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{ "CidrIp": "10.1.2.3/8" }] }""")]);
        Assert.Equal("1/65535", (string?)converted.Group("sg-1")["rules"]![0]!["port_range"]);
        Assert.Contains(
            "SecurityGroups[0].IpPermissions[0]: without port 0: rules know ports from 1 on",
            converted.List("warnings"));
        Assert.Single(converted.Answer["notes"]!.AsArray()); // 10.1.2.3/8 is 10.0.0.0/8
    }

    [Theory]
    [InlineData("\"IpPermissions\": []", "\"X\": []", "SecurityGroups[0]: there is no IpPermissions")]
    [InlineData("vpc-1", "", "SecurityGroups[0]: there is no VpcId")]
    [InlineData("\"IpPermissions\": []", "\"IpPermissions\": [7]",
        "SecurityGroups[0].IpPermissions[0]: '7' where an object must be")]
    [InlineData("sg-1", "sg 1", "SecurityGroups[0]: 'sg 1' is not an id")]
    [InlineData("\"IpPermissions\": []", "\"IpPermissions\": [ { \"IpRanges\": [ { \"CidrIp\": \"1.2.3.4\" } ] } ]",
        "SecurityGroups[0].IpPermissions[0]: there is no IpProtocol")]
    public async Task A_broken_document_is_a_fault_at_its_place(string good, string bad, string says)
    {
        Converted refused = await Converted.Of([OneGroup("").Replace(good, bad, StringComparison.Ordinal)]);
        Assert.Equal(ExitCode.InputInvalid, refused.Run.ExitCode);
        Assert.Contains(refused.List("faults"), one => one.StartsWith(says, StringComparison.Ordinal));
    }

    private static string OneGroup(string permission) => $$"""
        {
          "SecurityGroups": [
            { "GroupId": "sg-1", "GroupName": "one", "OwnerId": "111122223333", "VpcId": "vpc-1",
              "IpPermissions": [{{permission}}], "IpPermissionsEgress": [] }
          ]
        }
        """;
}
