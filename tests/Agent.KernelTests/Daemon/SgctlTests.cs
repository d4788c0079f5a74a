using System.Text.Json.Nodes;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>The real sgctl, the real daemon, the real kernel.</summary>
public sealed class SgctlTests
{
    private const string Policy = """
        prefix_lists:
          - { id: pl-4, family: ipv4, max_entries: 9, entries: [10.0.0.0/8, 10.1.0.0/16, 192.0.2.7/32] }
          - { id: pl-6, family: ipv6, max_entries: 9, entries: ["2001:db8:ffff::/48"] }
        port_lists:
          - { id: prl-1, max_entries: 5, entries: [80/80, 8000/9000] }
        groups:
          - id: sg-a
            vpc_id: vpc-1
            inner_access_policy: drop
            members: [10.9.0.0/24, "2001:db8:9::/64"]
            rules:
              - { id: ssh, direction: ingress, protocol: tcp, port_range: 22/22, cidr: 198.51.100.0/24 }
              - { id: web6, direction: ingress, protocol: tcp, port_range: 1000/65535, cidr: "::/0" }
              - { id: own, direction: ingress, protocol: udp, port_range: 53/53, cidr: 0.0.0.0/0,
                  own_cidr: 10.0.0.8/32 }
              - { id: list4, direction: ingress, protocol: tcp, port_list_id: prl-1, prefix_list_id: pl-4 }
              - { id: list6, direction: egress, policy: drop, priority: 50, protocol: all, prefix_list_id: pl-6 }
              - { id: source, direction: egress, policy: drop, protocol: udp, port_range: 1/65535,
                  source_port_range: 1/1023, cidr: 0.0.0.0/0 }
              - { id: from-b, direction: ingress, protocol: all, group_id: sg-b }
          - { id: sg-b, vpc_id: vpc-1, inner_access_policy: accept }
        vnics:
          - id: eni-e1
            interface_name: tap-e1
            mac: 02:00:00:00:00:01
            vpc_id: vpc-1
            addresses: [10.0.0.8, 10.0.0.9, "2001:db8:1::8", "2001:db8:1::9"]
            group_ids: [sg-a]
          - id: eni-e2
            interface_name: tap-e2
            mac: 02:00:00:00:00:02
            vpc_id: vpc-1
            addresses: [10.0.0.5, "2001:db8:1::5"]
            delegated_prefixes: [10.0.3.0/28, "2001:db8:1:3::/80"]
            group_ids: [sg-b]
        """;

    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    [Fact]
    public async Task A_dry_run_changes_nothing_and_an_apply_is_enforced()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.SettledAsync();
        uint generation = lab.Generation();
        CommandOutcome dry = Run(lab, Policy, "apply", "--dry-run", "-");
        Assert.Equal(0, dry.ExitCode);
        Assert.Equal(
            "dry run: this would become revision 1; nothing was changed", dry.Output.Split('\n')[0]);
        Assert.Contains("groups    2 added", dry.Output, StringComparison.Ordinal);
        Assert.Equal(generation, lab.Generation());
        Assert.Equal(0u, (await lab.StatusAsync()).DesiredRevision);

