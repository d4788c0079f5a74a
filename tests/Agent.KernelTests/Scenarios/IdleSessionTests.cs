using System.Diagnostics;
using System.Net;
using Agent.TestNet;
using Agent.V1;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Scenarios;

/// <summary>C18, E18 and E19: sessions that say nothing for a while. All of them are silent at the same time.</summary>
/// <remarks>
/// The shortest documented idle times stand for the defaults: 30 s for 910 s of TCP, 10 s for 30 s of UDP. That the
/// defaults themselves are 910 s and 30 s is a number in the ruleset, which the compiler's tests read.
/// </remarks>
public sealed class IdleSessionTests(ScenarioHost host) : IClassFixture<ScenarioHost>
{
    private const int ShortTcpSeconds = 30;
    private const int ShortUdpSeconds = 10;

    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(ShortTcpSeconds + 2);

    [Fact]
    public async Task An_idle_session_lasts_as_long_as_the_timeout_it_was_opened_with()
    {
        // e1: short times. e2: UDP 100 s (E18). e3: long times, shortened while the session is silent (E19).
        await host.ApplyAsync(State(Timeouts(ShortTcpSeconds, ShortUdpSeconds), Timeouts(910, 100), Timeouts(910, 30)));
        using IdleSessions v4 = await IdleSessions.OpenAsync(host, AddressPlan.V4);
        using IdleSessions v6 = await IdleSessions.OpenAsync(host, AddressPlan.V6);
        long silent = Stopwatch.GetTimestamp();
        await host.ApplyAsync(
            State(Timeouts(ShortTcpSeconds, ShortUdpSeconds), Timeouts(910, 100), Timeouts(ShortTcpSeconds, 30)));
        await Task.Delay(Silence - Stopwatch.GetElapsedTime(silent), TestContext.Current.CancellationToken);

        foreach (IdleSessions sessions in (IdleSessions[])[v4, v6])
        {
            Assert.False(await sessions.Ended.ServerSendsAsync(), "C18: the session is over, the server starts anew");
            Assert.False(await sessions.ShortUdp.ServerSendsAsync(), "E18: a late UDP reply");
            Assert.True(await sessions.LongUdp.ServerSendsAsync(Probe.PassWait), "E18: UdpTimeout 100");
            Assert.True(await sessions.Kept.ServerSendsAsync(Probe.PassWait), "E19: only new sessions are affected");
        }
    }

    private static Snapshot State(SessionTimeouts e1, SessionTimeouts e2, SessionTimeouts e3)
    {
        SecurityGroup group = Isolating(
            "sg-a",
            "in 1 accept all -1/-1 198.51.100.7/32",
            $"in 1 accept all -1/-1 {AddressPlan.V6.Seven}/128",
            "out 1 drop all -1/-1 0.0.0.0/0",
            "out 1 drop all -1/-1 ::/0");
        Snapshot state = Apply([group], Nic("e1", "sg-a"), Nic("e2", "sg-a"), Nic("e3", "sg-a")).State;
        state.Vnics[0].Timeouts = e1;
        state.Vnics[1].Timeouts = e2;
        state.Vnics[2].Timeouts = e3;
        return state;
    }

    private static SessionTimeouts Timeouts(uint tcp, uint udp) => new()
    {
        TcpEstablishedSeconds = tcp,
        UdpSeconds = udp,
    };

    private sealed class IdleSessions : IDisposable
    {
        public required TcpStream Ended { get; init; }

        public required TcpStream Kept { get; init; }

        public required UdpConversation ShortUdp { get; init; }

        public required UdpConversation LongUdp { get; init; }

        public static async Task<IdleSessions> OpenAsync(ScenarioHost host, AddressPlan plan)
        {
            IdleSessions sessions = new()
            {
                Ended = await ConnectAsync(host, plan, "e1", plan.E1),
                Kept = await ConnectAsync(host, plan, "e3", plan.E3),
                ShortUdp = Talk(host, plan, "e1", plan.E1),
                LongUdp = Talk(host, plan, "e2", plan.E2),
            };
            // One request, no reply: the first reply after the silence is what E18 asks about.
            Assert.True(await sessions.ShortUdp.ClientSendsAsync(Probe.PassWait));
            Assert.True(await sessions.LongUdp.ClientSendsAsync(Probe.PassWait));
            Assert.True(await sessions.Ended.ServerSendsAsync(Probe.PassWait));
            Assert.True(await sessions.Kept.ServerSendsAsync(Probe.PassWait));
            return sessions;
        }

        public void Dispose()
        {
            Ended.Dispose();
            Kept.Dispose();
            ShortUdp.Dispose();
            LongUdp.Dispose();
        }

        private static async Task<TcpStream> ConnectAsync(
            ScenarioHost host, AddressPlan plan, string server, string address)
        {
            TcpRoute route = new(
                host.Network.Outsider, new IPEndPoint(IPAddress.Parse(address), 22), host.Network.Guests[server])
            {
                Source = IPAddress.Parse(plan.Seven),
            };
            TcpStream? stream = await Probe.ConnectAsync(route, Probe.PassWait);
            Assert.NotNull(stream);
            return stream;
        }

        private static UdpConversation Talk(ScenarioHost host, AddressPlan plan, string server, string address) =>
            UdpConversation.Open(
                host.Network.Outsider,
                IPAddress.Parse(plan.Seven),
                host.Network.Guests[server],
                new IPEndPoint(IPAddress.Parse(address), 5300));
    }
}
