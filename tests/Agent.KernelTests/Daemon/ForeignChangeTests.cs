using System.Diagnostics;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Daemon;

/// <summary>Where the kernel does not protect our tables, what others change is found and undone.</summary>
public sealed class ForeignChangeTests : IAsyncLifetime
{
    private static readonly TimeSpan Repair = Pace.Scaled(TimeSpan.FromSeconds(1));

    private const string Foreign = """
        table inet other {
          set s { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
          chain c { type filter hook forward priority 10; policy accept; ip saddr @s drop; }
        }

        """;

    private DaemonLab lab = null!;

    public async ValueTask InitializeAsync()
    {
        lab = await DaemonLab.StartUnprotectedAsync();
        lab.Network.Host.Nft(Foreign);
        await lab.ApplyAsync(DaemonLab.OneWayIn());
    }

    public ValueTask DisposeAsync() => lab.DisposeAsync();

    [Fact]
    public async Task What_others_change_in_our_tables_is_undone_within_a_second_and_their_own_is_left_alone()
    {
        string others = lab.Network.Host.Exec("nft", "list", "table", "inet", "other");
        foreach (string change in (string[])
        [
            "insert rule inet sg_agent sg_forward accept",
            "insert rule inet sg_agent sg_forward goto admit", // and marks the sessions, so that they would go on
            "insert rule inet sg_agent sg_forward iifname \"tap-e3\" accept",
            "flush chain inet sg_agent sg_forward",
            "delete table inet sg_agent",
            "add table inet sg_agent { flags dormant; }", // everything is there, and nothing runs
            $"add element inet sg_agent {SenderMap()} {{ {lab.E3.V4} : {ClassOf(lab.E1)} }}",
        ])
        {
            double repairs = await lab.MetricAsync("sg_agent_drift_repairs_total");
            using Flood denied = DaemonLab.StartFlood(lab.E3, lab.E2, 1000, FloodDirections.Forward);
            await DaemonLab.UntilAsync("a flood", () => denied.Forward.Sent > 50);
            Assert.Equal(0, denied.Forward.Received);
            lab.Network.Host.Exec("nft", change);
            long changed = Stopwatch.GetTimestamp();
            await DaemonLab.UntilAsync(
                "a repair", async () => await lab.MetricAsync("sg_agent_drift_repairs_total") > repairs);
            await DaemonLab.UntilAsync("some time after", () => Stopwatch.GetElapsedTime(changed) > 1.5 * Repair);
            await denied.StopAsync();

            long late = changed + Repair.Ticks * Stopwatch.Frequency / TimeSpan.TicksPerSecond;
            Assert.True(denied.Forward.SentAfter(late).Length == 0, $"{change}: still open after {Repair}");
            Assert.True(
                await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true),
                $"{change}: what is allowed is lost");
        }

