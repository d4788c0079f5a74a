using System.Text;
using Agent.Cli.Input;
using Agent.V1;

namespace Agent.Tests.Cli;

/// <summary>
/// What a file says, in either format, is the message; what it does not say right is named by line and path.
/// </summary>
public sealed class PolicyFileTests
{
    private const string Yaml = """
        # Comments are YAML's; so are bare words.
        revision: 7
        groups:
          - id: sg-web
            vpcId: vpc-1
            type: basic
            inner_access_policy: accept
            service_managed: true
            labels: { tier: web, "y": "no" }
            members: [10.0.0.9, "2001:db8::9"]
            rules:
              - { id: http, direction: ingress, protocol: tcp, policy: accept, port_range: 80/80, cidr: 0.0.0.0/0 }
              - id: list
                direction: DIRECTION_EGRESS
                protocol: 6
                policy: Drop
                priority: 100
                port_list_id: pl
                prefix_list_id: pf
        prefix_lists:
          - { id: pf, family: ipv6, max_entries: 5, entries: ["2001:db8::/32"], name: ~ }
        port_lists:
          - { id: pl, entries: [80/81] }
        vnics:
          - id: eni-1
            interface_name: tap1
            mac: 02:00:00:00:00:01
            vpc_id: vpc-1
            addresses: [10.0.0.5]
            group_ids: [sg-web]
            timeouts: { udp_seconds: 60 }
            disable_source_destination_check: false
        """;

    private const string Json = """
        {
          "revision": "7",
          "groups": [{
            "id": "sg-web", "vpc_id": "vpc-1", "type": "GROUP_TYPE_BASIC", "innerAccessPolicy": "POLICY_ACCEPT",
            "serviceManaged": true, "labels": { "tier": "web", "y": "no" }, "members": ["10.0.0.9", "2001:db8::9"],
            "rules": [
              { "id": "http", "direction": 1, "protocol": "tcp", "policy": "accept", "portRange": "80/80",
                "cidr": "0.0.0.0/0" },
              { "id": "list", "direction": "egress", "protocol": "6", "policy": 2, "priority": 100,
                "port_list_id": "pl", "prefixListId": "pf" }
            ]
          }],
          "prefixLists": [{ "id": "pf", "family": "IP_FAMILY_IPV6", "max_entries": 5,
            "entries": ["2001:db8::/32"], "name": null }],
          "port_lists": [{ "id": "pl", "entries": ["80/81"] }],
          "vnics": [{
            "id": "eni-1", "interface_name": "tap1", "mac": "02:00:00:00:00:01", "vpc_id": "vpc-1",
            "addresses": ["10.0.0.5"], "group_ids": ["sg-web"], "timeouts": { "udp_seconds": 60 }
          }]
        }
        """;

    [Fact]
    public void Yaml_and_json_are_the_same_message()
    {
        Snapshot yaml = Message("a.yaml", Yaml);
        Assert.Equal(Message("a.json", Json), yaml);
        Assert.Equal("02:00:00:00:00:01", yaml.Vnics[0].Mac);
        Assert.Equal("no", yaml.Groups[0].Labels["y"]);
        Assert.Equal(7u, yaml.Revision);
    }

    [Fact]
    public void Without_an_extension_the_content_decides()
    {
        Assert.Equal(Message("a.json", Json), Message("-", Json));
        Assert.Equal(Message("a.yaml", Yaml), Message("-", Yaml));
        Assert.Equal(Message("a.json", Json), Message("a.yaml", Json)); // JSON is YAML
        Assert.Equal(Message("a.json", Json), Message("a.json", "\ufeff" + Json));
    }

    [Fact]
    public void What_we_print_is_read_back()
    {
        Snapshot message = Message("a.json", Json);
        message.Groups[0].Description = "quote \" and \\, colon: # no comment, ünïcode \u2028";
        message.Groups[0].Name = "null";
        message.Groups[0].Labels["on"] = "";
        message.Groups[0].Labels["- x"] = "0123";
        message.IssuedAt = new() { Seconds = 1_795_955_400, Nanos = 7_000_000 };
        string json = Agent.Cli.Output.Json.State(message);
        Assert.Equal(message, Message("a.json", json));
        Assert.Equal(message, Message("a.yaml", Agent.Cli.Output.Yaml.FromJson(json)));
    }

