using System.Net;
using Agent.Daemon.Sessions;
using Agent.Netlink.Conntrack;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Tests.Sessions;

/// <summary>Sessions on their way from one host to another.</summary>
public sealed class MovingSessionsTests
{
    private const ushort Zone = 7;

    private static readonly Flow Stream = Flow.New(
        new FlowTuple(IPAddress.Parse("2001:db8::1"), IPAddress.Parse("2001:db8::2"), 6, 40_000, 22), Zone, 300,
        isAnswered: true, isAssured: true) with
    {
        Tcp = new TcpFlow(3, new TcpSide(7, 3), new TcpSide(14, 7)),
    };

    /// <summary>What is wrong, the message, and the field that is named.</summary>
    public static TheoryData<string, Action<MovedSession>> Faults => new()
    {
        { "packet: is missing", one => one.Packet = null },
        { "packet.source: is no address", one => one.Packet.Source = "" },
        { "packet.source: is no address", one => one.Packet.Source = "2001:db8::1%eth0" },
        { "packet.source: is no address", one => one.Packet.Source = "::ffff:10.0.0.1" },
        { "packet.source: is no address", one => one.Packet.Source = "2001:db8::1/128" },
        { "packet.destination: is no address", one => one.Packet.Destination = "2001:DB8::2" },
        { "packet: the addresses are of two families", one => one.Packet.Destination = "10.0.0.1" },
        { "packet.protocol: is none", one => one.Packet.Protocol = "gre" },
        { "packet.protocol: is none", one => one.Packet.Protocol = "icmpv6" },
        { "packet.protocol: is none", one => one.Packet.Protocol = "132" },
        { "packet.protocol: is none", one => one.Packet.Protocol = "all" },
        { "packet: a port is above 65535", one => one.Packet.SourcePort = 65_536 },
        { "ends_in: must be between", one => one.EndsIn = null },
        { "ends_in: must be between", one => one.EndsIn = new Duration { Seconds = -1 } },
        { "ends_in: must be between", one => one.EndsIn = new Duration { Seconds = 432_001 } },
        { "tcp: is missing", one => one.Tcp = null },
        { "tcp: is no part", one => one.Packet.Protocol = "udp" },
        { "tcp.state: is no state", one => one.Tcp.State = 0 },
        { "tcp.state: is no state", one => one.Tcp.State = 10 },
        { "tcp.window_scale: is at most 14", one => one.Tcp.WindowScale = 15 },
        { "tcp.reply_window_scale: is at most 14", one => one.Tcp.ReplyWindowScale = 15 },
        { "tcp.flags: has bits", one => one.Tcp.Flags = 8 },
        { "tcp.reply_flags: has bits", one => one.Tcp.ReplyFlags = 8 },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_fault_is_told_with_its_place(string fault, Action<MovedSession> spoil)
    {
        MovedSession message = MovingSessions.Of(Stream);
        spoil(message);
        var faults = new List<string>();
        Assert.Null(MovingSessions.Read(message, Zone, "sessions[0]", faults));
        Assert.StartsWith("sessions[0]." + fault, Assert.Single(faults), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_carried_is_what_speaks_of_sequence_numbers()
    {
        var tcp = new TcpFlow(3, new TcpSide(7, 0xff), new TcpSide(14, 0xf7));
        Flow there = Stream with { Tcp = tcp, Mark = 5, Id = 9 };
        var faults = new List<string>();
        Flow? here = MovingSessions.Read(MovingSessions.Of(there), Zone, "", faults);
        Assert.Equal(Stream with { Tcp = new TcpFlow(3, new TcpSide(7, 7), new TcpSide(14, 7)) }, here);
        Assert.Empty(faults);
    }

    /// <summary>Not marked: whatever another host says of it, the kernel here judges it first.</summary>
    [Theory]
    [InlineData((byte)17, true, false)]
    [InlineData((byte)50, false, false)]
    public void A_session_comes_as_one_that_nobody_has_judged(byte protocol, bool answered, bool assured)
    {
        ushort port = protocol == 17 ? (ushort)53 : (ushort)0;
        Flow there = Flow.New(
            new FlowTuple(IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"), protocol, port, port), 1, 30,
            answered, assured) with
        {
            Mark = 0xffffffff,
        };
        Flow? here = MovingSessions.Read(MovingSessions.Of(there), Zone, "", []);
        Assert.Equal(there with { Zone = Zone, Mark = 0 }, here);
        Assert.False(here!.IsTranslated);
    }
}
