using System.Diagnostics;
using System.Net;
using Agent.TestNet;

namespace Agent.KernelTests.TestNet;

public sealed class FloodTests : IDisposable
{
    private const string Wall = "table inet wall {\n chain f {\n type filter hook forward priority 0\n"
        + " oifname tap-db1 drop\n iifname tap-db1 drop\n }\n}\n";

    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(10));

    private readonly TestNetwork network = TestNetwork.Create(
        new TestNetworkOptions(),
        new GuestSpec("web1", "tap-web1", "02:00:00:00:00:01", "10.0.0.5", "2001:db8:1::5"),
        new GuestSpec("db1", "tap-db1", "02:00:00:00:00:02", "10.0.0.9", "2001:db8:1::9"));

    [Fact]
    public async Task Datagrams_are_accounted_for_one_by_one()
    {
        Guest web = network.Guests["web1"];
        Guest db = network.Guests["db1"];
        UdpPath path = new(web, new IPEndPoint(web.V4, 6000), db, new IPEndPoint(db.V4, 6001));
        using Flood flood = Flood.StartUdp(path, 2000);
        await UntilAsync(() => flood.Forward.Received > 200 && flood.Backward.Received > 200);
        network.Host.Nft(Wall);
        long walled = Stopwatch.GetTimestamp();
        long sentBefore = flood.Forward.Sent;
        await UntilAsync(() => flood.Forward.Sent > sentBefore + 200);
        long opening = Stopwatch.GetTimestamp();
        network.Host.Nft("delete table inet wall");
        long last = flood.Forward.LastSequence;
        await UntilAsync(() => flood.Forward.LastSequence > last + 200);
        await flood.StopAsync();

        Assert.Empty(flood.Forward.SentBetween(walled, opening));
        Assert.Empty(flood.Backward.SentBetween(walled, opening));
        Assert.NotEmpty(flood.Forward.SentAfter(opening));
        Assert.InRange(flood.Forward.Missing().Length, 200, flood.Forward.Sent);
        Assert.Equal(flood.Forward.Sent, flood.Forward.Received + flood.Forward.Missing().Length);
        Assert.Equal(0, flood.Forward.FirstSequence);
    }

    [Fact]
    public async Task A_flood_that_nobody_stops_loses_nothing()
    {
        Guest web = network.Guests["web1"];
        Guest db = network.Guests["db1"];
        UdpPath path = new(web, new IPEndPoint(web.V6, 6000), db, new IPEndPoint(db.V6, 6001));
        using TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(web, new IPEndPoint(db.V4, 22), db), Probe.PassWait);
        Assert.NotNull(stream);
        using Flood datagrams = Flood.StartUdp(path, 3000);
        using Flood records = Flood.StartTcp(stream, 1000);
        await UntilAsync(() => datagrams.Backward.Received > 1000 && records.Backward.Received > 300);
        await datagrams.StopAsync();
        await records.StopAsync();
        Assert.All(
            (FloodStream[])[datagrams.Forward, datagrams.Backward, records.Forward, records.Backward],
            s => Assert.Empty(s.Missing()));

        // A slow machine acknowledges later than TCP waits, which then sends again what was not lost.
        Assert.True(stream.Retransmits == 0 || Pace.Slowdown > 1);
    }

    public void Dispose() => network.Dispose();

    private static async Task UntilAsync(Func<bool> happened)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (!happened())
        {
            Assert.True(waited.Elapsed < Patience, $"it did not happen in {Patience}");
            await Task.Delay(5);
        }
    }
}
