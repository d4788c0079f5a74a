using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Metrics;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>What no rule decides is counted and reported, packet by packet, and both call it the same.</summary>
public sealed class DropReasonTests
{
    private const int Each = 3;

    private static readonly IPAddress Gateway = IPAddress.Parse("169.254.0.1");
    private static readonly IPAddress Beside = IPAddress.Parse("10.0.0.77");

    [Fact]
    public async Task Each_reason_is_counted_and_reported_under_its_name()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(Unlimited);
        await lab.ApplyAsync(State());
        lab.Network.Host.IpBatch([$"route add {Beside} dev {lab.E2.HostDevice}"]); // none of its own
        foreach (int port in (int[])[4000, 4001]) // all that it may have
        {
            Send(lab.E2, Packets.Udp(lab.E2.V4, lab.Network.Outsider.V4, port, port, [1]));
        }

        (string Vnic, Direction Way, string Reason, NetworkEndpoint From, Func<int, byte[]> Packet)[] cases =
        [
            ("e1", Direction.Egress, "host", lab.E1, port => Udp(lab.E1, Gateway, port)),
            ("e1", Direction.Egress, "invalid", lab.E1, port => Flagless(lab.E1, lab.E2.V4, port)),
            ("e2", Direction.Egress, "limit", lab.E2, port => Udp(lab.E2, lab.Network.Outsider.V4, port)),
            ("e2", Direction.Ingress, "limit", lab.E1, port => Udp(lab.E1, lab.E2.V4, port)),
            ("e2", Direction.Ingress, "invalid", lab.Network.Outsider,
                port => Flagless(lab.Network.Outsider, lab.E2.V4, port)),
            ("e2", Direction.Ingress, "notsyn", lab.Network.Outsider,
                port => Tcp(lab.Network.Outsider, lab.E2.V4, port, TcpFlags.Ack)),
            ("e2", Direction.Ingress, "address", lab.Network.Outsider, port => Udp(lab.Network.Outsider, Beside, port)),
            ("e3", Direction.Ingress, "zone", lab.E1, port => Udp(lab.E1, lab.E3.V4, port)),
        ];
        ExpositionPage before = await ExpositionPage.ReadAsync(lab);
        await using DropStream stream = DropStream.On(lab);
        foreach ((string vnic, Direction way, string reason, NetworkEndpoint from, Func<int, byte[]> packet) in cases)
        {
            for (int i = 0; i < Each; i++)
            {
                int port = PortNumbers.Next();
                byte[] sent = packet(port);
                Send(from, sent);
                DropRecord record = await stream.NextAsync((uint)port);
                Assert.Equal(($"eni-{vnic}", $"tap-{vnic}", way, V1.Policy.Drop, reason, ""), (record.VnicId,
                    record.InterfaceName, record.Direction, record.Verdict, record.Reason, record.Rule));
                Assert.Equal(lab.Network.Guests[vnic].Spec.Mac, record.GuestMac);
                Assert.Equal((uint)sent.Length, record.LengthBytes);
                Assert.Equal(
                    (ReceivedPacket.FromIp(sent).Source.ToString(), ReceivedPacket.FromIp(sent).Destination.ToString()),
                    (record.Packet.Source, record.Packet.Destination));
            }
        }

        ExpositionPage after = before;
        await DaemonLab.UntilAsync("all of them", async () =>
        {
            after = await ExpositionPage.ReadAsync(lab);
            return cases.All(one => Moved(one.Vnic, one.Way, one.Reason) >= Each);
        });
        Assert.All(cases, one => Assert.Equal(Each, Moved(one.Vnic, one.Way, one.Reason)));

