using System.Net;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Zones;

/// <summary>VPCs with the same addresses do not notice each other.</summary>
public sealed class ZoneTests
{
    [Theory]
    [InlineData("198.51.100.7", "10.0.0.6")]
    [InlineData("2001:db8:ffff::7", "2001:db8:1::6")]
    public async Task The_same_five_tuple_is_two_sessions_and_revoking_one_leaves_the_other(string world, string server)
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        Snapshot state = TwoTenants.State();
        await lab.ApplyAsync(state);
        IPAddress from = IPAddress.Parse(world);
        IPAddress to = IPAddress.Parse(server);
        using TcpStream inA = await ConnectAsync(lab.WorldA, from, lab["a2"], to);
        using TcpStream inB = await ConnectAsync(lab.WorldB, from, lab["b2"], to);
        using UdpConversation talkA = UdpConversation.Open(
            lab.WorldA, from, lab["a2"], new IPEndPoint(to, 5300), clientPort: 9001);
        using UdpConversation talkB = UdpConversation.Open(
            lab.WorldB, from, lab["b2"], new IPEndPoint(to, 5300), clientPort: 9001);
        foreach (UdpConversation talk in (UdpConversation[])[talkA, talkB])
        {
            Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await talk.ServerSendsAsync(Probe.PassWait));
        }

        foreach (TcpStream stream in (TcpStream[])[inA, inB])
        {
            Assert.True(await stream.ClientSendsAsync(Probe.PassWait) && await stream.ServerSendsAsync(Probe.PassWait));
        }

        AgentStatus status = await lab.StatusAsync();
        uint[] zones = [.. status.Vpcs.Select(vpc => vpc.ConntrackZone).Order()];
        ConntrackEntry[] entries = [.. Conntrack.List(lab.Network.Host)];
        foreach (ushort port in (ushort[])[22, 5300])
        {
            Assert.Equal(zones, entries.Where(e => e.DestinationPort == port).Select(e => (uint)e.Zone).Order());
        }

        state.Groups.Single(group => group.Id == "sg-a-servers").Rules.Clear();
        await lab.ApplyAsync(state);
        Assert.False(await talkA.ServerSendsAsync());
        Assert.False(await talkA.ClientSendsAsync());
        Assert.False(await inA.ServerSendsAsync());
        Assert.True(await talkB.ServerSendsAsync(Probe.PassWait) && await talkB.ClientSendsAsync(Probe.PassWait));
        Assert.True(await inB.ServerSendsAsync(Probe.PassWait) && await inB.ClientSendsAsync(Probe.PassWait));
        Assert.Equal(0, CountedDrops.At(lab.Network.Host, "tap-b2"));
    }

    [Fact]
    public async Task A_group_reference_means_the_members_of_its_own_vpc()
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        await lab.ApplyAsync(TwoTenants.State());
        foreach (IPAddress server in (IPAddress[])[lab["a2"].V4, lab["a2"].V6])
        {
            Assert.True(await lab.UdpArrivesAsync(lab["a1"], lab["a2"], server, expected: true));
            Assert.True(await lab.UdpArrivesAsync(lab["b1"], lab["b2"], server, expected: true));
        }

        // A wrong route leads from one VPC into the other: from a1, whose address is a member's there, and from A's
        // world.
        lab.Network.Host.IpBatch(
        [
            $"route replace {lab["a2"].V4}/32 dev tap-b2 table {TwoTenants.TableA}",
            $"route replace {lab["a2"].V6}/128 dev tap-b2 table {TwoTenants.TableA}",
        ]);
        int before = CountedDrops.Of(lab.Network.Host, "zone", from: false, "tap-b2");
        foreach (IPAddress server in (IPAddress[])[lab["a2"].V4, lab["a2"].V6])
        {
            Assert.False(await lab.UdpArrivesAsync(lab["a1"], lab["b2"], server, expected: false));
            Assert.False(await lab.UdpArrivesAsync(lab.WorldA, lab["b2"], server, expected: false));
        }

        Assert.Equal(before + 4, CountedDrops.Of(lab.Network.Host, "zone", from: false, "tap-b2"));
    }

    [Theory]
    [InlineData("198.51.100.7", "10.0.0.6")]
    [InlineData("2001:db8:ffff::7", "2001:db8:1::6")]
    public async Task Fragments_of_two_vpcs_do_not_mix(string world, string server)
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        await lab.ApplyAsync(TwoTenants.State());
        IPAddress target = IPAddress.Parse(server);
        byte[] packet = Packets.Udp(IPAddress.Parse(world), target, 7000, 5300, new byte[2400]);
        byte[][] fragments = Packets.Fragment(packet, 1200);
        var arrived = new System.Collections.Concurrent.ConcurrentBag<NetworkEndpoint>();
        using IDisposable watchA = lab["a2"].Wire.Subscribe(frame => Arrived(frame, lab["a2"]));
        using IDisposable watchB = lab["b2"].Wire.Subscribe(frame => Arrived(frame, lab["b2"]));

        // One half from each world, the same identification: neither is whole.
        Send(lab.WorldA, fragments[0]);
        fragments[1..].ToList().ForEach(fragment => Send(lab.WorldB, fragment));
        await Task.Delay(Probe.DropWait, TestContext.Current.CancellationToken);
        Assert.Empty(arrived);
        fragments[1..].ToList().ForEach(fragment => Send(lab.WorldA, fragment));
        await DaemonLab.UntilAsync("A's datagram", () => arrived.Contains(lab["a2"]));
        Assert.DoesNotContain(lab["b2"], arrived);
        Send(lab.WorldB, fragments[0]);
        await DaemonLab.UntilAsync("B's datagram", () => arrived.Contains(lab["b2"]));

        void Arrived(byte[] frame, NetworkEndpoint at)
        {
            if (ReceivedPacket.FromFrame(frame) is { } seen && seen.Destination.Equals(target) && seen.Protocol == 17)
            {
                arrived.Add(at);
            }
        }

        void Send(NetworkEndpoint from, byte[] fragment) =>
            from.Wire.Send(Packets.FrameOf(lab.Network.NextHopMac(from, target), from.Mac, fragment));
    }

    [Fact]
    public async Task A_session_does_not_follow_a_route_into_another_vpc()
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        await lab.ApplyAsync(TwoTenants.State());
        IPAddress world = lab.WorldA.V4;
        using UdpConversation talk = UdpConversation.Open(
            lab["a1"], lab["a1"].V4, lab.WorldA, new IPEndPoint(world, 7000));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait) && await talk.ServerSendsAsync(Probe.PassWait));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        lab.Network.Host.IpBatch([$"route add {world}/32 dev tap-b1 table {TwoTenants.TableA}"]);
        lab.Network.Host.IpBatch([$"neigh replace {world} lladdr 02:00:00:00:0b:01 dev tap-b1 nud permanent"]);

        byte[] packet = Packets.Udp(
            talk.ClientAddress.Address, world, talk.ClientAddress.Port, talk.ServerAddress.Port, Probe.Payload());
        Assert.False(await lab.Probe.PacketArrivesAsync(lab["a1"], packet, lab["b1"]));
        Assert.Equal(1, CountedDrops.Of(lab.Network.Host, "zone", from: false, "tap-b1"));
    }

    [Fact]
    public async Task A_guest_cannot_leave_by_another_vpcs_uplink()
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        await lab.ApplyAsync(TwoTenants.State());
        Assert.True(await lab.UdpArrivesAsync(lab["a1"], lab.WorldA, lab.WorldA.V4, expected: true));
        lab.Network.Host.IpBatch(
            [$"route add {lab.WorldB.V4}/32 via 169.254.0.2 dev up-b onlink table {TwoTenants.TableA}"]);
        Assert.False(await lab.UdpArrivesAsync(lab["a1"], lab.WorldB, lab.WorldB.V4, expected: false));
        Assert.Equal(1, CountedDrops.Of(lab.Network.Host, "zone", from: false, "up-b"));
    }

    [Fact]
    public async Task Zones_are_the_same_after_a_restart_and_when_others_come_and_go()
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        Snapshot state = TwoTenants.State();
        await lab.ApplyAsync(state);
        using TcpStream stream = await ConnectAsync(lab.WorldB, lab.WorldB.V4, lab["b2"], lab["b2"].V4);
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        VpcStatus[] before = [.. (await lab.StatusAsync()).Vpcs];
        await lab.Daemon.KillAsync();
        await lab.Daemon.LaunchAsync();
        Assert.Equal(before, (await lab.StatusAsync()).Vpcs);

        state.Vpcs.Insert(0, new Vpc { Id = "vpc-0" });
        state.Vpcs.Remove(state.Vpcs.Single(vpc => vpc.Id == "vpc-a"));
        state.Vnics.Remove(state.Vnics.Single(vnic => vnic.Id == "eni-a1"));
        state.Vnics.Remove(state.Vnics.Single(vnic => vnic.Id == "eni-a2"));
        await lab.ApplyAsync(state);
        AgentStatus after = await lab.StatusAsync();
        Assert.Equal(before.Single(vpc => vpc.VpcId == "vpc-b"), after.Vpcs.Single(vpc => vpc.VpcId == "vpc-b"));
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait) && await stream.ClientSendsAsync(Probe.PassWait));
        Assert.Equal(0, CountedDrops.At(lab.Network.Host, "tap-b2"));
    }

    [Fact]
    public async Task Unlisted_vpcs_do_not_reach_each_other_either()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Snapshot state = States.Apply(
            [
                States.Accepting("sg-a", "in 1 accept all -1/-1 0.0.0.0/0"),
                States.Accepting("sg-b", "in 1 accept all -1/-1 0.0.0.0/0"),
            ],
            States.Nic("e1", "sg-a"), States.Nic("e2", "sg-a"), States.Nic("e3", "sg-b")).State.Clone();
        state.Groups[1].VpcId = state.Vnics[2].VpcId = "vpc-2";
        await lab.ApplyAsync(state);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.True(await lab.UdpArrivesAsync(lab.Network.Outsider, lab.E3, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E1, lab.E3, expected: false));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E1, expected: false));
    }

    [Fact]
    public async Task Nft_lists_zones_times_and_limits()
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        await lab.ApplyAsync(TwoTenants.State());
        string listing = lab.Network.Host.Exec("nft", "list", "table", "inet", "sg_agent");
        Assert.Contains("ct zone set iifname map @zones", listing, StringComparison.Ordinal);
        Assert.Contains("ct zone set oifname map @zones", listing, StringComparison.Ordinal);
        Assert.Contains("oifname vmap @zone_gate", listing, StringComparison.Ordinal);
        Assert.Contains("ct timeout set \"times_tcp_910_3\"", listing, StringComparison.Ordinal);
        Assert.Contains("ct count over 16384 goto over_tap-a1", listing, StringComparison.Ordinal);
        Assert.Contains("ct state related,new ct status ! confirmed jump limit_tap-a1", listing,
            StringComparison.Ordinal);
    }

    private static async Task<TcpStream> ConnectAsync(
        NetworkEndpoint client, IPAddress source, NetworkEndpoint server, IPAddress target)
    {
        TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(client, new IPEndPoint(target, 22), server) { Source = source, SourcePort = 9000 },
            Probe.PassWait);
        Assert.NotNull(stream);
        return stream;
    }
}
