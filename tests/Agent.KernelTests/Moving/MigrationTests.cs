using System.Net;
using System.Net.Sockets;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Terminal;
using Agent.TestNet;
using Agent.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Agent.KernelTests.Moving;

/// <summary>A guest moves to another host, with its sessions and no others.</summary>
public sealed class MigrationTests
{
    private const string Vnic = "eni-e2";

    private static Snapshot Source => On(
        "in 1 accept tcp 22/22 198.51.100.0/24", "in 1 accept tcp 22/22 2001:db8:ffff::/48",
        "in 1 accept tcp 80/80 198.51.100.0/24");

    private static Snapshot Target => On(
        "in 1 accept tcp 22/22 198.51.100.0/24", "in 1 accept tcp 22/22 2001:db8:ffff::/48");

    [Fact]
    public async Task Streams_and_datagrams_go_on_behind_a_move_and_what_the_target_forbids_does_not()
    {
        await using DaemonLab source = await DaemonLab.StartAsync();
        await using SecondHost target = await SecondHost.StartAsync(source.Network);
        await source.ApplyAsync(Source);
        Guest guest = source.E2;
        NetworkEndpoint world = source.Network.Outsider;
        using TcpStream inward = await OpenAsync(new TcpRoute(world, new IPEndPoint(guest.V4, 22), guest));
        using TcpStream inward6 = await OpenAsync(new TcpRoute(world, new IPEndPoint(guest.V6, 22), guest));
        using TcpStream outward = await OpenAsync(new TcpRoute(guest, new IPEndPoint(world.V4, 443), world));
        using TcpStream forbidden = await OpenAsync(new TcpRoute(world, new IPEndPoint(guest.V4, 80), guest));
        using var datagrams = UdpConversation.Open(guest, guest.V4, world, new IPEndPoint(world.V4, 53));
        Assert.True(await datagrams.ClientSendsAsync(Probe.PassWait));
        Assert.True(await datagrams.ServerSendsAsync(Probe.PassWait));

        ExportedSessions carried = await ExportAsync(source, guest.HostDevice);
        Assert.True(carried.Complete);
        Assert.Equal(5, carried.Sessions.Count);
        Assert.All(carried.Sessions.Where(one => one.Tcp is not null), one => Assert.Equal(3u, one.Tcp.State));

        // Closed: first because nobody there knows it, then because no session of it is known.
        target.Receive(guest);
        await NothingPassesAsync();
        await target.ApplyAsync(Target);
        await target.EnforcedAsync(Vnic);
        await NothingPassesAsync();

        ImportSessionsResponse answer = await ImportAsync(target.Client, carried);
        Assert.Equal((4u, 0u, 1u, 0u), (answer.Opened, answer.Existing, answer.Refused, answer.Failed));
        Assert.Equal((Vnic, Direction.Ingress, 1ul), Told(Assert.Single(answer.Refusals)));

        foreach (TcpStream stream in (TcpStream[])[inward, inward6, outward])
        {
            Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
            Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        }

        // More than a window without its scale holds.
        await CarryAsync(inward.Client, inward.Server, 4 << 20);
        await CarryAsync(outward.Server, outward.Client, 4 << 20);
        Assert.True(await datagrams.ServerSendsAsync(Probe.PassWait));
        Assert.False(await forbidden.ClientSendsAsync());
        Assert.False(await forbidden.ServerSendsAsync());
        Assert.Null(await Probe.ConnectAsync(new TcpRoute(world, new IPEndPoint(guest.V4, 80), guest)));

        // From here on they are sessions like any other: a change cuts them, from either side.
        await target.ApplyAsync(On("in 1 accept tcp 22/22 2001:db8:ffff::/48"));
        Assert.False(await inward.ServerSendsAsync());
        Assert.False(await inward.ClientSendsAsync());
        Assert.True(await inward6.ServerSendsAsync(Probe.PassWait));
        Assert.True(await outward.ClientSendsAsync(Probe.PassWait));

        async Task NothingPassesAsync()
        {
            Assert.False(await inward.ClientSendsAsync());
            Assert.False(await inward6.ServerSendsAsync());
            Assert.False(await forbidden.ClientSendsAsync());
            Assert.False(await datagrams.ServerSendsAsync());
        }
    }

    /// <summary>The reply of a server, whose client was the guest, is what opens nothing by itself.</summary>
    [Fact]
    public async Task Without_its_sessions_a_guest_that_moved_has_none()
    {
        await using DaemonLab source = await DaemonLab.StartAsync();
        await using SecondHost target = await SecondHost.StartAsync(source.Network);
        await source.ApplyAsync(Source);
        using TcpStream inward = await OpenAsync(
            new TcpRoute(source.Network.Outsider, new IPEndPoint(source.E2.V4, 22), source.E2));
        await target.ApplyAsync(Target);
        target.Receive(source.E2);
        await target.EnforcedAsync(Vnic);
        Assert.False(await inward.ClientSendsAsync(Pace.Scaled(TimeSpan.FromSeconds(1))));
        Assert.False(await inward.ServerSendsAsync(Pace.Scaled(TimeSpan.FromSeconds(1))));
        using TcpStream anew = await OpenAsync(
            new TcpRoute(source.Network.Outsider, new IPEndPoint(source.E2.V4, 22), source.E2));
        Assert.True(await anew.ServerSendsAsync(Probe.PassWait));
    }

