using Agent.Cli;

namespace Agent.Tests.Cli.Conversion;

/// <summary>Security groups of OpenStack, written by the Neutron API reference, and Neutron's verdicts.</summary>
public sealed class OpenStackTests
{
    private const string Web = "85cc3048-abc3-43cc-89b3-377341426ac5";
    private const string Ops = "a7734e61-b545-452d-a3cd-0189cbd9747a";
    private const string Offices = "8722e0e0-9cc9-4490-9660-8c9a5732fbb0";

    /// <summary>What the API makes for a new project: open outwards, open among members.</summary>
    private const string Default = $$"""
        {
          "security_groups": [
            {
              "id": "{{Web}}", "name": "default", "description": "Default security group", "stateful": true,
              "project_id": "e4f50856753b4dc6afee5fa6b9b6c550", "tenant_id": "e4f50856753b4dc6afee5fa6b9b6c550",
              "revision_number": 1, "tags": [], "shared": false, "created_at": "2018-03-19T19:16:56Z",
              "updated_at": "2018-03-19T19:16:56Z",
              "security_group_rules": [
                { "direction": "egress", "ethertype": "IPv6", "id": "3c0e45ff-adaf-4124-b083-bf390e5482ff",
                  "port_range_max": null, "port_range_min": null, "protocol": null, "remote_group_id": null,
                  "remote_address_group_id": null, "remote_ip_prefix": null, "security_group_id": "{{Web}}",
                  "project_id": "e4f50856753b4dc6afee5fa6b9b6c550", "description": "" },
                { "direction": "egress", "ethertype": "IPv4", "id": "93aa42e5-80db-4581-9391-3a608bd0e448",
                  "port_range_max": null, "port_range_min": null, "protocol": null, "remote_group_id": null,
                  "remote_ip_prefix": null, "security_group_id": "{{Web}}" },
                { "direction": "ingress", "ethertype": "IPv6", "id": "c0b09f00-1d49-4e64-a0a7-8a186d928138",
                  "port_range_max": null, "port_range_min": null, "protocol": null, "remote_group_id": "{{Web}}",
                  "remote_ip_prefix": null, "security_group_id": "{{Web}}" },
                { "direction": "ingress", "ethertype": "IPv4", "id": "f7d45c89-008e-4bab-88ad-d6811724c51c",
                  "port_range_max": null, "port_range_min": null, "protocol": null, "remote_group_id": "{{Web}}",
                  "remote_ip_prefix": null, "security_group_id": "{{Web}}" }
              ]
            }
          ]
        }
        """;

    /// <summary>As the command line shows one.</summary>
    private static readonly string Shown = ShownWith($$"""
        { "id": "r1", "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 8000,
          "port_range_max": 8010, "remote_ip_prefix": "192.0.2.9/24", "normalized_cidr": "192.0.2.0/24",
          "standard_attr_id": 54, "belongs_to_default_sg": false },
        { "id": "r2", "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22,
          "port_range_max": 22, "remote_group_id": "{{Ops}}" },
        { "id": "r3", "direction": "ingress", "ethertype": "IPv6", "protocol": "icmp" },
        { "id": "r4", "direction": "ingress", "ethertype": "IPv4", "protocol": "112", "remote_group_id": "{{Ops}}" },
        { "id": "r5", "direction": "ingress", "ethertype": "IPv6", "protocol": "udp", "port_range_min": 53,
          "port_range_max": 53, "remote_address_group_id": "{{Offices}}" },
        { "id": "r6", "direction": "egress", "ethertype": "IPv4", "protocol": "sctp" },
        { "id": "r7", "direction": "ingress", "ethertype": "IPv4", "protocol": "icmp", "remote_group_id": "{{Ops}}" }
        """);

    private const string Addresses = $$"""
        { "address_groups": [ { "id": "{{Offices}}", "name": "offices", "description": "", "project_id": "p",
            "addresses": ["198.51.100.0/24", "2001:db8:ffff::/48"] } ] }
        """;

