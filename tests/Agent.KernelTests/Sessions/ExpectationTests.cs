using System.Net;
using Agent.KernelTests.Scenarios;
using Agent.Nftables;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// A conntrack helper of somebody else announces sessions: e2, once called by e1, may call back. To the agent what
/// comes then is a new session like any other.
/// </summary>
public sealed class ExpectationTests(SessionLab lab) : IClassFixture<SessionLab>
{
    private const int Port = 7777;
    private const string Foreign = "announcer";

    // e2 calls whom it wants; e1 takes nothing.
    private static Snapshot Closed =>
        SessionLab.CallsInto("in 1 accept tcp 22/22 0.0.0.0/0", "in 1 accept tcp 22/22 ::/0");

    private static Snapshot Opened(string protocol) => With(
        $"in 1 accept {protocol} {Port}/{Port} 10.0.0.5/32", $"in 1 accept {protocol} {Port}/{Port} 2001:db8:1::5/128");

    [Theory]
    [InlineData("udp", true)]
    [InlineData("udp", false)]
    [InlineData("tcp", true)]
    [InlineData("tcp", false)]
    public async Task An_announced_session_opens_nothing_that_the_rules_do_not(string protocol, bool v4)
    {
        await lab.ApplyAsync(Closed);
        using Announcer announcer = new(lab.Lab.Network.Host, protocol);
        using TcpStream call = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        await lab.Volley.DropAsync(lab.E2, lab.E1, "tap-e1 to_default", First(protocol, v4));
        Assert.Equal(1, announcer.Expected());
        // Nobody expects a second one, and nobody remembers the first.
        await lab.Volley.DropAsync(lab.E2, lab.E1, "tap-e1 to_default", First(protocol, v4));
        Assert.Equal(1, announcer.Expected());
        Assert.True(await call.ServerSendsAsync(Probe.PassWait) && await call.ClientSendsAsync(Probe.PassWait));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_announced_session_begins_with_a_bare_SYN(bool v4)
    {
        await lab.ApplyAsync(Opened("tcp"));
        using Announcer announcer = new(lab.Lab.Network.Host, "tcp");
        using TcpStream call = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        (IPAddress from, IPAddress to) = v4 ? (lab.E2.V4, lab.E1.V4) : (lab.E2.V6, lab.E1.V6);
        byte[] middle = Packets.Tcp(
            new IPEndPoint(from, PortNumbers.Next()), new IPEndPoint(to, Port), TcpFlags.Ack, 1, 1, Probe.Payload());
        await lab.Volley.DropAsync(lab.E2, lab.E1, "tap-e2 from_notsyn", new Shot("ACK", middle));
        Assert.Equal(1, announcer.Expected());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_announced_session_that_is_allowed_lives_and_is_cut_like_any_other(bool v4)
    {
        await lab.ApplyAsync(Opened("udp"));
        using Announcer announcer = new(lab.Lab.Network.Host, "udp");
        using TcpStream call = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        (IPAddress from, IPAddress to) = v4 ? (lab.E2.V4, lab.E1.V4) : (lab.E2.V6, lab.E1.V6);
        using UdpConversation back = UdpConversation.Open(lab.E2, from, lab.E1, new IPEndPoint(to, Port));
        Assert.True(await back.ClientSendsAsync(Probe.PassWait));
        Assert.Equal(1, announcer.Expected());
        Assert.True(await back.ServerSendsAsync(Probe.PassWait) && await back.ClientSendsAsync(Probe.PassWait));

        // The call that announced it goes on; that helps it no more than its announcement did.
        await lab.ApplyAsync(Closed);
        Assert.False(await back.ServerSendsAsync());
        Assert.False(await back.ClientSendsAsync());
        Assert.True(await call.ServerSendsAsync(Probe.PassWait) && await call.ClientSendsAsync(Probe.PassWait));
        Assert.False(await back.ServerSendsAsync());
        await lab.ApplyAsync(Opened("udp"));
        Assert.True(await back.ServerSendsAsync(Probe.PassWait) && await back.ClientSendsAsync(Probe.PassWait));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_announced_session_has_the_limit_and_the_idle_time_of_any_other(bool v4)
    {
        lab.Forget();
        Snapshot state = Opened("udp");
        state.Vnics[0].Timeouts = new SessionTimeouts { UdpSeconds = 100 };
        await lab.ApplyAsync(state);
        using Announcer announcer = new(lab.Lab.Network.Host, "udp");
        using (TcpStream call = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4))
        {
            await lab.Volley.PassAsync(lab.E2, lab.E1, First("udp", v4));
        }

        Assert.Equal(1, announcer.Expected());
        ConntrackEntry entry = Conntrack.List(lab.Lab.Network.Host).Single(one => one.DestinationPort == Port);
        Assert.InRange(entry.Seconds, 60u, 100u);

        lab.Forget();
        state.Vnics[0].MaxSessions = 1;
        await lab.ApplyAsync(state);
        using TcpStream only = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        await lab.Volley.DropAsync(lab.E2, lab.E1, "tap-e1 to_limit", First("udp", v4));
        Assert.Equal(2, announcer.Expected());
    }

    private Shot First(string protocol, bool v4)
    {
        IPEndPoint from = new(v4 ? lab.E2.V4 : lab.E2.V6, PortNumbers.Next());
        IPEndPoint to = new(v4 ? lab.E1.V4 : lab.E1.V6, Port);
        return new Shot("first", protocol == "tcp"
            ? Packets.Tcp(from, to, TcpFlags.Syn, 1, 0, [])
            : Packets.Udp(from.Address, to.Address, from.Port, to.Port, Probe.Payload()));
    }

    private static Snapshot With(params string[] rulesOfE1)
    {
        Snapshot state = Closed;
        state.Groups[0].Rules.Add(States.Isolating("x", rulesOfE1).Rules);
        return state;
    }

    /// <summary>
    /// A table that expects one call back, from the called to the caller, for each TCP session to port 22.
    /// </summary>
    private sealed class Announcer : IDisposable
    {
        private readonly NetNamespace host;
        private readonly NftConnection kernel;

        public Announcer(NetNamespace host, string protocol)
        {
            this.host = host;
            kernel = host.Run(() => new NftConnection());
            host.Nft($$"""
                table inet {{Foreign}} {
                  counter expected { }
                  ct expectation four { protocol {{protocol}}; dport {{Port}}; timeout 1m; size 1; l3proto ip; }
                  ct expectation six { protocol {{protocol}}; dport {{Port}}; timeout 1m; size 1; l3proto ip6; }
                  chain before {
                    type filter hook forward priority -10
                    meta l4proto {{protocol}} th dport {{Port}} ct state related counter name expected
                  }
                  chain behind {
                    type filter hook forward priority 10
                    meta nfproto ipv4 tcp dport 22 ct state new ct expectation set "four"
                    meta nfproto ipv6 tcp dport 22 ct state new ct expectation set "six"
                  }
                }

                """);
        }

        /// <summary>Packets that conntrack called related by an announcement.</summary>
        public int Expected() => (int)kernel.ReadCounters(NftFamily.Inet, Foreign).Objects["expected"].Packets;

        public void Dispose()
        {
            kernel.Dispose();
            host.Nft($"delete table inet {Foreign}\n");
        }
    }
}
