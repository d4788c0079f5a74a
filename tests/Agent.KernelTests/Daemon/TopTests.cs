using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.KernelTests.Daemon;

/// <summary>A daemon that had the kernel count sessions, and packets of known number and size.</summary>
public sealed class AccountingLab : SessionLab
{
    protected override void Configure(JsonObject configuration) =>
        configuration["conntrack"] = new JsonObject { ["accounting"] = true };
}

/// <summary>Who talks, as the real daemon and the real <c>sgctl top</c> say it of real traffic.</summary>
public sealed class TopTests(AccountingLab lab) : IClassFixture<AccountingLab>
{
    private const string Udp = "in 1 accept udp 1/65535 10.0.0.8/32";

    /// <summary>IPv4 and UDP.</summary>
    private const int HeaderBytes = 28;

    /// <summary>Sequence and time, as <see cref="Flood"/> writes them.</summary>
    private const int FloodPayload = 16;

    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    [Fact]
    public async Task A_talker_of_known_size_is_first_and_both_ends_see_it_as_it_is_for_them()
    {
        const int Packets = 50;
        const int Payload = 1000;
        lab.Forget();
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        using Socket near = lab.E1.OpenUdp(lab.E1.V4, PortNumbers.Next());
        using Socket far = lab.E2.OpenUdp(lab.E2.V4, 5300);
        using UdpConversation small = UdpConversation.Open(lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, 5301));

        var reports = new List<TopReport>();
        await WatchAsync(new WatchTopRequest { Talkers = 5, Interval = Seconds(1) }, async report =>
        {
            reports.Add(report);
            if (reports.Count == 1)
            {
                for (int i = 0; i < Packets; i++)
                {
                    near.SendTo(new byte[Payload], far.LocalEndPoint!);
                }

                Assert.True(await small.ClientSendsAsync(Probe.PassWait));
            }

            return reports.Count < 3;
        });

        const ulong Bytes = Packets * (Payload + HeaderBytes);
        TopReport last = reports[^1];
        Assert.True(last.Counted);
        Assert.Equal((0ul, 0ul, 2ul), (last.UncountedSessions, last.FloorBytes, last.Sessions));
        Assert.Empty(last.Notes);
        (Talker mine, Talker theirs) = (Of(last, "eni-e1").Talkers[0], Of(last, "eni-e2").Talkers[0]);
        string port = $"{((IPEndPoint)near.LocalEndPoint!).Port}";
        Assert.Equal($"udp 10.0.0.8:{port} -> 10.0.0.5:5300", Text(mine.Packet));
        Assert.Equal(mine.Packet, theirs.Packet);
        Assert.Equal((Packets, Bytes, 0ul, 0ul),
            ((int)mine.Sent.Packets, mine.Sent.Bytes, mine.Received.Packets, mine.Received.Bytes));
        Assert.Equal((mine.Received, mine.Sent), (theirs.Sent, theirs.Received));
        Assert.Equal((Direction.Egress, "10.0.0.5", "eni-e2", "unanswered"),
            (mine.Direction, mine.Remote, mine.RemoteVnicId, mine.State));
        Assert.Equal((Direction.Ingress, "10.0.0.8", "eni-e1"),
            (theirs.Direction, theirs.Remote, theirs.RemoteVnicId));
        Assert.Equal(["sg-b"], mine.RemoteGroupIds);
        Assert.Equal(["sg-a"], theirs.RemoteGroupIds);
        Assert.InRange(mine.Age.ToTimeSpan(), TimeSpan.Zero, Pace.Scaled(TimeSpan.FromSeconds(10)));
        Assert.Empty(Of(last, "eni-e3").Talkers);