    [Fact]
    public async Task The_default_group_is_open_outwards_and_among_members()
    {
        Converted converted = await Converted.Good([Default], "--vpc", "vpc-1");
        Assert.Empty(converted.List("warnings"));
        Assert.Equal("vpc-1", (string?)converted.Group(Web)["vpc_id"]);
        Assert.Equal(2, converted.Group(Web)["rules"]!.AsArray().Count);
        await converted.Judges(Web, $"{Web}=10.0.0.6,2001:db8::6",
            "ingress tcp 10.0.0.6 10.0.0.5:80 : ACCEPT", "ingress icmpv6 2001:db8::6 2001:db8::5 : ACCEPT",
            "ingress tcp 10.0.0.7 10.0.0.5:80 : DROP", "ingress icmpv6 2001:db8::7 2001:db8::5 : DROP",
            "egress 132 10.0.0.5 192.0.2.1 : ACCEPT", "egress udp 2001:db8::5 [2001:db8:9::1]:53 : ACCEPT");
    }

    [Fact]
    public async Task Packets_are_judged_as_Neutron_judges_them()
    {
        Converted converted = await Converted.Good([Shown, Addresses]);
        await converted.Judges("sg-show", $"{Ops}=10.0.0.77,2001:db8::77",
            "ingress tcp 192.0.2.200 10.0.0.5:8005 : ACCEPT sg-show/r1",
            "ingress tcp 192.0.2.200 10.0.0.5:8011 : DROP",
            "ingress tcp 10.0.0.77 10.0.0.5:22 : ACCEPT sg-show/r2",
            "ingress tcp 2001:db8::77 [2001:db8::5]:22 : DROP", // the rule is of IPv4
            "ingress icmpv6 2001:db8::9 2001:db8::5 : ACCEPT sg-show/r3", // Neutron's old name
            "ingress icmp 10.0.0.9 10.0.0.5 : DROP",
            "ingress icmp 10.0.0.77 10.0.0.5 : ACCEPT sg-show/r7",
            "ingress 112 10.0.0.77 10.0.0.5 : ACCEPT sg-show/r4",
            "ingress 112 2001:db8::77 2001:db8::5 : DROP",
            "ingress udp 2001:db8:ffff::1 [2001:db8::5]:53 : ACCEPT sg-show/r5",
            "ingress udp 198.51.100.1 10.0.0.5:53 : DROP",
            "egress 132 10.0.0.5 192.0.2.1 : ACCEPT sg-show/r6",
            "egress tcp 10.0.0.5 192.0.2.1:80 : DROP",
            "egress 132 2001:db8::5 2001:db8::1 : DROP");
    }

    [Theory]
    [InlineData("\"protocol\": \"icmp\", \"port_range_min\": 8", "icmp type 8, code : rules know no ICMP types")]
    [InlineData("\"protocol\": \"icmp\", \"port_range_min\": 3, \"port_range_max\": 4", "icmp type 3, code 4")]
    [InlineData("\"protocol\": \"sctp\", \"port_range_min\": 5, \"port_range_max\": 5", "ports of protocol 132")]
    [InlineData("\"protocol\": \"ipv6-frag\"", "ipv6-frag is no transport protocol")]
    [InlineData("\"protocol\": \"0\"", "0 is no transport protocol")]
    [InlineData("\"remote_address_group_id\": \"ag-1\"", "the addresses of ag-1 are in no document")]
    [InlineData("\"remote_group_id\": \"sg-show\"", "members may send each other a part of all traffic")]
    [InlineData("\"remote_mac\": \"02:00:00:00:00:01\"", "remote_mac: not known, and may narrow the rule")]
    public async Task What_no_policy_says_exactly_is_a_fault_or_left_out_if_asked(string fields, string says)
    {
        string document = ShownWith($$"""{ "id": "r1", "direction": "ingress", "ethertype": "IPv4", {{fields}} }""");
        Converted refused = await Converted.Of([document]);
        Assert.Equal(ExitCode.InputInvalid, refused.Run.ExitCode);
        string fault = Assert.Single(refused.List("faults"));
        Assert.Contains(says, fault, StringComparison.Ordinal);
        Assert.StartsWith("rules[0]", fault, StringComparison.Ordinal);
        Converted skipped = await Converted.Good([document], "--skip-unsupported");
        Assert.Single(skipped.List("skipped"));
        await skipped.Judges("sg-show", "sg-show=10.0.0.6",
            "ingress icmp 10.0.0.6 10.0.0.5 : DROP", "ingress tcp 10.0.0.6 10.0.0.5:80 : DROP");
    }