        Assert.Equal(others, lab.Network.Host.Exec("nft", "list", "table", "inet", "other"));
    }

    /// <summary>What was changed, which packets it concerned, and that it is over.</summary>
    [Fact]
    public async Task What_others_change_is_named_with_the_packets_that_it_concerned()
    {
        (string Change, string Object, string? Vnic, string Packet)[] changes =
        [
            ($"insert rule inet sg_agent sg_forward iifname \"{lab.E3.HostDevice}\" udp dport 7777 accept",
                "altered: chain inet sg_agent sg_forward: 1 rule more, first differing rule 1", "eni-e3",
                ":7777: expected Dropped"),
            ($"delete element inet sg_agent vnic_to {{ \"{lab.E2.HostDevice}\" }}",
                "altered: set inet sg_agent vnic_to: 1 element missing", "eni-e2", "expected Admitted"),
            ("add chain inet sg_agent late { type filter hook forward priority 100; policy drop; }",
                "added: chain inet sg_agent late", "eni-e1", "Dropped"),
            ("delete table netdev sg_agent", "missing: table netdev sg_agent", null, ""),
        ];
        foreach ((string change, string item, string? vnic, string packet) in changes)
        {
            Google.Protobuf.WellKnownTypes.Timestamp? before = (await lab.StatusAsync()).LastDrift?.Time;
            lab.Network.Host.Exec("nft", change);
            Drift? drift = null;
            await DaemonLab.UntilAsync("a drift that was looked at", async () =>
            {
                drift = (await lab.StatusAsync()).LastDrift;
                return drift is { Examined: true } && !drift.Time.Equals(before);
            });
            Assert.Contains(drift!.Objects, one => one.StartsWith(item, StringComparison.Ordinal));
            Assert.NotNull(drift.Repaired);
            if (vnic is not null)
            {
                Assert.Contains(packet, Assert.Single(drift.Packets, one => one.VnicId == vnic).Detail,
                    StringComparison.Ordinal);
            }

            await DaemonLab.UntilAsync("a proof", async () => (await lab.StatusAsync()).LastProof.Result == "proved");
        }
    }

    [Fact]
    public async Task What_others_take_away_comes_back()
    {
        byte[] spoofed = Packets.Udp(
            System.Net.IPAddress.Parse("10.0.0.77"), lab.E2.V4,
            PortNumbers.Next(), PortNumbers.Next(), Probe.Payload());
        foreach (string change in (string[])
        [
            "delete element inet sg_agent vnic_to { \"tap-e2\" }",
            "delete table netdev sg_agent",
            "flush ruleset",
        ])
        {
            double repairs = await lab.MetricAsync("sg_agent_drift_repairs_total");
            lab.Network.Host.Exec("nft", change);
            await DaemonLab.UntilAsync(
                "a repair", async () => await lab.MetricAsync("sg_agent_drift_repairs_total") > repairs);
            Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true), change);
            Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false), change);
            Assert.False(await lab.Probe.PacketArrivesAsync(lab.E1, spoofed, lab.E2), change);
        }
    }

    [Fact]
    public async Task Commits_of_others_in_their_own_tables_cause_no_commit_and_hold_up_none_of_ours()
    {
        await lab.SettledAsync();
        double transactions = await lab.MetricAsync("sg_agent_transactions_total");
        uint before = lab.Generation();
        for (int i = 0; i < 20; i++)
        {
            lab.Network.Host.Exec("nft", "add", "element", "inet", "other", "s", $"{{ 192.0.2.{i + 10} }}");
        }

        await DaemonLab.UntilAsync(
            "a look at them", async () => (await lab.StatusAsync()).RulesetGeneration == before + 20);
        Assert.Equal(transactions, await lab.MetricAsync("sg_agent_transactions_total"));
        Assert.Equal(0, await lab.MetricAsync("sg_agent_drift_repairs_total"));

        await lab.WhileOthersCommitAsync("inet other s", async () =>
        {
            for (int i = 0; i < 20; i++)
            {
                Snapshot state = DaemonLab.OneWayIn();
                state.Groups[0].Members.Add($"10.9.0.{i}");
                Assert.Empty((await lab.ApplyAsync(state)).FailedVnics);
            }
        });
    }

    /// <summary>The map in which a packet's sender is looked up.</summary>
    private string SenderMap() => MapWith(lab.E1).Name;

    private string ClassOf(NetworkEndpoint endpoint)
    {
        (NftSet map, int row) = Find(endpoint);
        return $"0x{BitConverter.ToUInt32(map.Elements[row][^4..]):x}";
    }

    private NftSet MapWith(NetworkEndpoint endpoint) => Find(endpoint).Map;

    private (NftSet Map, int Row) Find(NetworkEndpoint endpoint)
    {
        using NftConnection kernel = lab.Network.Host.Run(() => new NftConnection());
        Ruleset ruleset = kernel.ReadRuleset([(NftFamily.Inet, "sg_agent")]).Ruleset;
        byte[] key = endpoint.V4.GetAddressBytes();
        foreach (NftSet map in ruleset.Tables[0].Sets.Where(set => set.Kind == NftSetKind.MarkMap && !set.Interval))
        {
            for (int row = 0; row < map.Elements.Count; row++)
            {
                if (map.Elements[row][..4].SequenceEqual(key))
                {
                    return (map, row);
                }
            }
        }

        throw new InvalidOperationException("no map holds the address");
    }
}
