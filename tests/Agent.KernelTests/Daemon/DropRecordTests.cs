using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;
using Grpc.Core;

namespace Agent.KernelTests.Daemon;

/// <summary>What the kernel drops is reported, with the vNIC, the reason and the rule; a flood in part.</summary>
public sealed class DropRecordTests
{
    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    private static IPAddress World => IPAddress.Parse(AddressPlan.V4.Seven);

    [Theory]
    [InlineData(Topology.Routed)]
    [InlineData(Topology.Bridged)]
    public async Task A_dropped_packet_is_reported_with_the_rule_that_decided(Topology topology)
    {
        if (topology == Topology.Bridged)
        {
            KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        }

        await using DaemonLab lab = await DaemonLab.StartAsync(topology: topology);
        await lab.ApplyAsync(Guarded());
        await using DropStream watch = DropStream.On(lab);

        await SendAsync(lab, lab.E2, lab.E1, 40_001, 22);
        DropRecord record = await watch.NextAsync(40_001);
        Assert.Equal(("eni-e1", "tap-e1", Direction.Ingress), Place(record));
        Assert.Equal((V1.Policy.Drop, "rule", "sg-a/r1"), (record.Verdict, record.Reason, record.Rule));
        Assert.Equal(("udp", lab.E2.V4.ToString(), lab.E1.V4.ToString(), 40_001u, 22u), Ends(record));
        Assert.Equal("02:00:00:00:00:01", record.GuestMac);
        Assert.Equal(DateTime.UtcNow, record.Time.ToDateTime(), TimeSpan.FromSeconds(30));
        Assert.Equal(0x0800u, record.EtherType);

        await SendAsync(lab, lab.E2, lab.E1, 40_002, 23);
        record = await watch.NextAsync(40_002);
        Assert.Equal(("default", "default"), (record.Reason, record.Rule));

        await SendAsync(lab, lab.E1, lab.E2, 40_003, 99);
        record = await watch.NextAsync(40_003);
        Assert.Equal(("eni-e1", "tap-e1", Direction.Egress), Place(record));
        Assert.Equal(("rule", "sg-a/r3"), (record.Reason, record.Rule));
        Assert.Equal("02:00:00:00:00:01", record.GuestMac);
    }

    [Fact]
    public async Task Every_kind_of_drop_names_its_reason()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = Guarded();
        await lab.ApplyAsync(state);
        await using DropStream watch = DropStream.On(lab);
        Guest e1 = lab.E1;
        byte[] gateway = lab.Network.NextHopMac(e1, World);

        e1.Wire.Send(Framed([2, 0, 0, 0, 0, 9], gateway, Packets.Udp(e1.V4, World, 41_001, 7, [1])));
        DropRecord record = await watch.NextAsync(41_001);
        Assert.Equal(("mac", "", "02:00:00:00:00:09"), (record.Reason, record.Rule, record.GuestMac));
        Assert.Equal(("eni-e1", "tap-e1", Direction.Egress), Place(record));

        e1.Wire.Send(Framed(e1.Mac, gateway, Packets.Udp(IPAddress.Parse("10.66.0.66"), World, 41_002, 7, [1])));
        record = await watch.NextAsync(41_002);
        Assert.Equal(("ip4", "10.66.0.66"), (record.Reason, record.Packet.Source));

        e1.Wire.Send(Framed(
            e1.Mac, gateway, Packets.Tcp(
                new IPEndPoint(e1.V4, 41_003), new IPEndPoint(World, 7), TcpFlags.Ack, 1, 1, [])));
        record = await watch.NextAsync(41_003);
        Assert.Equal(("notsyn", "A"), (record.Reason, record.TcpFlags));

