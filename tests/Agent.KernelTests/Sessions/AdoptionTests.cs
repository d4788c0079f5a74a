using System.Net;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// The agent comes to a host where guests run: TCP sessions that are older than it may go on for a while, if the rules
/// let them.
/// </summary>
public sealed class AdoptionTests
{
    /// <summary>Longer than any test.</summary>
    private const int Long = 3600;

    private const int Allowed = 22;
    private const int Denied = 23;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Within_the_window_an_old_stream_goes_on_if_the_rules_let_it(bool v4)
    {
        using OldStreams old = new(v4);
        await using DaemonLab lab = await StartAsync(Long, old.Open);
        using CountedDrops drops = new(lab.Network.Host);
        await lab.ApplyAsync(State());

        Assert.True(await old.Allowed.ClientSendsAsync(Probe.PassWait));
        Assert.True(await old.Allowed.ServerSendsAsync(Probe.PassWait));
        Assert.False(await old.Denied.ClientSendsAsync());
        // Nobody can tell who called whom: whoever speaks first is judged as the caller.
        Assert.False(await old.Outgoing.ServerSendsAsync());
        Assert.True(await old.Outgoing.ClientSendsAsync(Probe.PassWait));
        Assert.True(await old.Outgoing.ServerSendsAsync(Probe.PassWait));
        Assert.Equal(["tap-e1 to_default"], drops.Read().Keys);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_window_is_for_the_middle_of_TCP_sessions_and_nothing_else(bool v4)
    {
        await using DaemonLab lab = await StartAsync(Long, network => network.Unplug(network.Guests["e3"]));
        using CountedDrops drops = new(lab.Network.Host);
        Volley volley = new(lab.Network, drops);
        await lab.ApplyAsync(State());
        (NetworkEndpoint world, Guest e1) = (lab.Network.Outsider, lab.E1);
        IPEndPoint from = new(v4 ? world.V4 : world.V6, PortNumbers.Next());
        IPEndPoint to = new(v4 ? e1.V4 : e1.V6, Allowed);
        IPEndPoint denied = new(to.Address, Denied);
        byte[] echo = Packets.Echo(from.Address, to.Address, 7, 1, Probe.Payload(), reply: true);
        await volley.DropAsync(world, e1, "tap-e1 to_invalid",
            new("null", Packets.Tcp(from, to, TcpFlags.None, 1, 1, [])),
            new("FIN", Packets.Tcp(from, to, TcpFlags.Fin, 1, 1, [])),
            new("RST", Packets.Tcp(from, to, TcpFlags.Reset, 1, 1, [])),
            new("SYN ACK", Packets.Tcp(from, to, TcpFlags.Syn | TcpFlags.Ack, 1, 1, [])),
            new("echo reply", echo));
        await volley.DropAsync(world, e1, "tap-e1 to_default",
            new("SYN", Packets.Tcp(from, denied, TcpFlags.Syn, 1, 0, [])),
            new("ACK", Packets.Tcp(from, denied, TcpFlags.Ack, 1, 1, Probe.Payload())),
            new("UDP", Packets.Udp(from.Address, to.Address, from.Port, Allowed, Probe.Payload())));
        // The policy named e3 before its device came: its guest cannot have had sessions.
        lab.Network.Plug(lab.E3);
        await DaemonLab.UntilAsync(
            "e3 enforced", async () => (await lab.VnicAsync("tap-e3")).State == VnicState.Enforced);
        await volley.DropAsync(world, lab.E3, "tap-e3 to_notsyn", MidStream(world, lab.E3, v4));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task After_the_window_adopted_streams_go_on_and_unknown_ones_are_refused(bool v4)
    {
        using OldStreams old = new(v4);
        await using DaemonLab lab = await StartAsync(Pace.Slowdown * 5, old.Open);
        using CountedDrops drops = new(lab.Network.Host);
        await lab.ApplyAsync(State());
        Assert.True(await old.Allowed.ClientSendsAsync(Probe.PassWait));
        Assert.True(await old.Allowed.ServerSendsAsync(Probe.PassWait));
        await DaemonLab.UntilAsync(
            "the end of the window", () => !Adopting(lab).Contains("tap", StringComparison.Ordinal));

        Assert.True(await old.Allowed.ClientSendsAsync(Probe.PassWait));
        Assert.True(await old.Allowed.ServerSendsAsync(Probe.PassWait));
        Volley volley = new(lab.Network, drops);
        await volley.DropAsync(
            lab.Network.Outsider, lab.E1, "tap-e1 to_notsyn", MidStream(lab.Network.Outsider, lab.E1, v4));
        await volley.DropAsync(
            lab.E1, lab.Network.Outsider, "tap-e1 from_notsyn", MidStream(lab.E1, lab.Network.Outsider, v4));
        Assert.False(await old.Outgoing.ServerSendsAsync());
        Assert.False(await old.Outgoing.ClientSendsAsync());
        Assert.True(await Probe.TcpConnectsAsync(
            new TcpRoute(lab.Network.Outsider, new IPEndPoint(v4 ? lab.E1.V4 : lab.E1.V6, Allowed), lab.E1),
            Probe.PassWait));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Without_a_window_an_old_stream_is_refused_from_either_side(bool v4)
    {
        using OldStreams old = new(v4);
        await using DaemonLab lab = await StartAsync(0, old.Open);
        using CountedDrops drops = new(lab.Network.Host);
        await lab.ApplyAsync(State());
        Assert.False(await old.Allowed.ClientSendsAsync());
        Assert.False(await old.Outgoing.ServerSendsAsync());
        Assert.Equal(["tap-e1 to_notsyn"], drops.Read().Keys);
        Assert.False(await old.Allowed.ServerSendsAsync());
        Assert.False(await old.Outgoing.ClientSendsAsync());
        Assert.Equal(["tap-e1 from_notsyn", "tap-e1 to_notsyn"], drops.Read().Keys);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stream_that_conntrack_knows_needs_no_window_but_the_rules(bool v4)
    {
        await using DaemonLab lab = await StartAsync(0);
        using CountedDrops drops = new(lab.Network.Host);
        using OldStreams old = new(v4); // opened while the agent already tracks, but nobody names e1
        old.Open(lab.Network);
        await lab.ApplyAsync(State());
        Assert.True(await old.Allowed.ServerSendsAsync(Probe.PassWait), "judged as what it is: called from outside");
        Assert.True(await old.Allowed.ClientSendsAsync(Probe.PassWait));
        Assert.True(await old.Outgoing.ServerSendsAsync(Probe.PassWait));
        Assert.False(await old.Denied.ServerSendsAsync());
        Assert.False(await old.Denied.ClientSendsAsync());
        // A reply is not judged by a rule of its own: its session is no longer wanted.
        Assert.Equal(["tap-e1 from_stale", "tap-e1 to_default"], drops.Read().Keys);
    }

    /// <summary>No device is closed for its name alone, so that guests talk before anybody names them.</summary>
    private static Task<DaemonLab> StartAsync(
        int windowSeconds, Action<TestNetwork>? before = null) => DaemonLab.StartAsync(
        c =>
        {
            c["managed_interfaces"] = new JsonArray("vnet*");
            c["adoption_window_seconds"] = windowSeconds;
        },
        before);

    /// <summary>e1 and e3 let everybody in at one port, and nowhere else.</summary>
    private static Snapshot State() => States.Apply(
        [States.Isolating("sg-a", $"in 1 accept tcp {Allowed}/{Allowed} 0.0.0.0/0",
            $"in 1 accept tcp {Allowed}/{Allowed} ::/0")],
        States.Nic("e1", "sg-a"), States.Nic("e3", "sg-a")).State.Clone();

    private static string Adopting(DaemonLab lab) =>
        lab.Network.Host.Exec("nft", "list", "set", "inet", "sg_agent", "adopting");

    private static Shot MidStream(NetworkEndpoint from, NetworkEndpoint to, bool v4) => new(
        "ACK",
        Packets.Tcp(
            new IPEndPoint(v4 ? from.V4 : from.V6, PortNumbers.Next()),
            new IPEndPoint(v4 ? to.V4 : to.V6, Allowed), TcpFlags.Ack, 1, 1, Probe.Payload()));

    /// <summary>Connections between e1 and the world, made before the agent knows of e1.</summary>
    private sealed class OldStreams(bool v4) : IDisposable
    {
        private readonly List<TcpStream> streams = [];

        /// <summary>From outside to the open port.</summary>
        public TcpStream Allowed => streams[0];

        /// <summary>From outside to another port.</summary>
        public TcpStream Denied => streams[1];

        /// <summary>From e1 to the world.</summary>
        public TcpStream Outgoing => streams[2];

        public void Open(TestNetwork network)
        {
            Guest e1 = network.Guests["e1"];
            Connect(network.Outsider, e1, AdoptionTests.Allowed);
            Connect(network.Outsider, e1, AdoptionTests.Denied);
            Connect(e1, network.Outsider, AdoptionTests.Allowed);
        }

        public void Dispose() => streams.ForEach(stream => stream.Dispose());

        private void Connect(NetworkEndpoint from, NetworkEndpoint to, int port) =>
            streams.Add(SessionLab.ConnectAsync(from, to, v4, port).GetAwaiter().GetResult());
    }
}
