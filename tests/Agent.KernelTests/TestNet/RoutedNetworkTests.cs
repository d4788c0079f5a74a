using System.Net;
using Agent.TestNet;

namespace Agent.KernelTests.TestNet;

/// <summary>
/// The yardstick is measured first: each probe sees what passes, and sees that a dropped packet does not.
/// </summary>
public sealed class RoutedNetworkTests : IDisposable
{
    private readonly TestNetwork network = TestNetwork.Create(
        new TestNetworkOptions(),
        new GuestSpec("web1", "tap-web1", "02:00:00:00:00:01", "10.0.0.5", "10.0.0.6", "2001:db8:1::5", "2001:db8:1::6")
        {
            DelegatedPrefixes = ["10.0.3.0/28", "2001:db8:1:3::/80"],
        },
        new GuestSpec("db1", "tap-db1", "02:00:00:00:00:02", "10.0.0.9", "2001:db8:1::9"));

    private readonly Probe probe;
    private readonly Guest web;
    private readonly Guest db;

    public RoutedNetworkTests()
    {
        probe = new Probe(network);
        web = network.Guests["web1"];
        db = network.Guests["db1"];
    }

    public static TheoryData<string> Kinds =>
    [
        "tcp", "udp", "udp exchange", "echo", "gre", "esp", "mid-stream", "fragments", "forged source",
    ];

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Every_probe_sees_a_packet_pass_and_sees_it_dropped(string kind)
    {
        Assert.True(await Ask(kind, db.V4, Probe.PassWait), "IPv4 before the drop");
        Assert.True(await Ask(kind, db.V6, Probe.PassWait), "IPv6 before the drop");

        Drop("oifname tap-db1 drop");
        Assert.False(await Ask(kind, db.V4, Probe.DropWait), "IPv4 with the drop");
        Assert.False(await Ask(kind, db.V6, Probe.DropWait), "IPv6 with the drop");
    }

    [Fact]
    public async Task The_outsider_reaches_guests_from_any_address_and_is_reached_at_any()
    {
        NetworkEndpoint outside = network.Outsider;
        IPAddress anyone = IPAddress.Parse("192.0.2.200");
        Task<bool>[] asked =
        [
            Probe.TcpConnectsAsync(
                new TcpRoute(outside, new IPEndPoint(web.V4, 22), web) { Source = IPAddress.Parse("203.0.113.9") },
                Probe.PassWait),
            Probe.TcpConnectsAsync(
                new TcpRoute(outside, new IPEndPoint(web.V6, 22), web) { Source = IPAddress.Parse("2001:db8:ffff::9") },
                Probe.PassWait),
            Probe.TcpConnectsAsync(
                new TcpRoute(web, new IPEndPoint(IPAddress.Parse("8.8.8.8"), 443), outside), Probe.PassWait),
            probe.UdpArrivesAsync(
                outside, new IPEndPoint(anyone, 53), web, new IPEndPoint(web.V4, 53), Probe.PassWait),
            probe.UdpArrivesAsync(
                web, new IPEndPoint(web.V4, 53), outside, new IPEndPoint(anyone, 53), Probe.PassWait),
            probe.EchoReturnsAsync(web, web.V4, IPAddress.Parse("198.51.100.7"), Probe.PassWait),
            probe.EchoReturnsAsync(web, web.V6, IPAddress.Parse("2001:db8:ffff::7"), Probe.PassWait),
        ];
        Assert.All(await Task.WhenAll(asked), Assert.True);
    }

    [Fact]
    public async Task Source_ports_and_secondary_addresses_and_delegated_prefixes_are_carried()
    {
        Drop("oifname tap-db1 th sport != { 1234, 4321 } drop", "oifname tap-db1 ip saddr 10.0.0.5 drop");
        TcpRoute route = new(web, new IPEndPoint(db.V4, 80), db) { Source = IPAddress.Parse("10.0.0.6") };
        Assert.True(await Probe.TcpConnectsAsync(route with { SourcePort = 1234 }, Probe.PassWait));
        Assert.False(await Probe.TcpConnectsAsync(route with { SourcePort = 1235 }));
        IPEndPoint delegated = new(IPAddress.Parse("10.0.3.3"), 4321);
        Assert.True(await probe.UdpArrivesAsync(web, delegated, db, new IPEndPoint(db.V4, 9), Probe.PassWait));
        Assert.True(await probe.UdpArrivesAsync(db, new IPEndPoint(db.V4, 9), web, delegated, Probe.PassWait));
    }

    [Fact]
    public async Task A_stream_carries_both_ways_until_it_is_cut_and_again_when_it_is_not()
    {
        using TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(web, new IPEndPoint(db.V6, 22), db), Probe.PassWait);
        Assert.NotNull(stream);
        Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        Assert.True(stream.Retransmits == 0 || Pace.Slowdown > 1);

        Drop("oifname tap-db1 drop", "iifname tap-db1 drop");
        Assert.False(await stream.ClientSendsAsync());
        Assert.False(await stream.ServerSendsAsync());

