using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>A policy that is too wide for tables is enforced in runs: the same promises hold.</summary>
public sealed class WidePolicyTests
{
    /// <summary>One half names remote addresses, the other one own addresses: as tables, 20,000 ranges.</summary>
    private const int Half = 140;

    [Theory]
    [InlineData(Topology.Routed)]
    [InlineData(Topology.Bridged)]
    public async Task Packets_pass_and_drop_and_hits_and_drops_name_the_rule(Topology topology)
    {
        if (topology == Topology.Bridged)
        {
            KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        }

        await using DaemonLab lab = await DaemonLab.StartAsync(
            config => config["metrics"]!["rule_hits"] = new JsonArray("sg-b"), topology: topology);
        await lab.ApplyAsync(Wide());
        Assert.All((await lab.StatusAsync()).Vnics, vnic => Assert.Equal("", vnic.Reason));
        Assert.Contains("_run_", lab.Listing(), StringComparison.Ordinal);

        await using DropStream drops = DropStream.On(lab);
        await ArrivesAsync(lab, lab.E1, 40_001, 5000, arrives: true);
        await ArrivesAsync(lab, lab.E1, 40_002, 23, arrives: false);
        Assert.Equal("sg-b/r1", (await drops.NextAsync(40_002)).Rule);
        await ArrivesAsync(lab, lab.E3, 40_003, 150, arrives: true);
        await ArrivesAsync(lab, lab.E3, 40_004, 142, arrives: false);
        Assert.Equal("sg-b/r3", (await drops.NextAsync(40_004)).Rule);
        await ArrivesAsync(lab, lab.E3, 40_005, 201, arrives: false);
        Assert.Equal("default", (await drops.NextAsync(40_005)).Rule);

        string[] wanted = ["sg-b/r1 1", "sg-b/r2 1", "sg-b/r3 1", "sg-b/r4 1"];
        await DaemonLab.UntilAsync("hits", async () => wanted.SequenceEqual(
            (await lab.Client.ListRulesAsync(new ListRulesRequest { Vnic = "eni-e2" })).Rules
                .Where(rule => rule.Direction == Direction.Ingress && rule.Rule.Length > 0 && rule.Packets > 0)
                .Select(rule => $"{rule.Rule} {rule.Packets}").Order(StringComparer.Ordinal)));
    }

    [Fact]
    public async Task A_restart_finds_what_it_left_and_the_proof_holds()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(Wide());
        await lab.SettledAsync();
        uint generation = lab.Generation();
        await lab.Daemon.RestartAsync();
        await DaemonLab.UntilAsync("a proof", async () => (await lab.StatusAsync()).LastProof is { Result: "proved" },
            Pace.Scaled(TimeSpan.FromMinutes(2)));
        Assert.Equal(generation, lab.Generation());
    }

    [Fact]
    public async Task Live_sessions_lose_nothing_by_a_change_that_leaves_them_and_end_with_one_that_does_not()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = Wide();
        await lab.ApplyAsync(state);
        using Flood live = DaemonLab.StartFlood(lab.E1, lab.E2, 1000, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => live.Backward.Received > 200);

        // A new place: all places have other numbers, and every session is judged again, by replies as well.
        Rule drop = state.Groups[1].Rules[4].Clone();
        (drop.Id, drop.Cidr, drop.Policy, drop.Priority) = ("more", "198.18.0.128/25", V1.Policy.Drop, 1);
        state.Groups[1].Rules.Add(drop);
        double before = await lab.MetricAsync("sg_agent_session_revalidations_total");
        await lab.ApplyAsync(state);
        Assert.Equal(before + 1, await lab.MetricAsync("sg_agent_session_revalidations_total"));
        long received = live.Backward.Received;
        await DaemonLab.UntilAsync("more of the flood", () => live.Backward.Received > received + 300);

        state.Groups[0].Members.Add("10.0.0.77"); // where e1 is: no session is judged again
        await lab.ApplyAsync(state);
        Assert.Equal(before + 1, await lab.MetricAsync("sg_agent_session_revalidations_total"));
        await live.StopAsync();
        Assert.Empty(live.Forward.Missing());
        Assert.Empty(live.Backward.Missing());

        using UdpConversation talk = UdpConversation.Open(
            lab.E1, lab.E1.V4, lab.E2, new IPEndPoint(lab.E2.V4, 6000));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        Assert.True(await talk.ServerSendsAsync(Probe.PassWait));
        state.Groups[1].Rules.RemoveAt(1);
        await lab.ApplyAsync(state);
        Assert.False(await talk.ServerSendsAsync(Probe.DropWait));
        Assert.False(await talk.ClientSendsAsync(Probe.DropWait));
    }

    private static Snapshot Wide() => States.Apply(
        [
            States.Isolating("sg-a"),
            States.Isolating("sg-b",
            [
                "in 1 drop udp 23/23 sg-a",
                "in 2 accept udp 1/65535 sg-a",
                "in 3 drop udp 140/145 10.0.0.0/24 own=10.0.0.0/29",
                "in 4 accept udp 100/200 10.0.0.7/32 own=10.0.0.5/32",
                .. Enumerable.Range(0, Half).Select(i => $"in {10 + i % 80} {(i % 3 == 0 ? "drop" : "accept")}"
                    + $" udp {1000 + 10 * i}/{5000 + 10 * i} 198.18.{i}.0/24"),
                .. Enumerable.Range(0, Half).Select(i => $"in {10 + i % 80} {(i % 3 == 1 ? "drop" : "accept")}"
                    + $" udp {2000 + 10 * i}/{6000 + 10 * i} 0.0.0.0/0 own=172.16.{i}.0/24"),
            ]),
            States.Isolating("sg-c"),
        ],
        States.Nic("e1", "sg-a"),
        States.Nic("e2", "sg-b"),
        States.Nic("e3", "sg-c")).State.Clone();

    private static async Task ArrivesAsync(DaemonLab lab, Guest from, int source, int port, bool arrives) =>
        Assert.Equal(arrives, await lab.Probe.UdpArrivesAsync(
            from, new IPEndPoint(from.V4, source), lab.E2, new IPEndPoint(lab.E2.V4, port),
            arrives ? Probe.PassWait : Probe.DropWait));
}
