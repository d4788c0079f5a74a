using System.Net;
using Agent.TestNet;

namespace Agent.KernelTests.TestNet;

public sealed class BridgedNetworkTests : IDisposable
{
    private readonly TestNetwork network = TestNetwork.Create(
        new TestNetworkOptions { Topology = Topology.Bridged },
        new GuestSpec("web1", "tap-web1", "02:00:00:00:00:01", "10.0.0.5", "2001:db8:1::5"),
        new GuestSpec("db1", "tap-db1", "02:00:00:00:00:02", "10.0.0.9", "2001:db8:1::9"));

    [Fact]
    public async Task Guests_meet_on_the_segment_and_a_bridge_rule_parts_them()
    {
        Guest web = network.Guests["web1"];
        Guest db = network.Guests["db1"];
        Probe probe = new(network);
        Assert.True(await probe.EchoReturnsAsync(web, web.V4, db.V4, Probe.PassWait));
        Assert.True(await Probe.TcpConnectsAsync(new TcpRoute(web, new IPEndPoint(db.V6, 80), db), Probe.PassWait));

        network.Host.Nft(
            "table bridge wall {\n chain f {\n type filter hook forward priority 0\n oifname tap-db1 drop\n }\n}\n");
        Assert.False(await probe.EchoReturnsAsync(web, web.V4, db.V4));
        Assert.False(await Probe.TcpConnectsAsync(new TcpRoute(web, new IPEndPoint(db.V6, 80), db)));
        Assert.True(await probe.EchoReturnsAsync(web, web.V6, IPAddress.Parse("2001:db8:ffff::7"), Probe.PassWait));
    }

    [Fact]
    public async Task The_outsider_is_the_router_of_the_segment()
    {
        Guest web = network.Guests["web1"];
        TcpRoute inward = new(network.Outsider, new IPEndPoint(web.V4, 22), web);
        Assert.True(await Probe.TcpConnectsAsync(
            inward with { Source = IPAddress.Parse("198.51.100.7") }, Probe.PassWait));
        TcpRoute outward = new(web, new IPEndPoint(IPAddress.Parse("8.8.8.8"), 443), network.Outsider);
        Assert.True(await Probe.TcpConnectsAsync(outward, Probe.PassWait));
    }

    [Fact]
    public async Task Any_frame_can_be_sent()
    {
        Guest web = network.Guests["web1"];
        Guest db = network.Guests["db1"];
        byte[] broadcast = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        byte[] body = Packets.Arp(1, web.Mac, IPAddress.Parse("10.0.0.66"), new byte[6], db.V4);
        byte[] frame = Packets.Frame(broadcast, web.Mac, Packets.EtherTypeArp, body);
        Assert.True(await Probe.FrameArrivesAsync(web, frame, db, f => f.AsSpan().StartsWith(frame), Probe.PassWait));
    }

    public void Dispose() => network.Dispose();
}