        CommandOutcome applied = Run(lab, Policy, "apply", "-");
        Assert.Equal((0, ""), (applied.ExitCode, applied.Error));
        Assert.StartsWith("applied revision 1\n", applied.Output, StringComparison.Ordinal);
        Assert.Matches(
            @"\n  vnics +2 added\n  commit +\d+ messages, .* transactions?\n(.*\n)?  time +validate .* ms",
            applied.Output);
        Assert.True(await lab.UdpArrivesAsync(lab.E2, lab.E1, expected: true)); // sg-a takes all from sg-b
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E1, expected: false));

        JsonNode status = JsonNode.Parse(Run(lab, null, "status", "--json").Output)!;
        Assert.Equal("1", (string?)status["applied_revision"]);
        Assert.Contains("1, enforced since", Run(lab, null, "status").Output, StringComparison.Ordinal);
        string vnics = Run(lab, null, "vnics").Output;
        Assert.Matches(@"eni-e1 +tap-e1 +enforced +1 +sg-a\n", vnics);
        Assert.Matches(@"- +tap-e3 +unmanaged +- +matches a managed pattern", vnics);
        Assert.Matches(@"sg-b +vpc-1 +basic +accept +0 +0 +1\n", Run(lab, null, "groups").Output);
    }

    [Fact]
    public async Task What_get_prints_is_what_apply_takes()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Assert.Equal(0, Run(lab, Policy, "apply", "-").ExitCode);
        Snapshot held = await UntimedAsync();
        foreach (string[] form in (string[][])[["get"], ["get", "--json"], ["get", "--yaml"]])
        {
            CommandOutcome again = Run(lab, Run(lab, null, form).Output, "apply", "-");
            Assert.Equal("unchanged: the agent held this already; now revision 1", again.Output.Split('\n')[0]);
            Assert.Equal(held, await UntimedAsync());
        }

        string edited = Run(lab, null, "get", "--yaml").Output.Replace("sg-b\n", "sg-bb\n", StringComparison.Ordinal);
        CommandOutcome stale = Run(lab, edited, "apply", "-");
        Assert.Equal(1, stale.ExitCode);
        Assert.Contains("sgctl apply --next-revision", stale.Error, StringComparison.Ordinal);
        CommandOutcome numbered = Run(lab, edited, "apply", "--next-revision", "-");
        Assert.StartsWith("applied revision 2\n", numbered.Output, StringComparison.Ordinal);

        string less = Run(lab, null, "get", "--yaml").Output
            .Replace("id: own\n", "id: own-2\n", StringComparison.Ordinal);
        Assert.Contains(
            "\n  groups    1 changed\n  commit",
            Run(lab, less, "apply", "--next-revision", "-").Output,
            StringComparison.Ordinal);

        // When it was made is no part of it, and is when it was applied.
        async Task<Snapshot> UntimedAsync()
        {
            Snapshot state = await lab.StateAsync();
            Assert.NotNull(state.IssuedAt);
            state.IssuedAt = null;
            return state;
        }
    }

    [Fact]
    public async Task A_refused_file_has_every_fault_listed_and_changes_nothing()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Assert.Equal(0, Run(lab, Policy, "apply", "-").ExitCode);
        Snapshot held = await lab.StateAsync();
        await lab.SettledAsync();
        uint generation = lab.Generation();
        string bad = Policy.Replace("22/22", "22", StringComparison.Ordinal)
            .Replace("group_id: sg-b", "group_id: sg-c", StringComparison.Ordinal)
            .Replace("02:00:00:00:00:02", "nonsense", StringComparison.Ordinal);
        CommandOutcome refused = Run(lab, bad, "apply", "-");
        Assert.Equal((1, ""), (refused.ExitCode, refused.Output));
        Assert.StartsWith(
            "refused: 3 faults; nothing was changed, the agent holds revision 1", refused.Error,
            StringComparison.Ordinal);
        foreach (string fault in (string[])
            ["<stdin>:12:55  groups[sg-a].rules[ssh].port_range\n", "InvalidPortRange.Malformed",
                "<stdin>:20:", "InvalidSourceGroupId.NotFound", "vnics[eni-e2].mac"])
        {
            Assert.Contains(fault, refused.Error, StringComparison.Ordinal);
        }

        CommandOutcome json = Run(lab, bad, "apply", "--json", "-");
        Assert.Equal(3, JsonNode.Parse(json.Output)!["refused"]!["faults"]!.AsArray().Count);
        Assert.Equal(4, Run(lab, "groups: 7", "apply", "-").ExitCode);
        Assert.Equal(held, await lab.StateAsync());
        Assert.Equal(generation, lab.Generation());
    }

    [Fact]
    public async Task Explain_says_the_same_of_the_file_and_of_the_agent()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Assert.Equal(0, Run(lab, Policy, "apply", "-").ExitCode);
        foreach (string question in (string[])
        [
            "eni-e1 ingress tcp 198.51.100.7 10.0.0.8:22", "tap-e1 ingress udp 203.0.113.9 10.0.0.9:53",
            "eni-e1 egress udp [2001:db8:1::8]:5 [2001:db8:ffff::7]:53", "eni-e1 ingress gre 10.0.3.1 10.0.0.8",
        ])
        {
            string[] words = question.Split(' ');
            CommandOutcome agent = Run(lab, null, ["explain", .. words]);
            Assert.Equal(0, agent.ExitCode);
            Assert.Equal(
                OfPolicy(agent.Output), OfPolicy(Run(lab, Policy, ["explain", "--file", "-", .. words]).Output));
            JsonNode answer = JsonNode.Parse(Run(lab, null, ["explain", "--json", .. words]).Output)!;
            Assert.Equal((string?)answer["verdict"], (string?)answer["kernel"]!["verdict"]);
        }

        // What the file's host would run may differ in rule numbers and addresses of elements.
        static string OfPolicy(string text) => string.Join('\n',
            text.Split('\n').Where(line => !line.StartsWith("  kernel ", StringComparison.Ordinal)));

        Assert.Equal(Run(lab, Policy, "analyze", "-").Output, Run(lab, null, "analyze").Output);
        Assert.Equal(0, Run(lab, Policy, "diff", "-").ExitCode);
        CommandOutcome differs = Run(lab, Policy.Replace("22/22", "22/23", StringComparison.Ordinal), "diff", "-");
        Assert.Equal(1, differs.ExitCode);
        Assert.Contains("drop -> accept  tcp 23 from 198.51.100.0/24", differs.Output, StringComparison.Ordinal);
        Assert.Contains("no packet is judged differently", Run(lab, Policy, "apply", "--dry-run", "-").Output,
            StringComparison.Ordinal);

        CommandOutcome unknown = Run(lab, null, "explain", "eni-x", "egress", "gre", "10.0.0.5", "10.0.0.1");
        Assert.Equal(1, unknown.ExitCode);
        Assert.StartsWith("sgctl: no vNIC 'eni-x' in the policy", unknown.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData(Policy)]
    public void Nft_takes_what_compile_prints(string policy)
    {
        using NetNamespace place = NetNamespace.Create("compile");
        place.IpBatch(["link add tap-e1 type veth peer name peer"]);
        foreach (string[] more in (string[][])[[], ["--all-devices"]])
        {
            // In the namespace, because compile looks at the devices that there are.
            CommandOutcome text = SystemCommand.TryRun(
                "ip", policy, ["netns", "exec", place.Name, Sgctl, "compile", "-", .. more]);
            Assert.Equal((0, ""), (text.ExitCode, text.Error));
            Assert.DoesNotContain("not printable", text.Output, StringComparison.Ordinal);
            Assert.Equal(policy == Policy, text.Output.Contains("device \"tap-e1\"", StringComparison.Ordinal));
            Assert.Equal(
                policy == Policy && more.Length > 0,
                text.Output.Contains("device \"tap-e2\"", StringComparison.Ordinal));
            if (more.Length == 0 || Environment.OSVersion.Version >= new Version(6, 16))
            {
                CommandOutcome check = SystemCommand.TryRun(
                    "ip", text.Output, "netns", "exec", place.Name, "nft", "-c", "-f", "-");
                Assert.True(check.ExitCode == 0, check.Error);
            }
        }
    }

    [Fact]
    public async Task Without_a_daemon_every_verb_says_what_to_do()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.Daemon.KillAsync();
        foreach (string verb in (string[])["status", "vnics", "groups", "get"])
        {
            CommandOutcome run = Run(lab, null, verb);
            Assert.Equal(3, run.ExitCode);
            Assert.Contains("nobody listens there any more", run.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Rules_lists_what_is_looked_at_in_its_order_with_hits_or_without()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(
            config => config["metrics"]!["rule_hits"] = new JsonArray("eni-e2"));
        Assert.Equal(0, Run(lab, Policy, "apply", "-").ExitCode);
        CommandOutcome plain = Run(lab, null, "rules", "tap-e1");
        Assert.Equal((0, ""), (plain.ExitCode, plain.Error));
        Assert.StartsWith("eni-e1  tap-e1, sg-a, revision 1\nhits are not counted: ", plain.Output,
            StringComparison.Ordinal);
        Assert.Matches(@"\n#  ingress  rule +matches +hits +bytes +last hit\n1  accept   sg-a/from-b ", plain.Output);
        Assert.Matches(@"\n\d  accept   sg-a/ssh +tcp 22/22 from 198.51.100.0/24 priority 1", plain.Output);
        Assert.Matches(@"\n\d+  drop +default +everything else +0 +0 +never since ", plain.Output);

        Assert.True(await lab.UdpArrivesAsync(lab.E2, lab.E1, expected: true));
        JsonNode? last = null;
        await DaemonLab.UntilAsync("a hit", () => // who asks again within a second is told the same
        {
            JsonNode counted = JsonNode.Parse(Run(lab, null, "rules", "eni-e2", "--json").Output)!;
            Assert.True(counted["counted"]!.GetValue<bool>());
            last = counted["rules"]!.AsArray().Last(
                rule => rule!["direction"]!.GetValue<string>() == "DIRECTION_EGRESS")!;
            return last["packets"]!.GetValue<string>() != "0";
        });
        Assert.Equal("default", last!["reason"]!.GetValue<string>());
        Assert.NotNull(last["last_hit"]);
        Assert.DoesNotContain("last_hit", Run(lab, null, "rules", "eni-e2", "--never-hit").Output,
            StringComparison.Ordinal);

        CommandOutcome stranger = Run(lab, null, "rules", "tap-no");
        Assert.Equal(1, stranger.ExitCode);
        Assert.Contains("no vNIC 'tap-no'", stranger.Error, StringComparison.Ordinal);
    }

    private static CommandOutcome Run(DaemonLab lab, string? input, params string[] arguments) =>
        SystemCommand.TryRun(Sgctl, input, ["--socket", lab.Daemon.SocketPath, .. arguments]);
}