        // A vNIC that no policy names: its device alone says what it is.
        lab.E3.Wire.Send(Framed(
            lab.E3.Mac, lab.Network.NextHopMac(lab.E3, World), Packets.Udp(lab.E3.V4, World, 41_004, 7, [1])));
        record = await watch.NextAsync(41_004);
        Assert.Equal(("closed", "", "tap-e3", "", "02:00:00:00:00:03"),
            (record.Reason, record.VnicId, record.InterfaceName, record.Rule, record.GuestMac));

        // The session that a rule admitted; then the rule is gone, and the answer is of no session any more.
        using UdpConversation talk = UdpConversation.Open(
            lab.Network.Outsider, World, e1, new IPEndPoint(e1.V4, 53));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        state.Groups[0].Rules.Single(rule => rule.Id == "r2").Policy = V1.Policy.Drop;
        await lab.ApplyAsync(state);
        await talk.ServerSendsAsync(Probe.DropWait);
        record = await watch.NextAsync(one => one.Reason == "stale");
        Assert.Equal(("eni-e1", "tap-e1", Direction.Egress), Place(record));
        Assert.Equal(("sg-a/r2", 53u), (record.Rule, record.Packet.SourcePort));
        Assert.DoesNotContain("FAILED", lab.Listing(), StringComparison.Ordinal);
        Assert.Equal(0, await LostAsync(lab, "socket"));
    }

    [Fact]
    public async Task A_flood_leaves_a_sample_and_all_of_it_is_counted()
    {
        const int Count = 100_000;
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(Guarded());
        byte[] frame = Framed(
            lab.E1.Mac, lab.Network.NextHopMac(lab.E1, World), Packets.Udp(lab.E1.V4, World, 42_000, 99, [1]));
        using var counters = new CountedDrops(lab.Network.Host);
        Stopwatch took = Stopwatch.StartNew();
        for (int i = 0; i < Count; i++)
        {
            lab.E1.Wire.Send(frame);
        }

        await DaemonLab.UntilAsync(
            "every packet counted", () => counters.Read().GetValueOrDefault("tap-e1 from_rule") == Count);
        double seconds = took.Elapsed.TotalSeconds;
        await Task.Delay(500, TestContext.Current.CancellationToken); // the last batch
        double records = await RecordsAsync(lab, "drop");
        Assert.InRange(records, 20, 20 + (10 * (seconds + 1)) + 10);
        Assert.Equal(0, await LostAsync(lab, "socket"));

        // Another vNIC has a rate of its own.
        await using DropStream watch = DropStream.On(lab);
        await SendAsync(lab, lab.E2, lab.E1, 42_001, 22);
        Assert.Equal("eni-e1", (await watch.NextAsync(42_001)).VnicId);
    }

    [Fact]
    public async Task A_reader_that_does_not_read_holds_up_nobody_and_is_told_what_it_lost()
    {
        const int Count = 20_000;
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["drops"] = new JsonObject
        {
            ["per_second"] = 100_000,
            ["burst"] = 100_000,
        });
        await lab.ApplyAsync(Guarded());
        using AsyncServerStreamingCall<DropRecord> sleeper = lab.Client.WatchDrops(
            new WatchDropsRequest { Follow = true, Direction = Direction.Egress },
            cancellationToken: TestContext.Current.CancellationToken);
        await Task.Delay(500, TestContext.Current.CancellationToken); // it says nothing until there is a record
        byte[] frame = Framed(
            lab.E1.Mac, lab.Network.NextHopMac(lab.E1, World), Packets.Udp(lab.E1.V4, World, 43_000, 99, [1]));
        for (int i = 0; i < Count; i++)
        {
            lab.E1.Wire.Send(frame);
        }

        await DaemonLab.UntilAsync("lost records", async () => await LostAsync(lab, "stream") > 0);
        await DaemonLab.UntilAsync("every packet accounted for", async () =>
        {
            lab.E1.Wire.Send(frame); // its number says how many went before
            return await RecordsAsync(lab, "drop") + await LostAsync(lab, "socket") >= Count;
        });

        // Everybody else goes on: a change, a packet, another reader.
        Snapshot state = Guarded();
        state.Groups[0].Rules.Single(rule => rule.Id == "r1").Policy = V1.Policy.Accept;
        await lab.ApplyAsync(state);
        await using DropStream watch = DropStream.On(lab, "eni-e1");
        await SendAsync(lab, lab.E2, lab.E1, 43_001, 23);
        Assert.Equal("default", (await watch.NextAsync(43_001)).Reason);

        double lost = await LostAsync(lab, "stream");
        ulong told = 0;
        long read = 0;
        using var enough = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        lab.E1.Wire.Send(frame);
        bool nudged = false;
        while (told < lost && await sleeper.ResponseStream.MoveNext(enough.Token))
        {
            told += sleeper.ResponseStream.Current.LostBefore;
            if (++read > 500 && !nudged)
            {
                nudged = true;
                lab.E1.Wire.Send(frame); // there is room again: what comes now says how many went before
            }
        }

        Assert.Equal(lost, told);
    }

    [Fact]
    public async Task Sessions_are_reported_where_that_is_asked()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(c => c["drops"] = new JsonObject
        {
            ["flow_vnics"] = new JsonArray("eni-e2"),
            ["flow_rules"] = new JsonArray("sg-a/r2"),
        });
        await lab.ApplyAsync(Guarded());
        await using DropStream watch = DropStream.On(lab, verdict: V1.Policy.Accept);

        // By the rule, at e1; and by the vNIC, at e2, which sends it.
        await SendAsync(lab, lab.E2, lab.E1, 46_001, 53, arrives: true);
        DropRecord[] both = [await watch.NextAsync(46_001), await watch.NextAsync(46_001)];
        DropRecord sent = both.Single(one => one.Direction == Direction.Egress);
        DropRecord received = both.Single(one => one.Direction == Direction.Ingress);
        Assert.Equal(("eni-e2", "accepted", "default"), (sent.VnicId, sent.Reason, sent.Rule));
        Assert.Equal(("eni-e1", "accepted", "sg-a/r2"), (received.VnicId, received.Reason, received.Rule));

        // Neither another rule of e1, nor a second packet of a session.
        await SendAsync(lab, lab.Network.Outsider, lab.E1, 46_002, 54, arrives: true);
        await SendAsync(lab, lab.E2, lab.E1, 46_001, 53, arrives: true);
        await SendAsync(lab, lab.E2, lab.E1, 46_003, 53, arrives: true);
        Assert.Equal(46_003u, (await watch.NextAsync(_ => true)).Packet.SourcePort);
        Assert.Equal(46_003u, (await watch.NextAsync(_ => true)).Packet.SourcePort);
    }

    [Fact]
    public async Task Sgctl_shows_what_is_kept_and_follows()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(Guarded());
        string[] ours = ["drops", "--vnic", "eni-e1"]; // hosts and guests speak unasked: of closed devices, of groups
        Assert.Equal("no records are kept that fit\n", Run(lab, ours).Output);
        await using (DropStream watch = DropStream.On(lab))
        {
            await SendAsync(lab, lab.E2, lab.E1, 47_001, 22);
            await SendAsync(lab, lab.E2, lab.E1, 47_002, 23);
            await watch.NextAsync(47_002);
        }

        Assert.Matches(
            @"^\d\d:\d\d:\d\d\.\d{3} eni-e1 in udp 10\.0\.0\.5:47001 -> 10\.0\.0\.8:22 \d+ B: rule sg-a/r1, "
            + @"02:00:00:00:00:01\n\S+ eni-e1 in udp 10\.0\.0\.5:47002 -> 10\.0\.0\.8:23 \d+ B: default, \S+\n$",
            Run(lab, ours).Output);
        Assert.Matches("^.*47001.*\n$", Run(lab, "drops", "--reason", "rule", "--port", "22").Output);
        Assert.DoesNotContain("4700", Run(lab, "drops", "--vnic", "eni-e2").Output, StringComparison.Ordinal);
        Assert.Equal("no records are kept that fit\n", Run(lab, [.. ours, "--direction", "out"]).Output);
        JsonNode json = JsonNode.Parse(Run(lab, [.. ours, "-n", "1", "--json"]).Output)!;
        Assert.Equal("default", (string?)Assert.Single(json["drops"]!.AsArray())!["rule"]);
        CommandOutcome wrong = Run(lab, "drops", "--cidr", "nowhere");
        Assert.NotEqual(0, wrong.ExitCode);
        Assert.Contains("'nowhere' is not an address or a prefix", wrong.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_rate_nothing_is_reported_and_turning_it_on_cuts_no_session()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(c =>
        {
            c["drops"] = new JsonObject { ["per_second"] = 0 };
            c["protect_tables"] = false; // or the restart claims them, and judges all sessions again
        });
        await lab.ApplyAsync(Guarded());
        Assert.DoesNotContain("log prefix", lab.Listing(), StringComparison.Ordinal);
        string epoch = Epoch(lab);
        string configuration = await File.ReadAllTextAsync(
            lab.Daemon.ConfigurationPath, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(lab.Daemon.ConfigurationPath, configuration.Replace(
            "\"per_second\": 0", "\"per_second\": 5", StringComparison.Ordinal),
            TestContext.Current.CancellationToken);
        await lab.Daemon.RestartAsync();
        Assert.Contains("log prefix \"sg to rule\" group 1789", lab.Listing(), StringComparison.Ordinal);
        Assert.Equal(epoch, Epoch(lab));

        static string Epoch(DaemonLab lab) => lab.Listing().Split('\n')
            .First(line => line.Contains("sessions judged at this epoch", StringComparison.Ordinal))
            .Split(" # handle")[0];
    }

    /// <summary>e1 refuses UDP 22 by a rule, takes 53 and 54, sends nothing to 99; e3 is not named.</summary>
    private static Snapshot Guarded() => States.Apply(
        [
            States.Isolating("sg-a", "in 1 drop udp 22/22 0.0.0.0/0", "in 1 accept udp 53/53 0.0.0.0/0",
                "out 1 drop udp 99/99 0.0.0.0/0", "in 1 accept udp 54/54 0.0.0.0/0"),
            States.Isolating("sg-b"),
        ],
        States.Nic("e1", "sg-a"),
        States.Nic("e2", "sg-b")).State.Clone();

    private static byte[] Framed(byte[] from, byte[] to, byte[] packet) =>
        Packets.FrameOf(to, from, packet);

    private static async Task SendAsync(
        DaemonLab lab, NetworkEndpoint from, NetworkEndpoint to, int source, int destination, bool arrives = false)
    {
        IPAddress address = from == lab.Network.Outsider ? World : from.V4;
        Assert.Equal(arrives, await lab.Probe.UdpArrivesAsync(
            from, new IPEndPoint(address, source), to, new IPEndPoint(to.V4, destination),
            arrives ? Probe.PassWait : Probe.DropWait));
    }

    private static (string, string, Direction) Place(DropRecord record) =>
        (record.VnicId, record.InterfaceName, record.Direction);

    private static (string, string, string, uint, uint) Ends(DropRecord record) => (record.Packet.Protocol,
        record.Packet.Source, record.Packet.Destination, record.Packet.SourcePort, record.Packet.DestinationPort);

    private static Task<double> LostAsync(DaemonLab lab, string where) =>
        lab.MetricAsync($"sg_agent_drop_records_lost_total{{where=\"{where}\"}}");

    private static Task<double> RecordsAsync(DaemonLab lab, string verdict) =>
        lab.MetricAsync($"sg_agent_drop_records_total{{verdict=\"{verdict}\"}}");

    private static CommandOutcome Run(DaemonLab lab, params string[] arguments) =>
        SystemCommand.TryRun(Sgctl, null, ["--socket", lab.Daemon.SocketPath, .. arguments]);
}