    [Fact]
    public void A_large_group_is_read_in_both_formats()
    {
        var message = new Snapshot { Groups = { new SecurityGroup { Id = "sg-a", VpcId = "vpc-1" } } };
        message.Groups[0].Members.AddRange(
            Enumerable.Range(0, 65_536).Select(i => $"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}"));
        string json = Agent.Cli.Output.Json.State(message);
        Assert.Equal(message, Message("a.json", json));
        Assert.Equal(message, Message("a.yaml", Agent.Cli.Output.Yaml.FromJson(json)));
    }

    [Theory]
    [InlineData("a.yaml", "groups:\n  - id: a\n    vpcid: x\n",
        "3:5 groups[a].vpcid UnknownField Did you mean vpc_id?")]
    [InlineData("a.yaml", "groops: []\n", "1:1 groops UnknownField Did you mean groups?")]
    [InlineData("a.yaml", "groups:\n- {id: a, rules: [{id: r, direction: up}]}\n",
        "2:38 groups[a].rules[r].direction InvalidEnumValue Use ingress or egress.")]
    [InlineData("a.json", "{\"groups\": [\n {\"type\": \"GROUP_TYPE_ODD\"}]}",
        "2:11 groups[0].type InvalidEnumValue Use basic or advanced.")]
    [InlineData("a.json", "{\"groups\": [{\"id\": 5}]}", "1:20 groups[5].id InvalidType Write it in quotes.")]
    [InlineData("a.json", "{\"groups\": {}}", "1:12 groups InvalidType Write [ ... ] around the elements.")]
    [InlineData("a.json", "{\"groups\": [null]}", "1:13 groups[0] InvalidType Write names and values.")]
    [InlineData("a.json", "[]", "1:1  InvalidType Write names and values.")]
    [InlineData("a.json", "{\"issued_at\": {}}", "1:15 issued_at InvalidType Write it as \"2026-01-31T12:00:00Z\".")]
    [InlineData("a.yaml", "issued_at: \"2026-01-31 noon\"",
        "1:12 issued_at InvalidType Write it as \"2026-01-31T12:00:00Z\".")]
    [InlineData("a.json", "{\"revision\": -1}", "1:14 revision InvalidType Write 0 to 18446744073709551615.")]
    [InlineData("a.json", "{\"revision\": 1.5}", "1:14 revision InvalidType Write 0 to 18446744073709551615.")]
    [InlineData("a.yaml", "port_lists: [{id: p, max_entries: 4294967296}]",
        "1:35 port_lists[p].max_entries InvalidType Write 0 to 4294967295.")]
    [InlineData("a.yaml", "groups: [{id: a, service_managed: yes}]",
        "1:35 groups[a].service_managed InvalidType Write true or false.")]
    [InlineData("a.yaml", "revision: 1\nrevision: 2\n", "2:1 revision Duplicate Remove one.")]
    [InlineData("a.yaml", "groups: []\nGroups: []\n", "2:1 Groups UnknownField Did you mean groups?")]
    [InlineData("a.yaml", "vnics: [{id: e, vpc_id: a, vpcId: b}]", "1:28 vnics[e].vpc_id Duplicate Remove one.")]
    [InlineData("a.yaml", "groups: [{id: a, rules: [{id: r, cidr: ::/0, group_id: b}]}]",
        "1:46 groups[a].rules[r].group_id Duplicate Remove one.")]
    [InlineData("a.yaml", "groups: [{id: a, labels: {k: 1, k: 2}}]", "1:33 groups[a].labels[k] Duplicate Remove one.")]
    [InlineData("a.yaml", "groups: [{id: a, labels: [k]}]", "1:26 groups[a].labels InvalidType Write { name: value }.")]
    [InlineData("a.json", "{\"groups\": [\n1,\n]}", "3:1  MalformedFile Correct the JSON.")]
    [InlineData("a.json", "{} {}", "1:4  MalformedFile Correct the JSON.")]
    [InlineData("a.json", "// no\n{}", "1:1  MalformedFile Correct the JSON.")]
    [InlineData("a.yaml", "groups: [\n", "2:1  MalformedFile Correct the YAML.")]
    [InlineData("a.yaml", "groups: &g []\nvnics: *g\n", "1:9  MalformedFile Write the value out.")]
    [InlineData("a.yaml", "revision: !!int 5\n", "1:11  MalformedFile Leave the tag out.")]
    [InlineData("a.yaml", "revision: 1\n---\nrevision: 2\n", "2:1  MalformedFile Keep one policy a file.")]
    [InlineData("a.yaml", "# nothing\n", "1:1  MalformedFile Write a policy; {} is the policy that has nothing in it.")]
    [InlineData("a.json", "  \n", "1:1  MalformedFile Write a policy; {} is the policy that has nothing in it.")]
    public void A_fault_names_line_and_path(string name, string text, string expected)
    {
        PolicyFileResult result = PolicyFile.Read(name, Encoding.UTF8.GetBytes(text));
        Assert.Null(result.File);
        FileFault fault = Assert.Single(result.Faults);
        Assert.Equal(expected, $"{fault.At} {fault.Fault.Path} {fault.Fault.Code} {fault.Fault.Remedy}");
    }

