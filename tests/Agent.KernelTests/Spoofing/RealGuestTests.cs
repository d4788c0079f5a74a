using System.Net;
using System.Net.Sockets;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Spoofing;

/// <summary>A guest's real stack finds its neighbours, its addresses and a DHCP server behind the guard.</summary>
public sealed class RealGuestTests
{
    private static readonly GuestSpec Web =
        new("web", "tap-web", "02:00:00:00:00:11", "10.0.0.8", "10.0.0.9", "2001:db8:1::8", "2001:db8:1::9");

    private static readonly GuestSpec Db = new("db", "tap-db", "02:00:00:00:00:12", "10.0.0.5", "2001:db8:1::5");

    [Theory]
    [InlineData(Topology.Routed)]
    [InlineData(Topology.Bridged)]
    public async Task Everything_that_a_guest_needs_passes_and_nothing_is_counted(Topology topology)
    {
        if (topology == Topology.Bridged)
        {
            KernelNeeds.Feature(KernelFeature.BridgeConntrack);
        }

        using TestNetwork network = TestNetwork.Create(
            new TestNetworkOptions { Topology = topology, StaticNeighbours = false }, Web, Db);
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(network.Host);
        SecurityGroupAgent.SecurityGroupAgentClient client = new(daemon.Channel);
        ApplyResponse answer = await client.ApplySnapshotAsync(
            new ApplySnapshotRequest { Snapshot = State(), NextRevision = true },
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(answer.Accepted is { FailedVnics.Count: 0 }, $"refused: {answer}");
        Guest web = network.Guests["web"];
        await DetectAsync(web);
        await TalkAsync(web, network.Guests["db"], topology == Topology.Bridged ? network.Outsider : null);
        await LeaseAsync(web, topology == Topology.Bridged ? network.Outsider.Place : network.Host);
        using NftConnection kernel = network.Host.Run(() => new NftConnection());
        Assert.Empty(kernel.ReadCounters(NftFamily.Netdev, "sg_agent").Objects
            .Where(one => one.Value.Packets > 0).Select(one => $"{one.Key}: {one.Value.Packets}"));
    }

    /// <summary>The guest takes an address of its own only after nobody has answered for it.</summary>
    private static async Task DetectAsync(Guest guest)
    {
        guest.Place.SetSysctl("net/ipv6/conf/eth0/accept_dad", "1");
        guest.Place.SetSysctl("net/ipv6/conf/eth0/dad_transmits", "1");
        Assert.Equal("1", guest.Place.ReadSysctl("net/ipv6/conf/eth0/enhanced_dad"));
        guest.Place.IpBatch(["addr del 2001:db8:1::9/128 dev eth0", "addr add 2001:db8:1::9/128 dev eth0"]);
        int probes = 0;
        await DaemonLab.UntilAsync("the address is no longer tentative", () =>
        {
            string addresses = guest.Place.Exec("ip", "-6", "addr", "show", "dev", "eth0");
            probes += addresses.Contains("tentative", StringComparison.Ordinal) ? 1 : 0;
            return addresses.Contains("2001:db8:1::9", StringComparison.Ordinal)
                && !addresses.Contains("tentative", StringComparison.Ordinal);
        });
        Assert.True(probes > 0, "the address was never tentative");
    }

    /// <summary>Each side asks for the other's MAC address, with ARP and with neighbour discovery.</summary>
    private static async Task TalkAsync(Guest web, Guest db, NetworkEndpoint? neighbour)
    {
        foreach (NetworkEndpoint other in neighbour is null ? [db] : (NetworkEndpoint[])[db, neighbour])
        {
            foreach (IPAddress address in (IPAddress[])[other.V4, other.V6])
            {
                bool v4 = address.AddressFamily == AddressFamily.InterNetwork;
                Assert.True(
                    await Probe.TcpConnectsAsync(new TcpRoute(web, new IPEndPoint(address, 80), other), Probe.PassWait),
                    $"no connection to {address}");
                Assert.True(
                    await Probe.TcpConnectsAsync(
                        new TcpRoute(other, new IPEndPoint(v4 ? web.V4 : web.V6, 80), web), Probe.PassWait),
                    $"no connection from {address}");
            }
        }

        Assert.Contains("lladdr", web.Place.Exec("ip", "-4", "neigh", "show"), StringComparison.Ordinal);
        Assert.Contains("lladdr", web.Place.Exec("ip", "-6", "neigh", "show"), StringComparison.Ordinal);
    }

    /// <summary>
    /// Discover and offer: the client has no address yet, the server answers to the one that it gives.
    /// </summary>
    private static async Task LeaseAsync(Guest guest, NetNamespace serverPlace)
    {
        using Socket server = serverPlace.OpenSocket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        server.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Broadcast, true);
        server.Bind(new IPEndPoint(IPAddress.Any, 67));
        byte[] discover = Packets.Udp(IPAddress.Any, IPAddress.Broadcast, 68, 67, Probe.Payload());
        guest.Wire.Send(Packets.FrameOf([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], guest.Mac, discover));
        using CancellationTokenSource limit = new(Probe.PassWait);
        byte[] received = new byte[1500];
        SocketReceiveFromResult heard = await server.ReceiveFromAsync(
            received, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), limit.Token);
        Assert.Equal(discover[28..], received[..heard.ReceivedBytes]);
        Assert.Equal(new IPEndPoint(IPAddress.Any, 68), heard.RemoteEndPoint);
        using Socket client = guest.OpenUdp(guest.V4, 68);
        await server.SendToAsync(discover.AsMemory(28), SocketFlags.None, new IPEndPoint(guest.V4, 68), limit.Token);
        Assert.Equal(discover.Length - 28, await client.ReceiveAsync(received, SocketFlags.None, limit.Token));
    }

    private static Snapshot State() => new()
    {
        Groups = { States.Accepting("sg-a", "in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0") },
        Vnics =
        {
            ((GuestSpec[])[Web, Db]).Select(spec => new Vnic
            {
                Id = $"eni-{spec.Name}",
                InterfaceName = spec.Device,
                Mac = spec.Mac,
                VpcId = States.Vpc,
                Addresses = { spec.Addresses },
                GroupIds = { "sg-a" },
            }),
        },
    };
}
