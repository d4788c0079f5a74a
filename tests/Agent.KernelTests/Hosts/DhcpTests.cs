using System.Net;
using System.Net.Sockets;
using System.Text;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Hosts;

/// <summary>
/// A guest gets its addresses whatever its rules say, from the host and from the servers that are named.
/// </summary>
public sealed class DhcpTests(HostLab lab) : IClassFixture<HostLab>
{
    private const int SocketLevel = 1;
    private const int BindToDevice = 25;
    private static readonly IPAddress AllServers = IPAddress.Parse("ff02::1:2");

    // No rule lets anything out or in.
    private static Snapshot Closed => States.Apply(
        [States.Advanced("sg-a")], States.Nic("e1", "sg-a"), States.Nic("e2", "sg-a")).State.Clone();

    [Fact]
    public async Task A_client_reaches_the_server_of_the_host()
    {
        await lab.ServeAsync();
        await lab.ApplyAsync(Closed);
        IPAddress host = IPAddress.Parse(HostLab.V4);
        await lab.PassToHostAsync(lab.E1,
            Shot("discover", IPAddress.Any, 68, IPAddress.Broadcast, 67),
            Shot("request to everybody", lab.E1.V4, 68, IPAddress.Broadcast, 67),
            Shot("renewal", lab.E1.V4, 68, host, 67));
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_default",
            Shot("server port, other client port", lab.E1.V4, 5000, host, 67),
            Shot("client port, other server port", lab.E1.V4, 68, host, 69));
    }

    [Fact]
    public async Task A_DHCPv6_client_reaches_the_server_of_the_host()
    {
        await lab.ServeAsync();
        await lab.ApplyAsync(Closed);
        IPAddress host = IPAddress.Parse(HostLab.V6);
        using Socket server = lab.Lab.Network.Host.OpenSocket(
            AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
        int device = InterfaceIndex(lab.E1.HostDevice);
        server.SetSocketOption(
            SocketOptionLevel.IPv6, SocketOptionName.AddMembership, new IPv6MulticastOption(AllServers, device));
        await lab.PassToHostAsync(lab.E1,
            Shot("solicit", LinkLocal(lab.E1), 546, AllServers, 547),
            Shot("request", LinkLocal(lab.E1), 546, IPAddress.Parse("fe80::1"), 547),
            Shot("renewal", lab.E1.V6, 546, host, 547));
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_default",
            Shot("server port, other client port", lab.E1.V6, 5000, host, 547),
            Shot("client port, other server port", lab.E1.V6, 546, host, 548));
    }

    [Fact]
    public async Task Answers_of_the_host_reach_the_guest()
    {
        await lab.ApplyAsync(Closed);
        (IPAddress v4, IPAddress v6) = (IPAddress.Parse(HostLab.V4), IPAddress.Parse(HostLab.V6));
        await lab.PassFromHostAsync(lab.E1,
            Shot("offer", v4, 67, lab.E1.V4, 68),
            Shot("offer from the gateway", IPAddress.Parse(HostLab.GatewayV4), 67, lab.E1.V4, 68),
            Shot("reply", v6, 547, lab.E1.V6, 546));
        await lab.DropFromHostAsync(lab.E1, "tap-e1 to_default",
            Shot("other server port", v4, 5000, lab.E1.V4, 68), Shot("other client port", v4, 67, lab.E1.V4, 69),
            Shot("other server port, IPv6", v6, 5000, lab.E1.V6, 546),
            Shot("other client port, IPv6", v6, 547, lab.E1.V6, 547));
    }

    [Fact]
    public async Task The_host_offers_to_everybody_on_the_wire_of_a_guest_without_an_address()
    {
        await lab.ApplyAsync(Closed);
        using Socket server = lab.Lab.Network.Host.OpenSocket(
            AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Raw);
        server.SetRawSocketOption(SocketLevel, BindToDevice, Encoding.ASCII.GetBytes(lab.E1.HostDevice + "\0"));
        server.EnableBroadcast = true;
        Fate fate = await lab.Volley.SendAsync(
            packet => server.SendTo(packet, new IPEndPoint(IPAddress.Broadcast, 0)), lab.E1,
            [Shot("offer", IPAddress.Parse(HostLab.GatewayV4), 67, IPAddress.Broadcast, 68)],
            // The kernel gives the host a copy of its own broadcast, by the ingress of the device: no frame of a guest.
            name => !name.Contains(" spoof_", StringComparison.Ordinal));
        Assert.Empty(fate.Dropped);
        Assert.Equal(["offer"], fate.Arrived);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Answers_of_other_machines_pass_if_they_are_named_or_the_rules_say_so(bool v4)
    {
        await lab.ApplyAsync(Closed);
        (int server, int client) = v4 ? (67, 68) : (547, 546);
        (IPAddress named, IPAddress stranger, IPAddress own) = FarAway(v4);
        await lab.Volley.PassAsync(lab.Outsider, lab.E1, Shot("offer", named, server, own, client));
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_default",
            Shot("stranger", stranger, server, own, client),
            Shot("other server port", named, 5000, own, client),
            Shot("other client port", named, server, own, client + 1000));
        // Another guest is no server, whatever anybody says.
        await lab.Volley.DropAsync(lab.E2, lab.E1, "tap-e2 spoof_dhcp",
            Shot("guest", v4 ? lab.E2.V4 : lab.E2.V6, server, own, client));

        await AllowAsync($"in 1 accept udp {client}/{client} {AddressPlan.Host(stranger.ToString())}");
        await lab.Volley.PassAsync(lab.Outsider, lab.E1, Shot("by a rule", stranger, server, own, client));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_asks_a_server_far_away_if_it_is_named_or_the_rules_say_so(bool v4)
    {
        await lab.ApplyAsync(Closed);
        (int server, int client) = v4 ? (67, 68) : (547, 546);
        (IPAddress named, IPAddress stranger, IPAddress own) = FarAway(v4);
        await lab.Volley.PassAsync(lab.E1, lab.Outsider, Shot("renewal", own, client, named, server));
        await lab.Volley.PassAsync(lab.Outsider, lab.E1, Shot("answer", named, server, own, client));
        await lab.Volley.DropAsync(lab.E1, lab.Outsider, "tap-e1 from_default",
            Shot("a way out", own, client, stranger, server));

        await AllowAsync($"out 1 accept udp {server}/{server} {AddressPlan.Host(stranger.ToString())}");
        await lab.Volley.PassAsync(lab.E1, lab.Outsider, Shot("renewal by a rule", own, client, stranger, server));
        await lab.Volley.PassAsync(lab.Outsider, lab.E1, Shot("its answer", stranger, server, own, client));
    }

    private (IPAddress Named, IPAddress Stranger, IPAddress Own) FarAway(bool v4) => v4
        ? (IPAddress.Parse(HostLab.ServerV4), IPAddress.Parse(HostLab.StrangerV4), lab.E1.V4)
        : (IPAddress.Parse(HostLab.ServerV6), IPAddress.Parse(HostLab.StrangerV6), lab.E1.V6);

    private async Task AllowAsync(string rule)
    {
        lab.Forget();
        Snapshot state = Closed;
        state.Groups[0].Rules.Add(States.Isolating("x", rule).Rules);
        await lab.ApplyAsync(state);
    }

    private static Shot Shot(string name, IPAddress from, int source, IPAddress to, int destination) =>
        new(name, Packets.Udp(from, to, source, destination, Probe.Payload()));

    private static IPAddress LinkLocal(Guest guest) => new GuestIdentity(guest.Mac, guest.HostMac)
    {
        V4 = guest.V4,
        OtherV4 = guest.V4,
        V6 = guest.V6,
        OtherV6 = guest.V6,
    }.LinkLocal;

    private int InterfaceIndex(string device) => int.Parse(
        lab.Lab.Network.Host.Exec("cat", $"/sys/class/net/{device}/ifindex"), null);
}
