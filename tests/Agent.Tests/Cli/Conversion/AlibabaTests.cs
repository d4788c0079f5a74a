using Agent.Cli;

namespace Agent.Tests.Cli.Conversion;

/// <summary>Answers of Alibaba Cloud ECS, written by its API reference; its verdicts are ours (semantics.md).</summary>
public sealed class AlibabaTests
{
    private static readonly string Web = Group("sg-web", "Drop",
        """
        { "SecurityGroupRuleId": "sgr-1", "Direction": "ingress", "IpProtocol": "TCP", "PortRange": "80/80",
          "SourceCidrIp": "0.0.0.0/0", "Ipv6SourceCidrIp": "", "SourceGroupId": "", "SourceGroupName": "",
          "SourceGroupOwnerAccount": "", "SourcePrefixListId": "", "SourcePrefixListName": "", "SourcePortRange": "",
          "DestCidrIp": "", "Ipv6DestCidrIp": "", "DestGroupId": "", "DestGroupName": "", "DestGroupOwnerAccount": "",
          "DestPrefixListId": "", "DestPrefixListName": "", "PortRangeListId": "", "PortRangeListName": "",
          "NicType": "intranet", "Policy": "Accept", "Priority": 1, "Description": "http",
          "CreateTime": "2018-12-12T07:28:38Z" }
        """,
        """
        { "SecurityGroupRuleId": "sgr-2", "Direction": "ingress", "IpProtocol": "ALL", "PortRange": "-1/-1",
          "SourcePrefixListId": "pl-bad", "Policy": "Drop", "Priority": "1", "NicType": "intranet" }
        """,
        """
        { "SecurityGroupRuleId": "sgr-3", "Direction": "ingress", "IpProtocol": "TCP", "PortRange": "22/22",
          "SourceCidrIp": "198.51.100.0/24", "DestCidrIp": "10.0.0.5/32", "SourcePortRange": "1024/65535",
          "Policy": "Accept", "Priority": "50", "NicType": "intranet" }
        """,
        """
        { "SecurityGroupRuleId": "sgr-4", "Direction": "ingress", "IpProtocol": "ICMPv6", "PortRange": "-1/-1",
          "Ipv6SourceCidrIp": "::/0", "Policy": "Accept", "Priority": "1", "NicType": "intranet" }
        """,
        """
        { "SecurityGroupRuleId": "sgr-5", "Direction": "ingress", "IpProtocol": "TCP", "PortRange": "",
          "PortRangeListId": "prl-db", "SourceGroupId": "sg-db", "SourceGroupOwnerAccount": "a@example.com",
          "Policy": "Accept", "Priority": "1", "NicType": "intranet" }
        """,
        """
        { "SecurityGroupRuleId": "sgr-6", "Direction": "egress", "IpProtocol": "UDP", "PortRange": "1/65535",
          "DestCidrIp": "203.0.113.0/24", "Policy": "Drop", "Priority": "100", "NicType": "intranet" }
        """);

    private static readonly string Db = Group("sg-db", "Accept");

    private const string Lists = """
        [
          { "RequestId": "3", "PrefixListId": "pl-bad", "PrefixListName": "bad", "AddressFamily": "IPv4",
            "MaxEntries": 10, "CreationTime": "2021-02-20T07:11Z", "Description": "x",
            "Entries": { "Entry": [ { "Cidr": "192.0.2.0/24", "Description": "x" } ] } },
          { "PortRangeListId": "prl-db", "Entries": [ { "PortRange": "5432/5432" }, { "PortRange": "6000/6010" } ] }
        ]
        """;

    [Fact]
    public async Task Packets_are_judged_as_Alibaba_Cloud_judges_them()
    {
        Converted converted = await Converted.Good([Web, Db, Lists]);
        await converted.Judges("sg-web", "sg-db=10.0.0.77 sg-web=10.0.0.8",
            "ingress tcp 198.51.100.9 10.0.0.5:80 : ACCEPT sg-web/sgr-1",
            "ingress tcp 192.0.2.9 10.0.0.5:80 : DROP sg-web/sgr-2",
            "ingress tcp 198.51.100.9:2000 10.0.0.5:22 : ACCEPT sg-web/sgr-3",
            "ingress tcp 198.51.100.9:80 10.0.0.5:22 : DROP default",
            "ingress icmpv6 2001:db8::9 2001:db8::5 : ACCEPT sg-web/sgr-4",
            "ingress icmp 10.0.0.9 10.0.0.5 : DROP",
            "ingress tcp 10.0.0.77 10.0.0.5:6005 : ACCEPT sg-web/sgr-5",
            "ingress tcp 10.0.0.77 10.0.0.5:6011 : DROP",
            "ingress tcp 10.0.0.8 10.0.0.5:9 : DROP",
            "egress udp 10.0.0.5 203.0.113.9:53 : DROP sg-web/sgr-6",
            "egress tcp 10.0.0.5 203.0.113.9:53 : ACCEPT default");
        await converted.Judges("sg-db", "sg-db=10.0.0.77",
            "ingress tcp 10.0.0.77 10.0.0.5:1 : ACCEPT sg-db", "egress tcp 10.0.0.5 10.0.0.77:1 : ACCEPT");
    }

