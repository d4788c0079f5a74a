using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Metrics;

/// <summary>Hits of single rules: which packets are one, of whom, since when.</summary>
public sealed class RuleHitTests
{
    [Theory]
    [InlineData(Topology.Routed)]
    [InlineData(Topology.Bridged)]
    public async Task Rules_count_what_they_decide_in_the_order_in_which_they_are_looked_at(Topology topology)
    {
        if (topology == Topology.Bridged)
        {
            KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        }

        await using DaemonLab lab = await DaemonLab.StartAsync(Counting("sg-b", "eni-e1"), topology: topology);
        await lab.ApplyAsync(State());
        for (int i = 0; i < 5; i++)
        {
            Send(lab, lab.E1, Udp(lab.E1, lab.E2.V4, 5000)); // opens a session each: r1, and by default at e1
            Send(lab, lab.E1, Tcp(lab.E1, lab.E2.V4, 23)); // r2 drops
        }

        for (int i = 0; i < 3; i++)
        {
            Send(lab, lab.E3, Udp(lab.E3, lab.E2.V4, 5000)); // by default
        }

        VnicRules rules = await RulesAsync(lab, "tap-e2", of => of.Rules.Sum(rule => (long)rule.Packets) >= 13);
        Assert.True(rules.Counted);
        Assert.Equal(
            [
                "in 1 sg-b/r2 DROP 5", "in 2 sg-b/r1 ACCEPT 5", "in 3 sg-b/r3 ACCEPT 0", "in 4 default DROP 3",
            ],
            rules.Rules.Where(rule => rule.Direction == Direction.Ingress).Select(Line));
        RankedRule dropped = rules.Rules.Single(rule => rule.Rule == "sg-b/r2");
        Assert.Equal(5u * 40, dropped.Bytes);
        Assert.Equal("23/23", dropped.Definition.PortRange);
        Assert.NotNull(dropped.LastHit);
        RankedRule never = rules.Rules.Single(rule => rule.Rule == "sg-b/r3");
        Assert.True(never is { LastHit: null, CountedSince: not null });
        Assert.Contains("out 2 default ACCEPT 10",
            (await RulesAsync(lab, "eni-e1", _ => true)).Rules.Select(Line)); // behind the platform's
        VnicRules other = await RulesAsync(lab, "eni-e3", _ => true);
        Assert.False(other.Counted);
        Assert.All(other.Rules.Where(rule => rule.Rule.Length > 0), rule => Assert.False(rule.HasPackets));

        ExpositionPage page = await ExpositionPage.ReadAsync(lab);
        Assert.Equal(5, page.Samples[
            "sg_agent_rule_packets_total{vnic=\"eni-e2\",direction=\"ingress\",rule=\"sg-b/r2\"}"]);
        Assert.Equal(0, page.Samples[
            "sg_agent_rule_last_hit_timestamp_seconds{vnic=\"eni-e2\",direction=\"ingress\",rule=\"sg-b/r3\"}"]);
        Assert.DoesNotContain(page.Labels("sg_agent_rule_packets_total"),
            name => name.Contains("eni-e3", StringComparison.Ordinal));
        VerifyResponse proof = await lab.Client.VerifyAsync(
            new VerifyRequest(), cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(proof.Result == "proved" || topology == Topology.Bridged, $"{proof}");
    }

    [Fact]
    public async Task Hits_and_never_hit_since_survive_changes_and_a_kill()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(Counting("all"));
        Snapshot state = State();
        await lab.ApplyAsync(state);
        for (int i = 0; i < 7; i++)
        {
            Send(lab, lab.E1, Tcp(lab.E1, lab.E2.V4, 23));
        }

        VnicRules before = await RulesAsync(lab, "eni-e2", of => Of(of, "sg-b/r2").Packets >= 7);
        state.Groups[1].Rules[2].PortRange = "90/91";
        await lab.ApplyAsync(state);
        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        for (int i = 0; i < 4; i++)
        {
            Send(lab, lab.E1, Tcp(lab.E1, lab.E2.V4, 23));
        }

        VnicRules after = await RulesAsync(lab, "eni-e2", of => Of(of, "sg-b/r2").Packets >= 11);
        Assert.Equal(11u, Of(after, "sg-b/r2").Packets);
        Assert.True(Of(after, "sg-b/r2").LastHit.ToDateTime() > Of(before, "sg-b/r2").LastHit.ToDateTime());
        Assert.Equal(
            Of(before, "sg-b/r3").CountedSince.ToDateTime(), Of(after, "sg-b/r3").CountedSince.ToDateTime(),
            TimeSpan.FromMilliseconds(1));
        Assert.Null(Of(after, "sg-b/r3").LastHit);
    }

