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
    [InlineData(ExitCode.Usage, "", "name a verb: apply, check")]
    [InlineData(ExitCode.Usage, "apply", "Required argument 'FILE'")]
    [InlineData(ExitCode.Usage, "apply a b", "there is no further argument 'b'")]
    [InlineData(ExitCode.Usage, "status --josn", "there is no option '--josn'. Did you mean --json?")]
    [InlineData(ExitCode.Usage, "get --yaml --json", null)]
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
        "ACCEPT  eni-1 ingress  tcp 10.9.9.9:49152 -> 10.0.0.5:80\n  decided by  rule sg-web/http\n")]
    [InlineData("tap1 ingress tcp 10.9.9.9:5 10.0.0.5:81",
        "DROP  tap1 ingress  tcp 10.9.9.9:5 -> 10.0.0.5:81\n  decided by   no rule: the default of the group's type\n"
        + "  passed over  sg-web/http: another destination port\n")]
    [InlineData("eni-1 ingress tcp [2001:db8::1]:7 [2001:db8::5]:80",
        "DROP  eni-1 ingress  tcp [2001:db8::1]:7 -> [2001:db8::5]:80\n"
        + "  decided by  destination check: the destination is not an address of the vNIC\n")]
    [InlineData("eni-1 egress icmp 10.0.0.6 10.0.0.1",
        "DROP  eni-1 egress  icmp 10.0.0.6 -> 10.0.0.1\n"
        + "  decided by  source check: the source is not an address of the vNIC\n")]
    public async Task Explain_judges_a_file(string question, string expected)
    {
        CliRun run = await CliRun.Of(["explain", "--file", "-", .. question.Split(' ')], Good);
        Assert.Equal((ExitCode.Done, expected), (run.ExitCode, run.Out));
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