        long Moved(string vnic, Direction way, string reason) =>
            after.Packets($"eni-{vnic}", Word(way), reason) - before.Packets($"eni-{vnic}", Word(way), reason);
    }

    /// <summary>Only a packet on its way past an old guard gets there: the guard is made to be no more.</summary>
    [Fact]
    public async Task A_foreign_source_that_no_guard_has_seen_is_dropped_for_its_address()
    {
        await using DaemonLab lab = await DaemonLab.StartUnprotectedAsync();
        await lab.ApplyAsync(State());
        await using DropStream stream = DropStream.On(lab);
        using var kernel = new CountedDrops(lab.Network.Host);
        byte[] foreign = Packets.Udp(IPAddress.Parse("10.66.0.66"), lab.Network.Outsider.V4, 4711, 7, [1]);
        using CancellationTokenSource end = new();
        Task sending = Task.Run(async () =>
        {
            while (!end.IsCancellationRequested)
            {
                Send(lab.E1, foreign);
                await Task.Delay(1, CancellationToken.None);
            }
        }, TestContext.Current.CancellationToken);
        await DaemonLab.UntilAsync("a packet that passes before the repair", () =>
        {
            lab.Network.Host.Exec("nft", $"flush chain netdev sg_agent guard_{lab.E1.HostDevice}");
            return Counted() > 0;
        });
        await end.CancelAsync();
        await sending;
        DropRecord record = await stream.NextAsync(one => one is { Reason: "address", Packet.SourcePort: 4711 });
        Assert.Equal(("eni-e1", Direction.Egress, "", "10.66.0.66", lab.E1.Spec.Mac),
            (record.VnicId, record.Direction, record.Rule, record.Packet.Source, record.GuestMac));
        await DaemonLab.UntilAsync("its counter", async () =>
            (await ExpositionPage.ReadAsync(lab)).Packets("eni-e1", "egress", "address") == Counted());

        int Counted() => kernel.Read().GetValueOrDefault($"{lab.E1.HostDevice} from_address");
    }

    [Fact]
    public async Task What_nobody_has_named_is_counted_and_reported_as_closed_both_ways()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(Unlimited);
        Snapshot state = State();
        state.Vnics.RemoveAt(2);
        await lab.ApplyAsync(state);
        // IPv6 stacks say a word unasked, and all of it is counted together.
        lab.E3.Place.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1");
        lab.Network.Host.SetSysctl($"net/ipv6/conf/{lab.E3.HostDevice}/disable_ipv6", "1");
        ExpositionPage before = await ExpositionPage.ReadAsync(lab);
        await using DropStream stream = DropStream.On(lab);
        foreach ((Direction way, NetworkEndpoint from, IPAddress to, string mac) in
            ((Direction, NetworkEndpoint, IPAddress, string)[])
            [
                (Direction.Egress, lab.E3, lab.Network.Outsider.V4, lab.E3.Spec.Mac),
                (Direction.Ingress, lab.Network.Outsider, lab.E3.V4, ""),
            ])
        {
            for (int i = 0; i < Each; i++)
            {
                int port = PortNumbers.Next();
                Send(from, Udp(from, to, port));
                DropRecord record = await stream.NextAsync((uint)port);
                Assert.Equal(("", lab.E3.HostDevice, way, "closed", "", mac), (record.VnicId, record.InterfaceName,
                    record.Direction, record.Reason, record.Rule, record.GuestMac));
            }
        }

        foreach (string way in (string[])["egress", "ingress"])
        {
            await DaemonLab.UntilAsync("all of them", async () =>
                (await ExpositionPage.ReadAsync(lab)).Packets("", way, "closed") >=
                    before.Packets("", way, "closed") + Each);
            Assert.Equal(before.Packets("", way, "closed") + Each,
                (await ExpositionPage.ReadAsync(lab)).Packets("", way, "closed"));
        }
    }

    [Fact]
    public async Task Each_frame_that_a_guard_drops_is_reported_under_its_kind()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync(Unlimited);
        await lab.ApplyAsync(State());
        await using DropStream stream = DropStream.On(lab, "eni-e1");
        GuestFrame[] frames = [.. lab.FramesOf(lab.E1).Where(frame => frame.Kind is not null)];
        var records = new List<DropRecord>();
        foreach (GuestFrame frame in frames)
        {
            lab.E1.Wire.Send(frame.Bytes);
            records.Add(await stream.NextAsync(_ => true));
            Assert.True(frame.Kind == records[^1].Reason, $"{frame.Name}: {records[^1]}");
        }

        Assert.Equal(
            ["arp", "dhcp", "ethertype", "ip4", "ip6", "mac", "nd", "ra", "redirect"],
            records.Select(record => record.Reason).Distinct().Order(StringComparer.Ordinal));
        Assert.All(records, record => Assert.Equal(
            ("eni-e1", lab.E1.HostDevice, Direction.Egress, V1.Policy.Drop, "", true),
            (record.VnicId, record.InterfaceName, record.Direction, record.Verdict, record.Rule,
                record.Reason == "mac" || record.GuestMac == lab.E1.Spec.Mac)));
        Assert.Contains(records, record => record is { Reason: "arp", Packet.Protocol: "arp", EtherType: 0x0806 });
        foreach ((uint from, uint to) in ((uint, uint)[])[(67, 68), (547, 546)])
        {
            Assert.Contains(records, record => record is { Reason: "dhcp", Packet.Protocol: "udp" }
                && (record.Packet.SourcePort, record.Packet.DestinationPort) == (from, to));
        }

        Assert.Contains(records, record => record is { Reason: "nd", Packet.Protocol: "icmpv6", IcmpType: 135 });
        Assert.Contains(records, record => record is { Reason: "ra", Packet.Protocol: "icmpv6", IcmpType: 134 });
        Assert.Contains(records, record => record is { Reason: "ra", Packet.Protocol: "icmp", IcmpType: 9 });
        Assert.Contains(records, record => record is { Reason: "redirect", Packet.Protocol: "icmp", IcmpType: 5 });
        Assert.Contains(records, record => record is { Reason: "ip6", Packet.Source: "2001:db8:66::66" });
    }

    private static void Unlimited(JsonObject config) =>
        config["drops"] = new JsonObject { ["per_second"] = 10_000, ["burst"] = 10_000 };

    /// <summary>e1 may call e2, which may have two sessions; e3 is of another VPC.</summary>
    private static Snapshot State()
    {
        Snapshot state = Apply(
            [Isolating("sg-a"), Isolating("sg-b", "in 1 accept udp 1/65535 sg-a"), Isolating("sg-c")],
            Nic("e1", "sg-a"),
            Nic("e2", "sg-b"),
            Nic("e3", "sg-c")).State.Clone();
        state.Vnics[1].MaxSessions = 2;
        state.Vnics[2].VpcId = state.Groups[2].VpcId = "vpc-2";
        return state;
    }

    private static string Word(Direction way) => way == Direction.Egress ? "egress" : "ingress";

    private static void Send(NetworkEndpoint from, byte[] packet) =>
        from.Wire.Send(Packets.FrameOf(from.HostMac, from.Mac, packet));

    private static byte[] Udp(NetworkEndpoint from, IPAddress to, int port) =>
        Packets.Udp(from.V4, to, port, 5000, Probe.Payload());

    private static byte[] Flagless(NetworkEndpoint from, IPAddress to, int port) => Tcp(from, to, port, TcpFlags.None);

    private static byte[] Tcp(NetworkEndpoint from, IPAddress to, int port, TcpFlags flags) => Packets.Tcp(
        new IPEndPoint(from.V4, port), new IPEndPoint(to, 22), flags, 1000, 2000, []);
}
