using System.Text.Json;
using Agent.Cli;

namespace Agent.Tests.Cli;

/// <summary>What needs no agent: exit codes, help, offline verbs.</summary>
public sealed class SgctlTests
{
    private const string Good = """
        groups:
          - id: sg-web
            vpc_id: vpc-1
            rules:
              - { id: http, direction: ingress, protocol: tcp, port_range: 80/80, cidr: 10.1.2.3/8 }
        vnics: [{ id: eni-1, interface_name: tap1, mac: 02:00:00:00:00:01,
            vpc_id: vpc-1, addresses: [10.0.0.5], group_ids: [sg-web] }]
        """;

    private static readonly string Bad =
        Good.Replace("80/80", "80", StringComparison.Ordinal)
            .Replace("vpc-1, addr", "vpc-2, addr", StringComparison.Ordinal);

    [Theory]
    [InlineData(ExitCode.Usage, "chek x", "there is no verb 'chek'. Did you mean check?")]
    [InlineData(ExitCode.Usage, "", "name a verb: analyze, apply, check")]
    [InlineData(ExitCode.Usage, "apply", "Required argument 'FILE'")]
    [InlineData(ExitCode.Usage, "apply a b", "there is no further argument 'b'")]
    [InlineData(ExitCode.Usage, "status --josn", "there is no option '--josn'. Did you mean --json?")]
    [InlineData(ExitCode.Usage, "get --yaml --json", null)]
    [InlineData(ExitCode.Usage, "log-level loud", "'loud' not recognized")]
    [InlineData(ExitCode.Usage, "log-level debug --for 8d", "at most 7d")]
    [InlineData(ExitCode.Usage, "explain e up tcp 1.2.3.4 1.2.3.5:80", "'up' not recognized")]
    [InlineData(ExitCode.Usage, "explain e ingress tcp 1.2.3.4 1.2.3.5", "Write 1.2.3.5:443.")]
    [InlineData(ExitCode.Usage, "explain e ingress tcp 1234 1.2.3.5:80", "'1234' is not an address")]
    [InlineData(ExitCode.Unreachable, "status --socket /nonexistent/agent.sock", "there is no such socket")]
    [InlineData(ExitCode.InputInvalid, "apply /nonexistent/policy.yaml", "there is no such file")]
    [InlineData(ExitCode.InputInvalid, "check @nonexistent", "there is no such file")]
    [InlineData(ExitCode.InputInvalid, "check /", "it may not be read")]
    public async Task Exit_codes_and_what_to_do(int expected, string line, string? says)
    {
        CliRun run = await CliRun.Of(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(expected, run.ExitCode);
        Assert.Contains(says ?? "", run.Error);
    }

    [Fact]
    public async Task A_socket_path_that_cannot_be_one_is_usage()
    {
        CliRun run = await CliRun.Of(["status", "--socket", "/" + new string('x', 200)]);
        Assert.Equal(ExitCode.Usage, run.ExitCode);
        Assert.Contains("1 to 107 bytes", run.Error);
    }

    [Fact]
    public async Task A_socket_that_nobody_serves_says_so()
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory("sgctl-").FullName, "s");
        using (var socket = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix,
            System.Net.Sockets.SocketType.Stream,
            System.Net.Sockets.ProtocolType.Unspecified))
        {
            socket.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
            CliRun run = await CliRun.Of(["status"], environment: ("SG_AGENT_SOCKET", path));
            Assert.Equal(ExitCode.Unreachable, run.ExitCode);
            Assert.Contains("nobody listens there any more", run.Error);
        }

        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
    }

    [Fact]
    public async Task Check_says_no_fault_and_warns()
    {
        CliRun run = await CliRun.OnFile("check", Good);
        Assert.Equal(
            "policy.yaml: no fault: 1 group, 1 rule, 0 listed members, 0 lists, 1 vNIC\n"
            + "warning: groups[sg-web].rules[http].cidr: 10.1.2.3/8 has bits set behind its prefix length; "
            + "taken as 10.0.0.0/8\n",
            run.Out);
        Assert.Equal((ExitCode.Done, ""), (run.ExitCode, run.Error));
    }

    [Fact]
    public async Task Check_lists_every_fault_with_its_line()
    {
        CliRun run = await CliRun.OnFile("check", Bad);
        Assert.Equal(ExitCode.InputInvalid, run.ExitCode);
        Assert.StartsWith(
            "policy.yaml: 2 faults\n\npolicy.yaml:5:56  groups[sg-web].rules[http].port_range\n",
            run.Error);
        Assert.Contains("policy.yaml:7:", run.Error);
        Assert.Empty(run.Out);
    }

    [Fact]
    public async Task A_reference_to_nothing_names_what_was_meant()
    {
        CliRun run = await CliRun.OnFile(
            "check", Good.Replace("group_ids: [sg-web]", "group_ids: [sg-wbe]", StringComparison.Ordinal));
        Assert.Equal(ExitCode.InputInvalid, run.ExitCode);
        Assert.Contains("  Did you mean sg-web? Send the group, or correct the id.\n", run.Error);
        run = await CliRun.OnFile(
            "check", Good.Replace("group_ids: [sg-web]", "group_ids: [quite-another]", StringComparison.Ordinal));
        Assert.DoesNotContain("Did you mean", run.Error);
    }

    [Theory]
    [InlineData("top --count x", "'x' is no number that --count takes")]
    [InlineData("top --interval NaN", "--interval is a number from 1 to 3600")]
    [InlineData("drops --last x", "'x' is no number that --last takes")]
    [InlineData("drops --last -1", "--last is a number from 0 to ")]
    [InlineData("drops --port 70000", "'70000' is no number that --port takes")]
    [InlineData("drops --direction ot", "Must be one of: in, out. Did you mean out?")]
    [InlineData("sessions --limit x", "'x' is no number that --limit takes")]
    [InlineData("log-level wraning", "Did you mean warning?")]
    public async Task A_wrong_value_is_usage_and_is_named(string line, string says)
    {
        CliRun run = await CliRun.Of(line.Split(' '));
        Assert.Equal((ExitCode.Usage, ""), (run.ExitCode, run.Out));
        Assert.Contains(says, run.Error);
        run = await CliRun.Of([.. line.Split(' '), "--json"]);
        Assert.Equal((ExitCode.Usage, ""), (run.ExitCode, run.Error));
        JsonElement error = JsonDocument.Parse(run.Out).RootElement.GetProperty("error");
        Assert.Equal("usage", error.GetProperty("code").GetString());
    }

    [Fact]
    public async Task Json_is_one_document_whatever_happens()
    {
        JsonElement faults = Parse(await CliRun.OnFile("check", Bad, more: "--json")).GetProperty("faults");
        Assert.Equal([5, 7], faults.EnumerateArray().Select(fault => fault.GetProperty("line").GetInt32()));
        Assert.Equal("input_invalid", Code(await CliRun.OnFile("compile", Bad, more: "--json")));
        Assert.Equal("unreachable", Code(await CliRun.Of(["get", "--json", "--socket", "/nonexistent"])));
        Assert.StartsWith(
            "table inet",
            Parse(await CliRun.OnFile("compile", Good, more: "--json")).GetProperty("ruleset").GetString());

        static string Code(CliRun run) => Parse(run).GetProperty("error").GetProperty("code").GetString()!;

        static JsonElement Parse(CliRun run) => JsonDocument.Parse(run.Out).RootElement;
    }

    [Fact]
    public async Task Standard_input_is_a_file_too()
    {
        CliRun run = await CliRun.Of(["check", "-"], Good);
        Assert.StartsWith("<stdin>: no fault", run.Out);
        run = await CliRun.Of(["check", "-"], Bad);
        Assert.Contains("<stdin>:5:56", run.Error);
    }

    [Fact]
    public async Task Compile_gives_the_same_text_each_time_and_guards_on_demand()
    {
        CliRun plain = await CliRun.OnFile("compile", Good);
        Assert.Equal(
            (ExitCode.Done, plain.Out),
            ((await CliRun.OnFile("compile", Good)).ExitCode, (await CliRun.OnFile("compile", Good)).Out));
        Assert.DoesNotContain("not printable", plain.Out);
        Assert.DoesNotContain("device \"tap1\"", plain.Out);
        Assert.Contains("device \"tap1\"", (await CliRun.OnFile("compile", Good, more: "--all-devices")).Out);
    }

    [Theory]
    [InlineData("eni-1 ingress tcp 10.9.9.9 10.0.0.5:80",
        "ACCEPT  eni-1 ingress  tcp 10.9.9.9:49152 -> 10.0.0.5:80\n  decided by  rule sg-web/http\n"
        + "  likewise    tcp 80 from 10.0.0.0/8 but members of sg-web\n"
        + "  otherwise   DROP by default: without rule sg-web/http\n"
        + "  otherwise   DROP by the new rule: with a drop rule of priority 1 for it in sg-web\n")]
    [InlineData("tap1 ingress tcp 10.9.9.9:5 10.0.0.5:81",
        "DROP  tap1 ingress  tcp 10.9.9.9:5 -> 10.0.0.5:81\n  decided by   no rule: the default of the group's type\n"
        + "  likewise     every protocol but tcp 80 from 10.0.0.0/8 but members of sg-web\n"
        + "  passed over  sg-web/http: another destination port\n"
        + "  otherwise    ACCEPT by the new rule: with an accept rule of priority 1 to 100 for it in sg-web\n"
        + "  otherwise    ACCEPT by inner sg-web: if 10.9.9.9 were a member of sg-web\n")]
    [InlineData("eni-1 ingress tcp [2001:db8::1]:7 [2001:db8::5]:80",
        "DROP  eni-1 ingress  tcp [2001:db8::1]:7 -> [2001:db8::5]:80\n"
        + "  decided by  destination check: the destination is not an address of the vNIC\n")]
    [InlineData("eni-1 egress icmp 10.0.0.6 10.0.0.1",
        "DROP  eni-1 egress  icmp 10.0.0.6 -> 10.0.0.1\n"
        + "  decided by  source check: the source is not an address of the vNIC\n"
        + "  otherwise   ACCEPT by default: if 10.0.0.6 were an address of eni-1\n"
        + "  otherwise   ACCEPT by default: eni-1 without source/destination check\n")]
    public async Task Explain_judges_a_file(string question, string expected)
    {
        CliRun run = await CliRun.Of(["explain", "--file", "-", .. question.Split(' ')], Good);
        string[] lines = run.Out.Split('\n');
        Assert.Equal((ExitCode.Done, expected), (run.ExitCode, string.Join('\n', lines.Where(IsPolicy))));
        Assert.NotEqual(lines.Length, lines.Count(IsPolicy));

        static bool IsPolicy(string line) => !line.StartsWith("  kernel ", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ExitCode.Usage, "name VNIC, DIRECTION, PROTOCOL", "eni-1", "ingress", "tcp", "10.0.0.1:1")]
    [InlineData(ExitCode.Usage, "--packet stands for PROTOCOL", "eni-1", "ingress", "tcp", "--packet", "x")]
    [InlineData(ExitCode.Failed, "pasted: it names no protocol", "--packet", "SRC=10.0.0.1")]
    [InlineData(ExitCode.Failed, "the line names no interface of a vNIC", "--packet", "gre 10.0.0.1 -> 10.0.0.5")]
    [InlineData(ExitCode.Failed, "direction: set ingress", "eni-1", "--packet", "gre 10.0.0.1 -> 10.0.0.5")]
    public async Task A_packet_in_part_or_a_line_without_one_is_no_question(
        int expected, string says, params string[] question)
    {
        CliRun run = await CliRun.Of(["explain", "--file", "-", .. question], Good);
        Assert.Equal(expected, run.ExitCode);
        Assert.Contains(says, run.Error);
    }

    [Fact]
    public async Task A_pasted_line_names_vnic_and_direction_and_a_reply_is_judged_as_its_session()
    {
        CliRun run = await CliRun.Of(["explain", "--file", "-", "--session", "reply", "--packet",
            "IN=tap1 OUT=eth0 SRC=10.0.0.5 DST=10.9.9.9 PROTO=TCP SPT=80 DPT=5000"], Good);
        Assert.StartsWith("ACCEPT  eni-1 egress  tcp 10.0.0.5:80 -> 10.9.9.9:5000\n"
            + "  judged as   ingress tcp 10.9.9.9:5000 -> 10.0.0.5:80\n  decided by  rule sg-web/http\n", run.Out);
    }

    [Fact]
    public async Task Diff_says_what_changes_and_exits_as_diff_does()
    {
        string directory = Directory.CreateTempSubdirectory("sgctl-").FullName;
        string[] paths = [Path.Combine(directory, "a.yaml"), Path.Combine(directory, "b.yaml")];
        string more = Good.Replace("80/80", "80/81", StringComparison.Ordinal);
        await File.WriteAllTextAsync(paths[0], Good, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(paths[1], more, TestContext.Current.CancellationToken);
        CliRun run = await CliRun.Of(["diff", .. paths]);
        Assert.Equal(ExitCode.Differs, run.ExitCode);
        Assert.Equal(
            "packets of 1 vNIC are judged differently\n\neni-1\n"
            + "direction  verdict         packets                                       decided by\n"
            + "ingress    drop -> accept  tcp 81 from 10.0.0.0/8 but members of sg-web  default -> sg-web/http\n",
            run.Out);
        run = await CliRun.Of(["diff", paths[0], paths[0]]);
        Assert.Equal((ExitCode.Done, "no packet is judged differently\n"), (run.ExitCode, run.Out));
        run = await CliRun.Of(["diff", "--json", "--limit", "1", paths[0], "-"], "groups: []");
        JsonElement answer = JsonDocument.Parse(run.Out).RootElement;
        Assert.Equal((ExitCode.Differs, 1), (run.ExitCode, answer.GetProperty("changes").GetArrayLength()));
        Assert.True(answer.GetProperty("more_changes").GetInt32() > 0);
        Assert.Equal(ExitCode.Usage, (await CliRun.Of(["diff", "-", "-"], Good)).ExitCode);
        Assert.Equal(ExitCode.InputInvalid, (await CliRun.Of(["diff", paths[0], "-"], Bad)).ExitCode);
        Directory.Delete(directory, recursive: true);
    }

    [Fact]
    public async Task Analyze_names_rules_and_what_can_go_together()
    {
        string more = Good.Replace("vnics:", """
                  - { id: ssh, direction: ingress, protocol: tcp, port_range: 22/22, cidr: 0.0.0.0/0 }
                  - { id: http-1, direction: ingress, protocol: tcp, port_range: 80/80, cidr: 10.7.0.0/16, priority: 3 }
            vnics:
            """, StringComparison.Ordinal);
        CliRun run = await CliRun.Of(["analyze", "-"], more);
        Assert.Equal(
            (ExitCode.Differs, """
            rule           finding     vnics  why
            sg-web/http-1  shadowed    eni-1  it never decides
            sg-web/http-1  redundant   eni-1  covered by http
            sg-web/ssh     permissive  eni-1  management open to any IPv4 address: tcp 22

            1 rule of 3 can be removed, all in one change, and no packet is judged differently:
              sg-web/http-1

            """), (run.ExitCode, run.Out));
        JsonElement answer = JsonDocument.Parse((await CliRun.Of(["analyze", "--json", "-"], more)).Out).RootElement;
        Assert.Equal("sg-web/http-1", answer.GetProperty("removable_together")[0].GetString());
        run = await CliRun.Of(["analyze", "-"], Good);
        Assert.Equal((ExitCode.Done, "1 rule, nothing found\n"), (run.ExitCode, run.Out));
        Assert.Equal(ExitCode.InputInvalid, (await CliRun.Of(["analyze", "-"], Bad)).ExitCode);
    }

    [Fact]
    public async Task Explain_names_the_vnics_that_there_are()
    {
        CliRun run = await CliRun.Of(
            ["explain", "--file", "-", "eni-7", "egress", "gre", "10.0.0.5", "10.0.0.1"],
            Good);
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains("It has eni-1.", run.Error);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("apply --help")]
    [InlineData("explain -h")]
    public async Task Help_has_examples_and_exit_codes(string line)
    {
        CliRun run = await CliRun.Of(line.Split(' '));
        Assert.Equal(ExitCode.Done, run.ExitCode);
        Assert.Contains("Exit codes:", run.Out);
        Assert.Equal(line != "--help", run.Out.Contains("Examples:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Version_is_a_line() =>
        Assert.Equal($"sgctl {Sgctl.Version}\n", (await CliRun.Of(["--version"])).Out);
}
