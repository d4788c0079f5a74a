using System.Net;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// ICMP errors pass as part of a live session, and only errors: nothing else that quotes a session does, and no error
/// about a session that was taken away or never was.
/// </summary>
public sealed class IcmpErrorTests(SessionLab lab) : IClassFixture<SessionLab>
{
    private const byte TcpNumber = 6;
    private const byte UdpNumber = 17;

    // e1 may call anybody, and takes nothing that it did not ask for. e2 takes everything from everybody.
    private static Snapshot Allowing =>
        SessionLab.CallsInto("in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0");

    private static Snapshot Forbidding()
    {
        Snapshot state = SessionLab.CallsInto();
        state.Groups[0].Rules.Add(Scenarios.States.Isolating(
            "x", "out 1 drop all -1/-1 198.51.100.0/24", "out 1 drop all -1/-1 2001:db8:ffff::/48").Rules);
        return state;
    }

    /// <summary>Type and code; what RFC 792 and RFC 4443 call errors, but for the two that no host must obey.</summary>
    private static (byte Type, byte Code)[] Errors(bool v4) => v4
        ? [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0)]
        : [(1, 0), (1, 3), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1)];

    /// <summary>Conntrack ties these to the session that they quote; redirect, source quench, unassigned.</summary>
    private static byte[] TiedButNoErrors(bool v4) => v4 ? [4, 5] : [5, 100, 101, 127];

    /// <summary>Answers to nothing and announcements: conntrack reads no quotation in them.</summary>
    private static byte[] Unasked(bool v4) => v4 ? [0, 9, 10, 14, 16, 18, 40] : [129, 137, 140, 151, 200];

    /// <summary>Conntrack takes them for the first packet of a session.</summary>
    private static byte[] Questions(bool v4) => v4 ? [8, 13, 15, 17] : [128, 139];

    [Theory]
    [InlineData(true, UdpNumber)]
    [InlineData(true, TcpNumber)]
    [InlineData(true, 1)]
    [InlineData(false, UdpNumber)]
    [InlineData(false, TcpNumber)]
    [InlineData(false, 58)]
    public async Task An_error_passes_to_a_guest_with_its_session_and_not_beyond(bool v4, byte protocol)
    {
        lab.Forget();
        foreach ((NetworkEndpoint caller, NetworkEndpoint called, Guest hears, string counter) in Calls())
        {
            await lab.ApplyAsync(Allowing);
            using Call call = await Call.OpenAsync(lab, caller, called, v4, protocol);
            byte[] quoted = hears == caller ? call.Request : call.Answer;
            // The one that was asked complains, and so does a router on the way.
            foreach (IPAddress from in (IPAddress[])[call.Other(hears), Router(v4)])
            {
                await lab.Volley.PassAsync(lab.Outsider, hears, Complaints(from, Own(hears, v4), quoted));
            }

            await lab.Volley.DropAsync(
                lab.Outsider, hears, counter + "stale", Pretenders(Router(v4), Own(hears, v4), quoted));
            await lab.Volley.DropAsync(
                lab.Outsider, hears, counter + "invalid", Loud(Router(v4), Own(hears, v4), quoted));

            await lab.ApplyAsync(Forbidding());
            await lab.Volley.DropAsync(
                lab.Outsider, hears, counter + "stale", Complaints(Router(v4), Own(hears, v4), quoted));
            await lab.ApplyAsync(Allowing);
            await call.GoOnAsync();
            await lab.Volley.PassAsync(lab.Outsider, hears, Complaints(Router(v4), Own(hears, v4), quoted));
        }
    }

    [Theory]
    [InlineData(true, UdpNumber)]
    [InlineData(true, TcpNumber)]
    [InlineData(true, 1)]
    [InlineData(false, UdpNumber)]
    [InlineData(false, TcpNumber)]
    [InlineData(false, 58)]
    public async Task A_guest_complains_about_its_own_live_session_and_about_nothing_else(bool v4, byte protocol)
    {
        lab.Forget();
        foreach ((NetworkEndpoint caller, NetworkEndpoint called, Guest guest, _) in Calls())
        {
            await lab.ApplyAsync(Allowing);
            using Call call = await Call.OpenAsync(lab, caller, called, v4, protocol);
            string counter = $"{guest.HostDevice} from_";
            byte[] quoted = guest == caller ? call.Answer : call.Request;
            IPAddress own = Own(guest, v4);
            IPAddress other = call.Other(guest);
            await lab.Volley.PassAsync(guest, lab.Outsider, Complaints(own, other, quoted));
            // The guard knows redirects and router advertisements for what they are; conntrack never sees them.
            await lab.Volley.DropAsync(guest, lab.Outsider, counter + "stale",
                [.. Pretenders(own, other, quoted).Where(shot => shot.Name != "5" || !v4)]);
            await lab.Volley.DropAsync(guest, lab.Outsider, counter + "invalid",
                [.. Loud(own, other, quoted).Where(shot => shot.Name is not ("9" or "137"))]);

            await lab.ApplyAsync(Forbidding());
            await lab.Volley.DropAsync(guest, lab.Outsider, counter + "stale", Complaints(own, other, quoted));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_error_about_a_session_that_never_was_is_invalid(bool v4)
    {
        await lab.ApplyAsync(Allowing);
        lab.Forget();
        IPAddress own = Own(lab.E1, v4);
        IPAddress other = Own(lab.Outsider, v4);
        foreach (byte[] quoted in Quotations(own, other, v4))
        {
            await lab.Volley.DropAsync(
                lab.Outsider, lab.E1, "tap-e1 to_invalid", Complaints(Router(v4), own, quoted));
            await lab.Volley.DropAsync(
                lab.Outsider, lab.E1, "tap-e1 to_invalid", Pretenders(Router(v4), own, quoted));
        }

        foreach (byte[] quoted in Quotations(other, own, v4))
        {
            await lab.Volley.DropAsync(lab.E1, lab.Outsider, "tap-e1 from_invalid", Complaints(own, other, quoted));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_question_that_quotes_a_session_is_a_question_like_any_other(bool v4)
    {
        await lab.ApplyAsync(Allowing);
        lab.Forget();
        using Call call = await Call.OpenAsync(lab, lab.E1, lab.Outsider, v4, UdpNumber);
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_default", To(lab.E1));
        await lab.Volley.PassAsync(lab.Outsider, lab.E2, To(lab.E2));

        Shot[] To(Guest guest) =>
            [.. Questions(v4).Select(type => Quoting(Router(v4), Own(guest, v4), type, 0, call.Request))];
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Somebody_elses_session_does_not_carry_an_error_to_a_guest(bool v4)
    {
        await lab.ApplyAsync(Allowing);
        lab.Forget();
        using Call call = await Call.OpenAsync(lab, lab.Outsider, lab.E2, v4, UdpNumber);
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_invalid",
            Complaints(Router(v4), Own(lab.E1, v4), call.Answer));
    }

    /// <summary>Who asks whom, which guest is an end of it, and where drops on the way to that guest count.</summary>
    private IEnumerable<(NetworkEndpoint Caller, NetworkEndpoint Called, Guest Guest, string Counter)> Calls() =>
    [
        (lab.E1, lab.Outsider, lab.E1, "tap-e1 to_"),
        (lab.Outsider, lab.E2, lab.E2, "tap-e2 to_"),
    ];

    private static Shot[] Complaints(IPAddress from, IPAddress to, byte[] quoted) =>
        [.. Errors(Packets.IsV4(from)).Select(kind => Quoting(from, to, kind.Type, kind.Code, quoted))];

    private static Shot[] Pretenders(IPAddress from, IPAddress to, byte[] quoted) =>
        [.. TiedButNoErrors(Packets.IsV4(from)).Select(type => Quoting(from, to, type, 0, quoted))];

    private static Shot[] Loud(IPAddress from, IPAddress to, byte[] quoted) =>
        [.. Unasked(Packets.IsV4(from)).Select(type => Quoting(from, to, type, 0, quoted))];

    private static Shot Quoting(IPAddress from, IPAddress to, byte type, byte code, byte[] quoted) =>
        new(code == 0 ? $"{type}" : $"{type}.{code}", Packets.Icmp(from, to, type, code, [0, 0, 0, 0, .. quoted]));

    private static byte[][] Quotations(IPAddress from, IPAddress to, bool v4) =>
    [
        Packets.Udp(from, to, PortNumbers.Next(), 5000, Probe.Payload()),
        Packets.Tcp(
            new IPEndPoint(from, PortNumbers.Next()), new IPEndPoint(to, 5000), TcpFlags.Ack, 1, 1, Probe.Payload()),
        Packets.Echo(from, to, PortNumbers.Next(), 1, Probe.Payload()),
        Packets.Ip(from, to, v4 ? (byte)47 : (byte)50, [0, 0, 8, 0, .. Probe.Payload()]),
    ];

    private static IPAddress Own(NetworkEndpoint end, bool v4) => v4 ? end.V4 : end.V6;

    private static IPAddress Router(bool v4) => IPAddress.Parse(v4 ? "192.0.2.254" : "2001:db8:77::1");

    /// <summary>A session of one request and one answer.</summary>
    private sealed class Call : IDisposable
    {
        private readonly SessionLab lab;
        private readonly NetworkEndpoint caller;
        private readonly NetworkEndpoint called;
        private readonly TcpStream? stream;

        private Call(SessionLab lab, NetworkEndpoint caller, NetworkEndpoint called, TcpStream? stream)
        {
            this.lab = lab;
            this.caller = caller;
            this.called = called;
            this.stream = stream;
        }

        /// <summary>As the caller sent it.</summary>
        public required byte[] Request { get; init; }

        public required byte[] Answer { get; init; }

        public static async Task<Call> OpenAsync(
            SessionLab lab, NetworkEndpoint caller, NetworkEndpoint called, bool v4, byte protocol)
        {
            IPEndPoint from = new(Own(caller, v4), PortNumbers.Next());
            IPEndPoint to = new(Own(called, v4), PortNumbers.Next());
            byte[] payload = Probe.Payload();
            TcpStream? stream = protocol != TcpNumber ? null
                : await Probe.ConnectAsync(new TcpRoute(caller, to, called) { SourcePort = from.Port }, Probe.PassWait)
                    ?? throw new InvalidOperationException("the session that the test needs did not come about");
            Call call = protocol switch
            {
                TcpNumber => new Call(lab, caller, called, stream)
                {
                    Request = Packets.Tcp(from, to, TcpFlags.Ack, 1, 1, payload),
                    Answer = Packets.Tcp(to, from, TcpFlags.Ack, 1, 1, payload),
                },
                UdpNumber => new Call(lab, caller, called, null)
                {
                    Request = Packets.Udp(from.Address, to.Address, from.Port, to.Port, payload),
                    Answer = Packets.Udp(to.Address, from.Address, to.Port, from.Port, payload),
                },
                _ => new Call(lab, caller, called, null)
                {
                    Request = Packets.Echo(from.Address, to.Address, from.Port, 1, payload),
                    Answer = Packets.Echo(to.Address, from.Address, from.Port, 1, payload, reply: true),
                },
            };
            await call.GoOnAsync();
            return call;
        }

        /// <summary>One packet each way.</summary>
        public async Task GoOnAsync()
        {
            if (stream is not null)
            {
                Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
                Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
                return;
            }

            await lab.Volley.PassAsync(caller, called, new Shot("request", Request));
            await lab.Volley.PassAsync(called, caller, new Shot("answer", Answer));
        }

        /// <summary>The address of the end that this one talks to.</summary>
        public IPAddress Other(NetworkEndpoint end)
        {
            ReceivedPacket request = ReceivedPacket.FromIp(Request);
            return end == caller ? request.Destination : request.Source;
        }

        public void Dispose() => stream?.Dispose();
    }
}