        // Rates lose nothing and count nothing twice, wherever the looks fell.
        double carried = reports.Sum(report => Of(report, "eni-e1").Talkers
            .Where(talker => talker.Packet.Equals(mine.Packet))
            .Sum(talker => talker.Sent.BitsPerSecond / 8 * report.Interval.ToTimeSpan().TotalSeconds));
        Assert.Equal(Bytes, carried, tolerance: 1);
        double begun = reports.Sum(report =>
            Of(report, "eni-e2").NewSessionsPerSecond * report.Interval.ToTimeSpan().TotalSeconds);
        Assert.Equal(2, begun, tolerance: 0.01);
    }

    /// <summary>
    /// A sender keeps its pace on average; how much of it falls between two looks is for the scheduler, which is
    /// granted a sixth of a second in each.
    /// </summary>
    [Fact]
    public async Task Rates_are_those_of_the_traffic_and_drops_have_their_reason()
    {
        const int PerSecond = 300;
        lab.Forget();
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        using Flood passing = DaemonLab.StartFlood(lab.E1, lab.E2, PerSecond, FloodDirections.Forward);
        using Flood dropped = DaemonLab.StartFlood(lab.E3, lab.E2, PerSecond, FloodDirections.Forward);
        var request = new WatchTopRequest { Talkers = 1, Interval = Seconds(2) };
        TopReport report = (await WatchAsync(request, reports: 2))[1];
        const double Packet = FloodPayload + HeaderBytes;
        (double least, double most) = (PerSecond * (1 - (1 / 12.0)), PerSecond * (1 + (1 / 12.0)));

        Talker talker = Of(report, "eni-e1").Talkers[0];
        Assert.InRange(talker.Sent.PacketsPerSecond, least, most);
        Assert.Equal(talker.Sent.PacketsPerSecond * Packet * 8, talker.Sent.BitsPerSecond, tolerance: 1);
        VnicTraffic sender = Of(report, "eni-e1");
        Assert.InRange(sender.Egress.PacketsPerSecond, least, most);
        Assert.InRange(sender.Egress.BitsPerSecond, least * Packet * 8, most * Packet * 8);
        Assert.Equal(0, sender.Egress.DropsPerSecond);
        VnicTraffic receiver = Of(report, "eni-e2");
        Assert.InRange(receiver.Ingress.PacketsPerSecond, least, most);
        Assert.InRange(receiver.Ingress.DropsPerSecond, least, most);
        Assert.Equal(("default", ""), (receiver.Ingress.TopDropReason, receiver.Egress.TopDropReason));
    }

    [Fact]
    public async Task Two_who_watch_share_their_looks()
    {
        const int Reports = 4;
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        double before = await lab.Lab.MetricAsync("sg_agent_top_look_duration_seconds_count");
        var request = new WatchTopRequest { Interval = Seconds(1) };
        Task<List<TopReport>> one = WatchAsync(request, Reports);
        await Task.Delay(300, TestContext.Current.CancellationToken); // out of step, to begin with
        Task<List<TopReport>> other = WatchAsync(request, Reports);
        await Task.WhenAll(one, other);
        double looks = await lab.Lab.MetricAsync("sg_agent_top_look_duration_seconds_count") - before;
        Assert.InRange(looks, Reports + 1, Reports + 3); // alone, each needs one more than it has reports
        Assert.NotEmpty((await one).Select(report => report.Time).Intersect((await other).Select(x => x.Time)));
    }

    [Fact]
    public async Task Sgctl_prints_one_report_or_so_many_and_a_line_of_JSON_for_each()
    {
        lab.Forget();
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        using Flood flood = DaemonLab.StartFlood(lab.E1, lab.E2, 200, FloodDirections.Forward);
        CommandOutcome once = Run("--interval", "1");
        Assert.Equal((0, ""), (once.ExitCode, once.Error));
        Assert.Matches(@"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, over \d\.\d s: 3 vNICs, \d sessions?\n\n", once.Output);
        foreach (string line in (string[])
        [
            "vnic +in bit/s +out bit/s +in pkt/s +out pkt/s +drops/s +mostly +sessions +new/s",
            "session +vnic +opened +remote +in bit/s +out bit/s +pkt/s +bytes +age +state",
            @"udp 10\.0\.0\.8:\d+ -> 10\.0\.0\.5:\d+ +eni-e1 +out +eni-e2 +0 +\S+k +[12]\d\d +.*",
        ])
        {
            Assert.Matches($@"\n{line}\n", once.Output);
        }

        CommandOutcome two = Run("tap-e2", "--count", "2", "--interval", "1", "--talkers", "0");
        Assert.Equal(2, two.Output.Split("UTC, over").Length - 1);
        Assert.DoesNotContain("eni-e1", two.Output, StringComparison.Ordinal);
        string[] lines = Run("--json", "--count", "2", "--interval", "1", "eni-e1").Output.Split('\n')[..^1];
        Assert.Equal(2, lines.Length);
        Assert.All(lines, line => Assert.Equal(
            "eni-e1", (string?)JsonNode.Parse(line)!["vnics"]!.AsArray().Single()!["vnic_id"]));

        CommandOutcome nobody = Run("eni-x", "--once");
        Assert.Equal(1, nobody.ExitCode);
        Assert.StartsWith("sgctl: no vNIC 'eni-x' in the policy\n", nobody.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task So_many_may_watch_and_one_more_is_told()
    {
        const int Most = 8;
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        AsyncServerStreamingCall<TopReport>[] calls = [.. Enumerable.Range(0, Most).Select(
            _ => lab.Lab.Client.WatchTop(new WatchTopRequest { Interval = Seconds(1) }))];
        Assert.All(
            await Task.WhenAll(calls.Select(call => call.ResponseStream.MoveNext(Cancel))), Assert.True);
        CommandOutcome more = Run("--once");
        Assert.Equal((1, "sgctl: 8 watch already; try again when one has ended"), (more.ExitCode, more.Error));
        Array.ForEach(calls, call => call.Dispose());
        await DaemonLab.UntilAsync("room", () => Run("--once", "--interval", "1").ExitCode == 0);
    }

    [Theory]
    [InlineData(500, 0, "an interval is 1 s to an hour")]
    [InlineData(3_600_001, 0, "an interval is 1 s to an hour")]
    [InlineData(1000, 101, "at most 100 talkers of each vNIC are shown")]
    public async Task What_cannot_be_asked_is_refused(int milliseconds, uint talkers, string says)
    {
        var request = new WatchTopRequest
        {
            Interval = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(milliseconds)),
            Talkers = talkers,
        };
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => WatchAsync(request, reports: 1));
        Assert.Equal((StatusCode.InvalidArgument, says), (refused.StatusCode, refused.Status.Detail));
    }

    [Fact]
    public async Task Where_the_kernel_does_not_count_it_is_said_and_vNICs_have_their_rates_all_the_same()
    {
        await using DaemonLab plain = await DaemonLab.StartAsync();
        await plain.ApplyAsync(SessionLab.CallsInto(Udp));
        using Flood flood = DaemonLab.StartFlood(plain.E1, plain.E2, 200, FloodDirections.Forward);
        CommandOutcome run = SystemCommand.TryRun(
            Sgctl, null, "--socket", plain.Daemon.SocketPath, "top", "--json", "--once");
        JsonNode report = JsonNode.Parse(run.Output)!;
        Assert.False((bool)report["counted"]!);
        Assert.Equal("1", (string?)report["uncounted_sessions"]);
        string note = (string)report["notes"]![0]!;
        Assert.Contains("set conntrack.accounting of the agent", note, StringComparison.Ordinal);
        JsonNode sender = report["vnics"]!.AsArray().Single(vnic => (string?)vnic!["vnic_id"] == "eni-e1")!;
        Assert.InRange((double)sender["egress"]!["packets_per_second"]!, 100, 300);
        JsonNode talker = Assert.Single(sender["talkers"]!.AsArray())!;
        Assert.Equal("10.0.0.5", (string?)talker["remote"]);
        Assert.True(talker["sent"] is null && talker["age"] is null, $"{talker}");

        // Turned on by hand, it counts what begins afterwards.
        plain.Network.Host.SetSysctl("net/netfilter/nf_conntrack_acct", "1");
        using Flood later = DaemonLab.StartFlood(plain.E1, plain.E3, 50, FloodDirections.Forward);
        string text = SystemCommand.TryRun(
            Sgctl, null, "--socket", plain.Daemon.SocketPath, "top", "--once", "tap-e1").Output;
        Assert.Contains("note: 1 of 2 sessions have no counts, because they began without", text,
            StringComparison.Ordinal);
        Assert.Matches(@"-> 10\.0\.0\.7:\d+ .*\n.*-> 10\.0\.0\.5:\d+ .* \? +\? +\? +\? +\? +unanswered", text);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static Duration Seconds(int number) => new() { Seconds = number };

    private static VnicTraffic Of(TopReport report, string vnic) => report.Vnics.Single(one => one.VnicId == vnic);

    private static string Text(Packet packet) =>
        $"{packet.Protocol} {packet.Source}:{packet.SourcePort} -> {packet.Destination}:{packet.DestinationPort}";

    private async Task<List<TopReport>> WatchAsync(WatchTopRequest request, int reports)
    {
        var seen = new List<TopReport>();
        await WatchAsync(request, report =>
        {
            seen.Add(report);
            return Task.FromResult(seen.Count < reports);
        });
        return seen;
    }

    private async Task WatchAsync(WatchTopRequest request, Func<TopReport, Task<bool>> goesOn)
    {
        using AsyncServerStreamingCall<TopReport> call = lab.Lab.Client.WatchTop(request, cancellationToken: Cancel);
        while (await call.ResponseStream.MoveNext(Cancel) && await goesOn(call.ResponseStream.Current))
        {
        }
    }

    private CommandOutcome Run(params string[] words) => SystemCommand.TryRun(
        Sgctl, null, ["--socket", lab.Lab.Daemon.SocketPath, "top", .. words]);
}