    [Fact]
    public async Task Sessions_of_somebody_else_and_broken_ones_open_nothing()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(Source);
        MovedSession good = Session("198.51.100.7", "10.0.0.5", 40_000, 22);
        await RefusedAsync(StatusCode.NotFound, "eni-nobody", good);
        string faults = await RefusedAsync(
            StatusCode.InvalidArgument, Vnic,
            good, Session("198.51.100.7", "10.0.0.7", 40_000, 22), new MovedSession());
        Assert.Contains("exported.sessions[1].packet: neither end is an address of vNIC 'eni-e2'", faults);
        Assert.Contains("exported.sessions[2].packet: is missing", faults);
        Assert.Contains("exported.sessions[2].ends_in: must be", faults);
        Assert.Empty((await ExportAsync(lab, Vnic)).Sessions);

        ImportSessionsResponse answer = await ImportAsync(
            lab.Client, new ExportedSessions { Sessions = { good, good } });
        Assert.Equal((1u, 1u), (answer.Opened, answer.Existing));
        // Not judged yet by the kernel; and the same again.
        Assert.Equal([good], (await ExportAsync(lab, Vnic)).Sessions.Select(WithoutTime));

        async Task<string> RefusedAsync(StatusCode code, string vnic, params MovedSession[] sessions)
        {
            RpcException refusal = await Assert.ThrowsAsync<RpcException>(async () =>
                await lab.Client.ImportSessionsAsync(new ImportSessionsRequest
                {
                    Vnic = vnic,
                    Exported = new ExportedSessions { Sessions = { sessions } },
                }));
            Assert.Equal(code, refusal.StatusCode);
            return refusal.Status.Detail;
        }

        MovedSession WithoutTime(MovedSession one) => new(one) { EndsIn = good.EndsIn };
    }

    [Fact]
    public async Task Sgctl_takes_a_file_says_what_was_refused_and_lists_what_is_wrong_with_it()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(Source);
        var file = new ExportedSessions
        {
            Sessions =
            {
                Session("198.51.100.7", "10.0.0.5", 40_000, 22), Session("198.51.100.7", "10.0.0.5", 40_001, 23),
            },
        };
        var written = new JsonFormatter(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true));
        CommandOutcome taken = Sgctl(written.Format(file), "import-sessions", "tap-e2", "-");
        Assert.Equal(
            "1 sessions opened, 0 were there, 1 are not admitted here\n  1 by eni-e2 ingress: default\n", taken.Output);
        Assert.Equal(0, taken.ExitCode);

        CommandOutcome given = Sgctl(null, "export-sessions", Vnic);
        Assert.Equal("", given.Error);
        string other = given.Output.Replace("40000", "40002", StringComparison.Ordinal);
        Assert.Equal("1 sessions opened, 0 were there, 0 are not admitted here\n",
            Sgctl(other, "import-sessions", Vnic, "-").Output);

        CommandOutcome wrong = Sgctl("sessions: [{ paket: {} }]", "import-sessions", Vnic, "-");
        Assert.Equal(4, wrong.ExitCode);
        Assert.Contains("did you mean packet", wrong.Error, StringComparison.OrdinalIgnoreCase);

        CommandOutcome Sgctl(string? input, params string[] words) => SystemCommand.TryRun(
            TerminalLab.Sgctl, input, ["--socket", lab.Daemon.SocketPath, .. words]);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static async Task<ExportedSessions> ExportAsync(DaemonLab lab, string vnic) =>
        await lab.Client.ExportSessionsAsync(new ExportSessionsRequest { Vnic = vnic }, cancellationToken: Cancel);

    private static async Task<ImportSessionsResponse> ImportAsync(
        SecurityGroupAgent.SecurityGroupAgentClient client, ExportedSessions exported) =>
        await client.ImportSessionsAsync(
            new ImportSessionsRequest { Vnic = Vnic, Exported = exported }, cancellationToken: Cancel);

    private static (string, Direction, ulong) Told(SessionCut cut) => (cut.VnicId, cut.Direction, cut.Sessions);

    private static async Task<TcpStream> OpenAsync(TcpRoute route)
    {
        TcpStream? stream = await Probe.ConnectAsync(route, Probe.PassWait);
        Assert.NotNull(stream);
        Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        return stream;
    }

    private static async Task CarryAsync(Socket from, Socket to, int bytes)
    {
        using var limit = new CancellationTokenSource(Pace.Scaled(TimeSpan.FromSeconds(30)));
        await using var reading = new NetworkStream(to, ownsSocket: false);
        await using var writing = new NetworkStream(from, ownsSocket: false);
        Task write = writing.WriteAsync(new byte[bytes], limit.Token).AsTask();
        await reading.ReadExactlyAsync(new byte[bytes], limit.Token);
        await write;
    }

    private static MovedSession Session(string source, string destination, uint from, uint to) => new()
    {
        Packet = new Packet
        {
            Source = source,
            Destination = destination,
            Protocol = "tcp",
            SourcePort = from,
            DestinationPort = to,
        },
        EndsIn = Duration.FromTimeSpan(TimeSpan.FromMinutes(5)),
        Answered = true,
        Assured = true,
        Tcp = new MovedTcp { State = 3, WindowScale = 7, ReplyWindowScale = 9, Flags = 3, ReplyFlags = 3 },
    };

    private static Snapshot On(params string[] rules) =>
        States.Apply([States.Isolating("sg-m", rules)], States.Nic("e2", "sg-m")).State.Clone();
}