    [Fact]
    public async Task An_advanced_group_is_closed_both_ways_and_must_be_known_to_be_one()
    {
        string group = Group("sg-e", "Drop");
        Converted unknown = await Converted.Of([group]);
        Assert.Equal([": nothing says whether the group is basic or advanced"], unknown.List("faults"));
        const string types = """
            { "TotalCount": 1, "SecurityGroups": { "SecurityGroup": [
              { "SecurityGroupId": "sg-e", "SecurityGroupType": "enterprise", "ServiceManaged": true } ] } }
            """;
        foreach (Converted known in (Converted[])
            [await Converted.Good([group, types]), await Converted.Good([group], "--group-type", "advanced")])
        {
            await known.Judges("sg-e", "sg-e=10.0.0.8", "egress tcp 10.0.0.5 192.0.2.1:1 : DROP default",
                "ingress tcp 10.0.0.8 10.0.0.5:1 : DROP");
        }

        Converted basic = await Converted.Good([group], "--group-type", "basic");
        await basic.Judges("sg-e", "sg-e=10.0.0.8", "egress tcp 10.0.0.5 192.0.2.1:1 : ACCEPT default",
            "ingress tcp 10.0.0.8 10.0.0.5:1 : DROP");
    }

    [Theory]
    [InlineData("\"SourceGroupId\": \"sg-away\"", "group sg-away, which is dropped, is in no document")]
    [InlineData("\"SourcePrefixListId\": \"pl-away\"", "the entries of pl-away are in no document")]
    [InlineData("\"SourceCidrIp\": \"10.0.0.0/8\", \"NicType\": \"internet\"", "a rule of internet interfaces")]
    [InlineData("\"SourceCidrIp\": \"10.0.0.0/8\", \"Schedule\": \"night\"", "Schedule: not known")]
    public async Task A_drop_rule_is_never_left_out(string fields, string says)
    {
        string drop = $$"""
            { "SecurityGroupRuleId": "sgr-1", "Direction": "ingress", "IpProtocol": "ALL", "PortRange": "-1/-1",
              "Policy": "Drop", "Priority": "1", {{fields}} }
            """;
        foreach (string[] options in (string[][])[[], ["--skip-unsupported"]])
        {
            Converted refused = await Converted.Of([Group("sg-1", "Accept", drop)], options);
            Assert.Equal(ExitCode.InputInvalid, refused.Run.ExitCode);
            Assert.Contains(says, Assert.Single(refused.List("faults")), StringComparison.Ordinal);
        }

        string accept = drop.Replace("\"Drop\"", "\"Accept\"", StringComparison.Ordinal);
        Converted skipped = await Converted.Good([Group("sg-1", "Accept", accept)], "--skip-unsupported");
        Assert.Equal("DROP default", await skipped.Judge("sg-1", "ingress tcp 10.0.0.9 10.0.0.5:1"));
    }

    [Theory]
    [InlineData("\"Priority\": \"1\"", "\"Priority\": \"110\"", "Permissions.Permission[0].Priority: priority '110'")]
    [InlineData("\"Priority\": \"1\"", "\"x\": \"\"", "Permissions.Permission[0]: there is no Priority")]
    [InlineData("\"Accept\"", "\"Refuse\"", "Permissions.Permission[0].Policy: 'Refuse' is no policy")]
    [InlineData("\"ingress\"", "\"all\"", "Permissions.Permission[0].Direction: 'all' is no direction")]
    [InlineData("80/80", "80", "Permissions.Permission[0]: '80' is not a port range")]
    [InlineData("80/80", "-1/-1", "Permissions.Permission[0]: '-1/-1' is not a port range")]
    [InlineData("\"SourceCidrIp\"", "\"DestCidrIp\"", "Permissions.Permission[0]: not exactly one remote side")]
    [InlineData("0.0.0.0/0", "everybody", "Permissions.Permission[0]: 'everybody' is not an address")]
    [InlineData("\"VpcId\": \"vpc-1\"", "\"VpcId\": \"\"", ": the group is of the classic network")]
    [InlineData("\"RequestId\"", "\"NextToken\"", "NextToken: this is one page of several")]
    [InlineData("\"Permissions\"", "\"NoPermissions\"", ": there is no Permissions")]
    [InlineData("\"InnerAccessPolicy\": \"Accept\"", "\"x\": 1", ": there is no InnerAccessPolicy")]
    public async Task A_broken_document_is_a_fault_at_its_place(string good, string bad, string says)
    {
        string document = Group("sg-1", "Accept", """
            { "SecurityGroupRuleId": "sgr-1", "Direction": "ingress", "IpProtocol": "TCP", "PortRange": "80/80",
              "SourceCidrIp": "0.0.0.0/0", "Policy": "Accept", "Priority": "1" }
            """);
        Assert.Contains(good, document, StringComparison.Ordinal);
        int at = document.LastIndexOf(good, StringComparison.Ordinal);
        document = document[..at] + bad + document[(at + good.Length)..];
        Converted refused = await Converted.Of([document], "--skip-unsupported");
        Assert.Equal(ExitCode.InputInvalid, refused.Run.ExitCode);
        Assert.Contains(refused.List("faults"), one => one.StartsWith(says, StringComparison.Ordinal));
    }

    private static string Group(string id, string inner, params string[] rules) => $$"""
        {
          "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "RegionId": "cn-hangzhou", "SecurityGroupId": "{{id}}",
          "SecurityGroupName": "{{id}} name", "Description": "", "VpcId": "vpc-1", "InnerAccessPolicy": "{{inner}}",
          "Permissions": { "Permission": [{{string.Join(",", rules)}}] }
        }
        """;
}