    [Theory]
    [InlineData("\"stateful\": true", "\"stateful\": false", "stateful: a stateless group")]
    [InlineData("IPv4", "IPv5", "rules[0].ethertype: 'IPv5' is no family")]
    [InlineData("\"r1\"", "\"r1\", \"remote_ip_prefix\": \"::/0\"",
        "rules[0].remote_ip_prefix: the prefix is of the other")]
    [InlineData("\"r1\"", "\"r1\", \"remote_ip_prefix\": \"10.0.0.0/8\", \"remote_group_id\": \"x\"",
        "rules[0]: more than one remote side")]
    [InlineData("\"r1\"", "\"r1\", \"security_group_id\": \"x\"", "rules[0].security_group_id: the rule is of another")]
    [InlineData("ingress", "inwards", "rules[0]: no direction")]
    [InlineData("\"r1\"", "\"r1\", \"protocol\": \"tcp\", \"port_range_min\": 22", "rules[0]: ports 22 to ")]
    [InlineData("\"r1\"", "\"r1\", \"protocol\": \"teecp\"", "rules[0]: 'teecp' is not a protocol")]
    [InlineData("[", "\"id='r1', direction='ingress'\" , \"x\": [",
        "rules: 'id='r1', direction='ingress'' where a list")]
    public async Task A_broken_document_is_a_fault_at_its_place(string good, string bad, string says)
    {
        string document = ShownWith("""{ "id": "r1", "direction": "ingress", "ethertype": "IPv4" }""");
        Assert.Contains(good, document, StringComparison.Ordinal);
        int at = document.IndexOf(good, document.IndexOf(good == "[" ? "rules" : "{", StringComparison.Ordinal),
            StringComparison.Ordinal);
        Converted refused = await Converted.Of([document[..at] + bad + document[(at + good.Length)..]]);
        Assert.Equal(ExitCode.InputInvalid, refused.Run.ExitCode);
        Assert.Contains(refused.List("faults"), one => one.StartsWith(says, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_VPC_the_project_stands_for_one_and_that_is_said()
    {
        Converted converted = await Converted.Good([Default]);
        Assert.Equal("e4f50856753b4dc6afee5fa6b9b6c550", (string?)converted.Group(Web)["vpc_id"]);
        Assert.Equal(
            ["security_groups[0]: the group is of a project, not of a VPC: the project stands for one"],
            converted.List("warnings"));
    }

    [Fact]
    public async Task One_family_among_members_is_not_both()
    {
        string half = Default.Replace("\"ingress\", \"ethertype\": \"IPv4\"", "\"ingress\", \"ethertype\": \"IPv6\"",
            StringComparison.Ordinal);
        Converted refused = await Converted.Of([half], "--vpc", "v");
        Assert.Equal(2, refused.List("faults").Length);
    }

    private static string ShownWith(string rules) => $$"""
        {
          "created_at": "2023-04-03T13:24:55Z", "description": "shown", "id": "sg-show", "name": "shown",
          "project_id": "09522dddf25648d5bc30307cf3bf5f72", "revision_number": 4, "stateful": true, "tags": [],
          "updated_at": "2023-04-03T15:10:15Z",
          "rules": [{{rules}}]
        }
        """;
}
