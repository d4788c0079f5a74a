using System.Net;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Upgrade;

/// <summary>
/// What <see cref="DaemonLab.OneWayIn"/> allows, as sessions that live, and what it does not, all the time.
/// </summary>
internal sealed class RunningTraffic : IDisposable
{
    /// <summary>Packets a second of each flood.</summary>
    public const int Rate = 500;

    private readonly Flood allowed;
    private readonly Flood denied;
    private readonly TcpStream session;

    private RunningTraffic(TestNetwork network, TcpStream session)
    {
        Guest e2 = network.Guests["e2"];
        this.session = session;
        allowed = DaemonLab.StartFlood(network.Guests["e1"], e2, Rate, FloodDirections.Both);
        denied = DaemonLab.StartFlood(network.Guests["e3"], e2, Rate, FloodDirections.Forward);
    }

    public static Task<RunningTraffic> StartAsync(DaemonLab lab) => StartAsync(lab.Network);

    public static async Task<RunningTraffic> StartAsync(TestNetwork network)
    {
        Guest e2 = network.Guests["e2"];
        TcpStream? session = await Probe.ConnectAsync(
            new TcpRoute(network.Guests["e1"], new IPEndPoint(e2.V4, 22), e2), Probe.PassWait);
        Assert.NotNull(session);
        var traffic = new RunningTraffic(network, session);
        await DaemonLab.UntilAsync("a running flood", () => traffic.allowed.Backward.Received > 100);
        return traffic;
    }

    /// <summary>Some more of it, and new sessions of both kinds.</summary>
    public async Task GoesOnAsync(DaemonLab lab)
    {
        long sent = allowed.Forward.Sent;
        Assert.True(await session.ClientSendsAsync(Probe.PassWait) && await session.ServerSendsAsync(Probe.PassWait));
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E2, expected: true));
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        await DaemonLab.UntilAsync("more of the flood", () => allowed.Forward.Sent > sent + 100);
    }

    /// <summary>Ends it: nothing was lost, nothing let through.</summary>
    /// <param name="mayLose">Packets of each direction that may be lost after all.</param>
    public async Task AssertWholeAsync(int mayLose = 0)
    {
        await allowed.StopAsync();
        await denied.StopAsync();
        Assert.Equal([], allowed.Forward.Missing().Skip(mayLose));
        Assert.Equal([], allowed.Backward.Missing().Skip(mayLose));
        Assert.Equal(0, denied.Forward.Received);
        Assert.True(denied.Forward.Sent > 100);
    }

    public void Dispose()
    {
        allowed.Dispose();
        denied.Dispose();
        session.Dispose();
    }
}