        network.Host.Nft("delete table inet wall");
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
        Assert.True(stream.Retransmits > 0);
    }

    [Theory]
    [InlineData("198.51.100.1", "198.51.100.7")]
    [InlineData("2001:db8:ffff::1", "2001:db8:ffff::7")]
    public async Task A_router_complains_about_a_live_flow(string routerAddress, string peer)
    {
        // Only what conntrack ties to a session may pass: the quoted packet must be of a real one.
        Drop("ct state invalid drop", "ct state new iifname uplink0 drop");
        IPAddress router = IPAddress.Parse(routerAddress);
        IPEndPoint target = new(IPAddress.Parse(peer), 5000);
        IPEndPoint own = new(target.AddressFamily == web.V4.AddressFamily ? web.V4 : web.V6, 5001);
        byte[] live = Packets.Udp(own.Address, target.Address, own.Port, target.Port, Probe.Payload());
        byte[] dead = Packets.Udp(own.Address, target.Address, own.Port + 1, target.Port, Probe.Payload());
        Assert.True(await probe.PacketArrivesAsync(web, live, network.Outsider, Probe.PassWait));

        byte[] complaint = Packets.TooBig(router, own.Address, live, 1400);
        Assert.True(await probe.PacketArrivesAsync(network.Outsider, complaint, web, Probe.PassWait));
        byte[] forged = Packets.TooBig(router, own.Address, dead, 1400);
        Assert.False(await probe.PacketArrivesAsync(network.Outsider, forged, web));
    }

    [Fact]
    public async Task A_missing_fragment_is_missed()
    {
        IPEndPoint source = new(web.V4, 700);
        IPEndPoint target = new(db.V4, 701);
        Assert.False(await probe.FragmentsArriveAsync(web, source, db, target, choose: f => f[1..]));
        Assert.True(await probe.FragmentsArriveAsync(web, source, db, target, Probe.PassWait, f => f.Reverse()));
    }

    [Fact]
    public async Task An_eip_hides_the_private_address()
    {
        network.MapEip(web.V4, IPAddress.Parse("203.0.113.51"));
        network.MapEip(db.V4, IPAddress.Parse("203.0.113.52"));
        IPEndPoint publicSide = new(IPAddress.Parse("203.0.113.52"), 80);
        Drop("oifname tap-db1 ip saddr 10.0.0.0/8 drop");
        Assert.True(await Probe.TcpConnectsAsync(new TcpRoute(web, publicSide, db), Probe.PassWait));
        Assert.False(await Probe.TcpConnectsAsync(new TcpRoute(web, new IPEndPoint(db.V4, 80), db)));

        Drop("oifname tap-db1 ip daddr 10.0.0.9 ip saddr 198.51.100.7 drop");
        TcpRoute fromOutside = new(network.Outsider, publicSide, db);
        Assert.False(await Probe.TcpConnectsAsync(fromOutside with { Source = IPAddress.Parse("198.51.100.7") }));
        Assert.True(await Probe.TcpConnectsAsync(
            fromOutside with { Source = IPAddress.Parse("203.0.113.9") }, Probe.PassWait));
    }

    [Fact]
    public async Task Guests_come_and_go_and_come_back()
    {
        network.Unplug(web);
        network.Plug(web);
        Assert.True(await probe.EchoReturnsAsync(db, db.V4, web.V4, Probe.PassWait));

        Guest late = network.AddGuest(
            new GuestSpec("late", "tap-late", "02:00:00:00:00:03", "10.0.0.77", "2001:db8:1::77"));
        Assert.True(await probe.EchoReturnsAsync(db, db.V6, late.V6, Probe.PassWait));
        network.RemoveGuest("late");
        Assert.False(await probe.EchoReturnsAsync(db, db.V6, late.V6));
    }

    [Fact]
    public async Task Forgetting_sessions_makes_traffic_new()
    {
        Drop("ct state established accept", "oifname tap-web1 drop");
        using UdpConversation talk = UdpConversation.Open(web, web.V4, db, new IPEndPoint(db.V4, 7000));
        Assert.True(await talk.ClientSendsAsync(Probe.PassWait));
        Assert.True(await talk.ServerSendsAsync(Probe.PassWait));
        Assert.True(SessionTable.Count(network.Host) > 0);
        SessionTable.Flush(network.Host);
        Assert.False(await talk.ServerSendsAsync());
    }

    public void Dispose() => network.Dispose();

    private Task<bool> Ask(string kind, IPAddress to, TimeSpan wait)
    {
        IPAddress from = to.Equals(db.V4) ? web.V4 : web.V6;
        IPAddress forged = IPAddress.Parse(to.Equals(db.V4) ? "192.0.2.66" : "2001:db8:bad::66");
        IPEndPoint source = new(from, PortNumbers.Next());
        IPEndPoint target = new(to, 8080);
        return kind switch
        {
            "tcp" => Probe.TcpConnectsAsync(new TcpRoute(web, target, db), wait),
            "udp" => probe.UdpArrivesAsync(web, source, db, target, wait),
            "udp exchange" => Probe.UdpExchangesAsync(web, from, db, target, wait),
            "echo" => probe.EchoReturnsAsync(web, from, to, wait),
            "gre" => probe.ProtocolArrivesAsync(web, from, db, to, 47, wait),
            "esp" => probe.ProtocolArrivesAsync(web, from, db, to, 50, wait),
            "mid-stream" => probe.MidStreamArrivesAsync(web, source, db, target, wait),
            "fragments" => probe.FragmentsArriveAsync(web, source, db, target, wait),
            "forged source" => probe.UdpArrivesAsync(web, new IPEndPoint(forged, 53), db, target, wait),
            _ => throw new ArgumentOutOfRangeException(nameof(kind)),
        };
    }

    private void Drop(params string[] rules) => network.Host.Nft(
        "table inet wall\ndelete table inet wall\ntable inet wall {\n  chain forward {\n"
        + "    type filter hook forward priority 0; policy accept;\n"
        + string.Concat(rules.Select(r => $"    {r}\n"))
        + "  }\n}\n");
}