    [Fact]
    public async Task Turning_them_on_and_off_cuts_and_judges_no_session()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(State());
        await lab.SettledAsync();
        using Flood allowed = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => allowed.Backward.Received > 200);
        foreach (string[] hits in (string[][])[["sg-b", "sg-a"], ["all"], []])
        {
            await lab.Daemon.StopAsync();
            JsonNode config = JsonNode.Parse(File.ReadAllText(lab.Daemon.ConfigurationPath))!;
            config["metrics"]!["rule_hits"] = new JsonArray([.. hits.Select(name => JsonValue.Create(name))]);
            await File.WriteAllTextAsync(
                lab.Daemon.ConfigurationPath, config.ToJsonString(), TestContext.Current.CancellationToken);
            await lab.Daemon.LaunchAsync();
            await DaemonLab.UntilAsync("the sets that count", () =>
                hits.Length > 0 == lab.Listing().Contains("hits_in", StringComparison.Ordinal));
            Assert.Equal(0, await lab.MetricAsync("sg_agent_session_revalidations_total"));
            // Not one packet of the live session was judged again.
            Assert.All((await RulesAsync(lab, "eni-e2", _ => true)).Rules.Where(rule => rule.Rule == "sg-b/r1"),
                rule => Assert.Equal(0u, rule.Packets));
        }

        await allowed.StopAsync();
        Assert.Empty(allowed.Forward.Missing());
        Assert.Empty(allowed.Backward.Missing());
    }

    [Fact]
    public async Task What_is_beyond_the_limit_is_neither_in_the_kernel_nor_exported_and_that_is_said()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(config =>
        {
            config["metrics"]!["rule_hits"] = new JsonArray("all");
            config["metrics"]!["max_rule_hits"] = 6;
        });
        await lab.ApplyAsync(State());
        await Task.Delay(TimeSpan.FromSeconds(1.1), TestContext.Current.CancellationToken);
        ExpositionPage page = await ExpositionPage.ReadAsync(lab);
        Assert.True(page.Samples["sg_agent_rule_counters_cut"] > 0);
        Assert.Equal(page.Samples["sg_agent_rule_counters"], page.Labels("sg_agent_rule_packets_total").Count());
        Assert.InRange(page.Samples["sg_agent_rule_counters"], 1, 6);
    }

    private static Action<JsonObject> Counting(params string[] names) => config =>
        config["metrics"]!["rule_hits"] = new JsonArray([.. names.Select(name => JsonValue.Create(name))]);

    private static Snapshot State() => Apply(
        [
            Isolating("sg-a"),
            Isolating("sg-b", "in 2 accept udp 1/65535 sg-a", "in 1 drop tcp 23/23 0.0.0.0/0",
                "in 3 accept tcp 80/81 sg-a"),
            Isolating("sg-c"),
        ],
        Nic("e1", "sg-a"),
        Nic("e2", "sg-b"),
        Nic("e3", "sg-c")).State.Clone();

    private static async Task<VnicRules> RulesAsync(DaemonLab lab, string vnic, Func<VnicRules, bool> until)
    {
        VnicRules rules = new();
        await DaemonLab.UntilAsync("hits", async () =>
        {
            rules = await lab.Client.ListRulesAsync(new ListRulesRequest { Vnic = vnic });
            return until(rules);
        });
        return rules;
    }

    private static RankedRule Of(VnicRules rules, string rule) => rules.Rules.Single(one => one.Rule == rule);

    private static string Line(RankedRule rule) =>
        $"{(rule.Direction == Direction.Ingress ? "in" : "out")} {rule.Place} "
        + $"{(rule.Reason == "rule" ? rule.Rule : rule.Reason)} {rule.Policy.ToString().ToUpperInvariant()} "
        + $"{rule.Packets}";

    private static void Send(DaemonLab lab, NetworkEndpoint from, byte[] packet) => from.Wire.Send(
        Packets.FrameOf(lab.Network.NextHopMac(from, ReceivedPacket.FromIp(packet).Destination), from.Mac, packet));

    private static byte[] Udp(NetworkEndpoint from, IPAddress to, int port) =>
        Packets.Udp(from.V4, to, PortNumbers.Next(), port, Probe.Payload());

    private static byte[] Tcp(NetworkEndpoint from, IPAddress to, int port) => Packets.Tcp(
        new IPEndPoint(from.V4, PortNumbers.Next()), new IPEndPoint(to, port), TcpFlags.Syn, 1000, 2000, []);
}
