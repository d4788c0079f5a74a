using System.Net;
using Agent.TestNet;

namespace Agent.Soak.Driving;

/// <summary>
/// Sessions of guests: some live as long as the run does, new ones come all the time, some are forbidden.
/// </summary>
internal sealed class GuestTraffic(TestNetwork network, Tally tally)
{
    private const int FirstForbidden = 2000;
    private const int LastForbidden = 2999;

    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan NewInterval = TimeSpan.FromMilliseconds(150);
    private static readonly TimeSpan ForbiddenInterval = TimeSpan.FromMilliseconds(250);

    private readonly Probe probe = new(network);
    private int ports;

    public Task RunAsync(CancellationToken cancel) => Task.WhenAll(
        LiveUdpAsync("g1", "g4", 1900, v6: false, cancel),
        LiveUdpAsync("g3", "g2", 1901, v6: true, cancel),
        LiveTcpAsync("g1", "g2", 1902, v6: false, cancel),
        LiveTcpAsync("g3", "g4", 1903, v6: true, cancel),
        OpenNewAsync(cancel),
        TryForbiddenAsync(cancel));

    /// <summary>One datagram that nobody asked for.</summary>
    public Task<bool> DatagramArrivesAsync(
        NetworkEndpoint from, NetworkEndpoint to, int port, bool v6, TimeSpan? wait = null) => probe.UdpArrivesAsync(
        from, new IPEndPoint(Of(from, v6), PortNumbers.Next()), to, new IPEndPoint(Of(to, v6), port), wait);

    private async Task LiveUdpAsync(string client, string server, int port, bool v6, CancellationToken cancel)
    {
        Guest from = network.Guests[client];
        Guest to = network.Guests[server];
        using UdpConversation talk = UdpConversation.Open(from, Of(from, v6), to, new IPEndPoint(Of(to, v6), port));
        await BeatAsync("beat of a living UDP session", client, server, talk.ClientSendsAsync, talk.ServerSendsAsync,
            cancel);
    }

    private async Task LiveTcpAsync(string client, string server, int port, bool v6, CancellationToken cancel)
    {
        Guest from = network.Guests[client];
        Guest to = network.Guests[server];
        using TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(from, new IPEndPoint(Of(to, v6), port), to), Probe.PassWait);
        if (stream is null)
        {
            tally.Fault($"lost although allowed: the living TCP session {client} -> {server}");
            return;
        }

        await BeatAsync("beat of a living TCP session", client, server, stream.ClientSendsAsync,
            stream.ServerSendsAsync, cancel);
    }

    private async Task BeatAsync(
        string what, string client, string server, Func<TimeSpan?, Task<bool>> request,
        Func<TimeSpan?, Task<bool>> reply, CancellationToken cancel)
    {
        await EveryAsync(Beat, async () =>
        {
            tally.Allowed($"{what} {client} -> {server}", await request(Probe.PassWait));
            tally.Allowed($"{what} {server} -> {client}", await reply(Probe.PassWait));
        }, cancel);
    }

    private Task OpenNewAsync(CancellationToken cancel) => EveryAsync(NewInterval, async () =>
    {
        string client = Random.Shared.Next(2) == 0 ? "g1" : "g3";
        string server = Random.Shared.Next(2) == 0 ? "g2" : "g4";
        bool v6 = Random.Shared.Next(2) == 0;
        Guest from = network.Guests[client];
        Guest to = network.Guests[server];
        if (Random.Shared.Next(2) == 0)
        {
            var target = new IPEndPoint(Of(to, v6), SoakPolicy.FirstPort + Random.Shared.Next(10));
            tally.Allowed($"new TCP session {client} -> {server}",
                await Probe.TcpConnectsAsync(new TcpRoute(from, target, to), Probe.PassWait));
        }
        else
        {
            var target = new IPEndPoint(Of(to, v6), SoakPolicy.FirstPort + 100 + ports++ % 700);
            tally.Allowed($"new UDP session {client} -> {server}",
                await Probe.UdpExchangesAsync(from, Of(from, v6), to, target, Probe.PassWait));
        }
    }, cancel);

    private Task TryForbiddenAsync(CancellationToken cancel) => EveryAsync(ForbiddenInterval, async () =>
    {
        (string Name, NetworkEndpoint End) outside = ("outside", network.Outsider);
        (string Name, NetworkEndpoint End) from = Pick("g1", "g2", "g3", "g4", "");
        (string Name, NetworkEndpoint End) to = Pick("g1", "g2", "g3", "g4");
        if (from.Name == to.Name)
        {
            from = outside;
        }

        bool v6 = Random.Shared.Next(2) == 0;
        int port = Random.Shared.Next(FirstForbidden, LastForbidden + 1);
        if (Random.Shared.Next(3) > 0)
        {
            tally.Forbidden($"UDP packet {from.Name} -> {to.Name}:{port}",
                await DatagramArrivesAsync(from.End, to.End, port, v6));
        }
        else
        {
            var target = new IPEndPoint(Of(to.End, v6), FirstForbidden + Random.Shared.Next(5));
            tally.Forbidden($"TCP session {from.Name} -> {to.Name}",
                await Probe.TcpConnectsAsync(new TcpRoute(from.End, target, to.End)));
        }

        (string, NetworkEndpoint) Pick(params string[] names) =>
            names[Random.Shared.Next(names.Length)] is { Length: > 0 } name ? (name, network.Guests[name]) : outside;
    }, cancel);

    private static async Task EveryAsync(TimeSpan interval, Func<Task> act, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            do
            {
                await act();
            }
            while (await timer.WaitForNextTickAsync(cancel));
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
        }
    }

    private static IPAddress Of(NetworkEndpoint end, bool v6) => v6 ? end.V6 : end.V4;
}
