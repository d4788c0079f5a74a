using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// What the kernel's table holds, judged: by the real daemon for the real <c>sgctl</c>, and with real packets to see
/// whether it was true.
/// </summary>
public sealed class ListSessionsTests(SessionLab lab) : IClassFixture<SessionLab>
{
    private const string Ssh = "in 1 accept tcp 22/22 0.0.0.0/0";
    private const string Udp = "in 1 accept udp 1/65535 10.0.0.8/32";

    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    [Fact]
    public async Task Sessions_are_listed_with_the_rules_that_admit_them_and_what_becomes_of_them()
    {
        lab.Forget();
        await lab.ApplyAsync(SessionLab.CallsInto(Ssh, Udp));
        using TcpStream ssh = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4: true);
        using UdpConversation talk = UdpConversation.Open(lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, 5300));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        using TcpStream other = await SessionLab.ConnectAsync(lab.E1, lab.E3, v4: true, port: 80);

        SessionStatus[] all = await ListAsync(new ListSessionsRequest());
        Assert.Equal(3, all.Length);
        Assert.All(all, one => Assert.Equal(
            (SessionAge.Live, SessionFate.Passes, 2), (one.Age, one.Fate, one.Ends.Count)));
        SessionStatus tcp = all.Single(one => one.Packet.DestinationPort == 22);
        Assert.Equal(("tcp", "10.0.0.8", "10.0.0.5", "established"),
            (tcp.Packet.Protocol, tcp.Packet.Source, tcp.Packet.Destination, tcp.State));
        Assert.InRange(tcp.EndsIn.Seconds, 880, 910);
        Assert.Equal(
            ["eni-e1 tap-e1 Egress Accept default ", "eni-e2 tap-e2 Ingress Accept rule sg-b/r1"],
            tcp.Ends.Select(Text));
        Assert.Equal("unanswered", all.Single(one => one.Packet.Protocol == "udp").State);

        // One rule goes: what it admitted is cut, the rest is judged again and goes on.
        await lab.ApplyAsync(SessionLab.CallsInto(Ssh));
        SessionStatus[] stale = await ListAsync(new ListSessionsRequest { StaleOnly = true });
        Assert.Equal(3, stale.Length);
        SessionStatus udp = stale.Single(one => one.Packet.Protocol == "udp");
        Assert.Equal((SessionAge.Older, SessionFate.Cut), (udp.Age, udp.Fate));
        Assert.Equal("eni-e2 tap-e2 Ingress Drop default ", Text(udp.Ends[1]));
        Assert.Equal(
            SessionFate.Continues, stale.Single(one => one.Packet.DestinationPort == 22).Fate);

        // And so it is.
        Assert.False(await talk.ClientSendsAsync(Probe.DropWait));
        Assert.True(await ssh.ClientSendsAsync(Probe.PassWait) && await ssh.ServerSendsAsync(Probe.PassWait));
        SessionStatus[] after = await ListAsync(new ListSessionsRequest { Vnic = "eni-e2" });
        Assert.Equal(
            [(22u, SessionAge.Live, SessionFate.Passes), (5300u, SessionAge.Older, SessionFate.Cut)],
            after.Select(one => (one.Packet.DestinationPort, one.Age, one.Fate)).Order());
    }

    [Fact]
    public async Task A_pass_counts_what_a_change_has_cut_and_by_which_rule()
    {
        lab.Forget();
        await lab.ApplyAsync(SessionLab.CallsInto(Ssh, Udp));
        double before = await CutsAsync("eni-e2");
        UdpConversation[] talks = [.. Enumerable.Range(6000, 5).Select(
            port => UdpConversation.Open(lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, port)))];
        using TcpStream ssh = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4: true);
        foreach (UdpConversation talk in talks)
        {
            Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        }

        const string Drop = "in 1 drop udp 6000/6002 0.0.0.0/0";
        (Accepted answer, _) = await lab.ApplyAsync(SessionLab.CallsInto(Ssh, Udp, Drop));
        SessionPass pass = await PassOfAsync(answer.Revision);
        Assert.Equal((6ul, 3ul, true), (pass.Judged, pass.Cut, pass.Complete));
        SessionCut cut = Assert.Single(pass.TopCuts);
        Assert.Equal(
            ("eni-e2", Direction.Ingress, "rule", "sg-b/r3", 3ul),
            (cut.VnicId, cut.Direction, cut.Reason, cut.Rule, cut.Sessions));
        Assert.Equal(before + 3, await CutsAsync("eni-e2"));
        Assert.Contains($"sessions    3 of 6 older ones cut by revision {answer.Revision}: eni-e2 in: sg-b/r3 (3)",
            Run("status").Output, StringComparison.Ordinal);
        Assert.Contains($"revision {answer.Revision}: 6 older sessions looked at, 3 cut", lab.Lab.Daemon.Log,
            StringComparison.Ordinal);

        // Cut is cut: the next change counts what it cuts itself. A vNIC that goes takes all of its sessions with it.
        (answer, _) = await lab.ApplyAsync(SessionLab.CallsInto(Ssh, Drop));
        pass = await PassOfAsync(answer.Revision);
        Assert.Equal(2ul, pass.Cut);
        Snapshot gone = SessionLab.CallsInto(Ssh);
        gone.Vnics.RemoveAt(1);
        (answer, _) = await lab.ApplyAsync(gone);
        pass = await PassOfAsync(answer.Revision);
        Assert.Equal((1ul, "eni-e2", "gone"), (pass.Cut, pass.TopCuts[0].VnicId, pass.TopCuts[0].Reason));
        foreach (UdpConversation talk in talks)
        {
            talk.Dispose();
        }
    }

    [Fact]
    public async Task Sgctl_prints_sessions_filters_them_and_says_when_there_are_more()
    {
        lab.Forget();
        await lab.ApplyAsync(SessionLab.CallsInto(Ssh, Udp));
        using TcpStream ssh = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4: true);
        using UdpConversation talk = UdpConversation.Open(lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, 5300));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));

        CommandOutcome all = Run("sessions");
        Assert.Equal((0, ""), (all.ExitCode, all.Error));
        Assert.Matches(@"^session +state +ends in +judged +next packet +because\n", all.Output);
        Assert.Matches(
            @"\ntcp 10\.0\.0\.8:\d+ -> 10\.0\.0\.5:22 +established +\d+ s +live +passes +"
                + @"eni-e1 out: default; eni-e2 in: sg-b/r1\n",
            all.Output);
        Assert.Single(Lines(Run("sessions", "tap-e2", "--protocol", "udp")), line => line.Contains("5300"));
        Assert.Equal("no sessions\n", Run("sessions", "eni-e3").Output);
        Assert.Equal("no sessions\n", Run("sessions", "--stale").Output);
        Assert.Equal("no sessions\n", Run("sessions", "--remote", "192.0.2.0/24").Output);
        Assert.EndsWith(
            "the first 1; there are more: --limit 0 shows all\n", Run("sessions", "--limit", "1").Output,
            StringComparison.Ordinal);

        JsonArray json = JsonNode.Parse(
            Run("sessions", "--json", "--remote", "10.0.0.5", "--limit", "0").Output)!["sessions"]!.AsArray();
        Assert.Equal(2, json.Count);
        Assert.All(json, one => Assert.Equal("SESSION_FATE_PASSES", (string?)one!["fate"]));

        (string[] Words, int Exit, string Says)[] wrong =
        [
            (["nobody"], 1, "no vNIC 'nobody' in the policy"),
            (["--protocol", "tpc"], 1, "'tpc' is not a protocol"),
            (["--remote", "10.0.0"], 1, "'10.0.0' is not an address or a prefix"),
            (["--limit", "-1"], 2, "--limit"),
        ];
        foreach ((string[] words, int exit, string says) in wrong)
        {
            CommandOutcome outcome = Run(["sessions", .. words]);
            Assert.Contains(says, outcome.Error, StringComparison.Ordinal);
            Assert.Equal((exit, ""), (outcome.ExitCode, outcome.Output));
        }
    }

    private static string[] Lines(CommandOutcome outcome) =>
        outcome.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static string Text(SessionSide end) =>
        $"{end.VnicId} {end.InterfaceName} {end.Direction} {end.Verdict} {end.Reason} {end.Rule}";

    private CommandOutcome Run(params string[] words) => SystemCommand.TryRun(
        Sgctl, null, ["--socket", lab.Lab.Daemon.SocketPath, .. words]);

    private async Task<SessionStatus[]> ListAsync(ListSessionsRequest request)
    {
        using AsyncServerStreamingCall<SessionStatus> call = lab.Lab.Client.ListSessions(request);
        var sessions = new List<SessionStatus>();
        while (await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken))
        {
            sessions.Add(call.ResponseStream.Current);
        }

        return [.. sessions];
    }

    private async Task<SessionPass> PassOfAsync(ulong revision)
    {
        SessionPass? pass = null;
        await DaemonLab.UntilAsync($"the pass of revision {revision}", async () =>
        {
            pass = (await lab.Lab.StatusAsync()).LastSessionPass;
            return pass?.Revision == revision;
        });
        return pass!;
    }

    private async Task<double> CutsAsync(string vnic)
    {
        string name = $"sg_agent_sessions_cut_total{{vnic=\"{vnic}\"}} ";
        string? line = (await lab.Lab.Daemon.ReadMetricsAsync())
            .SingleOrDefault(one => one.StartsWith(name, StringComparison.Ordinal));
        return line is null ? 0 : double.Parse(line[name.Length..], System.Globalization.CultureInfo.InvariantCulture);
    }
}
