using System.Net;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Hosts;

/// <summary>The host's own services are closed to guests, but for those of the configuration.</summary>
public sealed class HostServiceTests(HostLab lab) : IClassFixture<HostLab>
{
    // A stack that was cut off for seconds tries again after seconds.
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(30));

    // Guests may send whatever they want, as far as their own rules go.
    private static Snapshot Open => SessionLab.CallsInto();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task By_default_a_guest_reaches_nothing_of_the_host(bool v4)
    {
        await lab.ServeAsync();
        await lab.ApplyAsync(Open);
        foreach (IPAddress host in Addresses(v4))
        {
            foreach (int port in (int[])[22, 53, 8080, 50051])
            {
                await lab.DropToHostAsync(lab.E1, "tap-e1 from_host", HostLab.Openers(Own(v4), host, port));
            }
        }

        if (v4)
        {
            await lab.DropToHostAsync(lab.E1, "tap-e1 from_host",
                new Shot("broadcast", Packets.Udp(Own(v4), IPAddress.Broadcast, 5000, 5000, Probe.Payload())));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_service_is_open_by_its_protocol_port_and_address_alone(bool v4)
    {
        await lab.ServeAsync(
            "tcp/8080", "udp/5353", v4 ? "icmp" : "icmpv6",
            $"tcp/8443@{HostLab.V4}", $"udp/8443@{HostLab.V4}", $"tcp/8443@{HostLab.V6}", $"udp/8443@{HostLab.V6}");
        await lab.ApplyAsync(Open);
        IPAddress[] hosts = Addresses(v4);
        foreach (IPAddress host in hosts)
        {
            await lab.PassToHostAsync(lab.E1,
                Of("TCP", host, 8080), Of("UDP", host, 5353), Of("echo", host, 1));
            await lab.DropToHostAsync(lab.E1, "tap-e1 from_host",
                Of("UDP", host, 8080), Of("TCP", host, 5353), Of("TCP", host, 8081), Of("UDP", host, 5352),
                Of("TCP", host, 22), Of("ESP", host, 0), Of("GRE", host, 0));
        }

        await lab.PassToHostAsync(lab.E1, Of("TCP", hosts[0], 8443), Of("UDP", hosts[0], 8443));
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_host", Of("TCP", hosts[1], 8443), Of("UDP", hosts[1], 8443));
        await AnswersAsync(hosts[0]);

        // The guest's own rules come first.
        Snapshot closed = Open;
        closed.Groups[0].Rules.Add(Scenarios.States.Isolating(
            "x", "out 1 drop all -1/-1 0.0.0.0/0", "out 1 drop all -1/-1 ::/0").Rules);
        await lab.ApplyAsync(closed);
        await lab.DropToHostAsync(lab.E1, "tap-e1 from_rule",
            Of("TCP", hosts[0], 8080), Of("UDP", hosts[0], 5353), Of("echo", hosts[0], 1));
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task A_service_that_is_taken_away_loses_its_live_sessions_whoever_speaks_first(bool v4, bool hostFirst)
    {
        await lab.ServeAsync("tcp/8080", "udp/5353", "tcp/9090");
        await lab.ApplyAsync(Open);
        IPAddress host = Addresses(v4)[0];
        using TcpStream cut = await SessionLab.ConnectAsync(lab.E1, lab.Self, v4, 8080);
        using TcpStream kept = await SessionLab.ConnectAsync(lab.E1, lab.Self, v4, 9090);
        using UdpConversation talk = UdpConversation.Open(lab.E1, Own(v4), lab.Self, new IPEndPoint(host, 5353));
        await BothWaysAsync(passes: true);

        await lab.ServeAsync("tcp/9090");
        await BothWaysAsync(passes: false);
        Assert.True(await kept.ServerSendsAsync(Probe.PassWait) && await kept.ClientSendsAsync(Probe.PassWait));
        await BothWaysAsync(passes: false);

        await lab.ServeAsync("tcp/8080", "udp/5353", "tcp/9090");
        await BothWaysAsync(passes: true);

        async Task BothWaysAsync(bool passes)
        {
            TimeSpan wait = passes ? Patience : Probe.DropWait;
            Func<Task<bool>>[] sends =
            [
                () => cut.ServerSendsAsync(wait), () => cut.ClientSendsAsync(wait),
                () => talk.ServerSendsAsync(wait), () => talk.ClientSendsAsync(wait),
            ];
            foreach (int i in hostFirst && !passes ? (int[])[0, 1, 2, 3] : [1, 0, 3, 2])
            {
                Assert.True(passes == await sends[i](), $"{(passes ? "lost" : "passed")}: {i}");
            }
        }
    }

    private async Task AnswersAsync(IPAddress host)
    {
        bool v4 = Packets.IsV4(host);
        Assert.True(await Probe.TcpConnectsAsync(
            new TcpRoute(lab.E1, new IPEndPoint(host, 8080), lab.Self), Probe.PassWait));
        Assert.True(await Probe.UdpExchangesAsync(
            lab.E1, Own(v4), lab.Self, new IPEndPoint(host, 5353), Probe.PassWait));
        Assert.True(await lab.Lab.Probe.EchoReturnsAsync(lab.E1, Own(v4), host, Probe.PassWait));
    }

    private Shot Of(string kind, IPAddress host, int port) =>
        HostLab.Openers(Own(Packets.IsV4(host)), host, port).Single(shot => shot.Name == kind);

    private IPAddress Own(bool v4) => v4 ? lab.E1.V4 : lab.E1.V6;

    /// <summary>One of its own, and one that it has as the guest's gateway.</summary>
    private static IPAddress[] Addresses(bool v4) => v4
        ? [IPAddress.Parse(HostLab.V4), IPAddress.Parse(HostLab.GatewayV4)]
        : [IPAddress.Parse(HostLab.V6), IPAddress.Parse("fe80::1")];
}