    [Fact]
    public void Every_fault_is_found_at_once()
    {
        PolicyFileResult result = PolicyFile.Read(
            "a.yaml", Encoding.UTF8.GetBytes("groups: [{id: [a]}, {odd: 1}, 7]\nvnics: x\n"));
        Assert.Equal(
            ["groups[0].id", "groups[1].odd", "groups[2]", "vnics"],
            result.Faults.Select(fault => fault.Fault.Path));
    }

    [Fact]
    public void Bytes_that_are_no_text_are_named()
    {
        FileFault fault = Assert.Single(PolicyFile.Read("a.yaml", [.. "a\nbc"u8, 0xff]).Faults);
        Assert.Equal("2:3 this is not UTF-8 text", $"{fault.At} {fault.Fault.Message}");
    }

    [Fact]
    public void Nesting_without_end_is_refused()
    {
        foreach (string name in (string[])["a.yaml", "a.json"])
        {
            string text = "{\"groups\": " + new string('[', 100_000);
            Assert.Equal(
                FileCodes.Malformed,
                Assert.Single(PolicyFile.Read(name, Encoding.UTF8.GetBytes(text)).Faults).Fault.Code);
        }
    }

    [Fact]
    public void The_agents_paths_are_found_in_the_file()
    {
        PolicyFile file = PolicyFile.Read("a.yaml", Encoding.UTF8.GetBytes(Yaml)).File!;
        string[] lines = Yaml.Split('\n');
        Assert.StartsWith("port_list_id", Line("groups[sg-web].rules[list].port_list_id"));
        Assert.StartsWith("members", Line("groups[sg-web].members"));
        Assert.StartsWith("\"2001:db8::9\"", Line("groups[sg-web].members[1]"));
        Assert.StartsWith("id: list", Line("groups[sg-web].rules[list].no_such_field"));
        Assert.StartsWith("mac", Line("vnics[eni-1].mac"));
        Assert.StartsWith("vnics", Line("vnics[eni-9].mac"));
        Assert.Null(file.Locate("nowhere"));

        string Line(string path)
        {
            Place place = Assert.NotNull(file.Locate(path));
            return lines[(int)place.Line - 1][((int)place.Column - 1)..];
        }
    }

    private static Snapshot Message(string name, string text)
    {
        PolicyFileResult result = PolicyFile.Read(name, Encoding.UTF8.GetBytes(text));
        Assert.True(result.File is not null, string.Join('\n', result.Faults));
        return result.File.Message;
    }
}
