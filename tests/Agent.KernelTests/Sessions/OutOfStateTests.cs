using System.Buffers.Binary;
using System.Net;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Sessions;

/// <summary>
/// Packets that neither open a session nor belong to one: dropped whatever the rules say, counted where it happens.
/// </summary>
/// <remarks>e2 takes everything from everybody, so that no rule drops anything here.</remarks>
public sealed class OutOfStateTests(SessionLab lab) : IClassFixture<SessionLab>
{
    private const byte Tcp = 6;
    private const byte EchoReply = 0;
    private const byte EchoReplyV6 = 129;
    private const byte UnknownType = 200;

    /// <summary>Beyond any window that a stack of today offers.</summary>
    private const uint FarAway = 1 << 29;

    private static Snapshot Open =>
        SessionLab.CallsInto("in 1 accept all -1/-1 0.0.0.0/0", "in 1 accept all -1/-1 ::/0");

    private static readonly (string Name, TcpFlags Flags)[] Scans =
    [
        ("null", TcpFlags.None),
        ("FIN", TcpFlags.Fin),
        ("FIN ACK", TcpFlags.Fin | TcpFlags.Ack),
        ("xmas", TcpFlags.Fin | TcpFlags.Push | TcpFlags.Urgent),
        ("RST", TcpFlags.Reset),
        ("RST ACK", TcpFlags.Reset | TcpFlags.Ack),
        ("SYN ACK", TcpFlags.Syn | TcpFlags.Ack),
        ("SYN FIN", TcpFlags.Syn | TcpFlags.Fin),
        ("SYN RST", TcpFlags.Syn | TcpFlags.Reset),
    ];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Scans_are_counted_at_the_receiver_if_they_come_from_outside(bool v4)
    {
        await lab.ApplyAsync(Open);
        using TcpStream stream = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        await lab.Volley.DropAsync(lab.Outsider, lab.E2, "tap-e2 to_invalid", ScansOf(lab.Outsider, v4));
        await lab.Volley.DropAsync(lab.Outsider, lab.E2, "tap-e2 to_notsyn", MidStreams(lab.Outsider, v4));
        await StillWorksAsync(stream);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Scans_are_counted_at_the_sender_if_a_guest_sends_them(bool v4)
    {
        await lab.ApplyAsync(Open);
        using TcpStream stream = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        await lab.Volley.DropAsync(lab.E1, lab.E2, "tap-e1 from_invalid", ScansOf(lab.E1, v4));
        await lab.Volley.DropAsync(lab.E1, lab.E2, "tap-e1 from_notsyn", MidStreams(lab.E1, v4));
        await StillWorksAsync(stream);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_is_broken_and_answers_to_nothing_are_invalid(bool v4)
    {
        await lab.ApplyAsync(Open);
        using TcpStream stream = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        await lab.Volley.DropAsync(lab.Outsider, lab.E2, "tap-e2 to_invalid", Broken(lab.Outsider, v4));
        await lab.Volley.DropAsync(lab.E1, lab.E2, "tap-e1 from_invalid", Broken(lab.E1, v4));
        await StillWorksAsync(stream);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Segments_far_from_the_window_of_a_live_session_are_invalid_and_do_it_no_harm(bool v4)
    {
        await lab.ApplyAsync(Open);
        using TcpStream stream = await SessionLab.ConnectAsync(lab.E1, lab.E2, v4);
        using TcpStream other = await SessionLab.ConnectAsync(lab.E1, lab.E3, v4);
        IPEndPoint client = (IPEndPoint)stream.Client.LocalEndPoint!;
        IPEndPoint server = new(v4 ? lab.E2.V4 : lab.E2.V6, 22);
        (uint sequence, uint acknowledged) = await LastSegmentAsync(stream, client.Port);
        Shot[] ofClient = Far(client, server, sequence, acknowledged);
        Shot[] ofServer = Far(server, client, acknowledged, sequence);

        await lab.Volley.DropAsync(lab.E1, lab.E2, "tap-e1 from_invalid", ofClient);
        await lab.Volley.DropAsync(lab.E2, lab.E1, "tap-e2 from_invalid", ofServer);
        // Somebody outside who knows the session, and lies about who he is.
        await lab.Volley.DropAsync(lab.Outsider, lab.E2, "tap-e2 to_invalid", ofClient);
        await lab.Volley.DropAsync(lab.Outsider, lab.E1, "tap-e1 to_invalid", ofServer);
        await StillWorksAsync(stream);
        await StillWorksAsync(other);
    }

    private Shot[] ScansOf(NetworkEndpoint from, bool v4) =>
        [.. Scans.Select(scan => Segment(scan.Name, from, v4, scan.Flags))];

    // What conntrack takes for the middle of a session that it has missed (nf_conntrack_tcp_loose).
    private Shot[] MidStreams(NetworkEndpoint from, bool v4) =>
    [
        Segment("ACK", from, v4, TcpFlags.Ack),
        Segment("PSH ACK", from, v4, TcpFlags.Ack | TcpFlags.Push, Probe.Payload()),
        Segment("URG ACK", from, v4, TcpFlags.Ack | TcpFlags.Urgent),
    ];

    private Shot[] Broken(NetworkEndpoint from, bool v4)
    {
        (IPAddress source, IPAddress target) = Ends(from, v4);
        int header = v4 ? 20 : 40;
        byte[] syn = Segment("", from, v4, TcpFlags.Syn).Packet;
        byte[] datagram = Packets.Udp(source, target, PortNumbers.Next(), 5000, Probe.Payload());
        byte[] echo = Packets.Echo(source, target, PortNumbers.Next(), 1, Probe.Payload());
        return
        [
            new("TCP checksum", Altered(syn, header + 16, 1)),
            new("UDP checksum", Altered(datagram, header + 6, 1)),
            new("echo checksum", Altered(echo, header + 2, 1)),
            new("TCP header of 16 bytes", Altered(syn, header + 12, 0x10)),
            new("TCP header longer than the packet", Altered(syn, header + 12, 0xa0)),
            new("UDP length of more than there is", Altered(datagram, header + 4, 1)),
            new("TCP without header", Packets.Ip(source, target, Tcp, new byte[12])),
            new("echo reply", Packets.Icmp(source, target, v4 ? EchoReply : EchoReplyV6, 0, new byte[12])),
            new("unknown type", Packets.Icmp(source, target, UnknownType, 0, new byte[12])),
        ];
    }

    private Shot Segment(string name, NetworkEndpoint from, bool v4, TcpFlags flags, byte[]? payload = null)
    {
        (IPAddress source, IPAddress target) = Ends(from, v4);
        return new Shot(name, Packets.Tcp(
            new IPEndPoint(source, PortNumbers.Next()), new IPEndPoint(target, 22), flags, 1000, 2000, payload ?? []));
    }

    private (IPAddress Source, IPAddress Target) Ends(NetworkEndpoint from, bool v4) =>
        v4 ? (from.V4, lab.E2.V4) : (from.V6, lab.E2.V6);

    private static Shot[] Far(IPEndPoint from, IPEndPoint to, uint sequence, uint acknowledged) =>
    [
        new("data", Packets.Tcp(
            from, to, TcpFlags.Ack | TcpFlags.Push, unchecked(sequence + FarAway), acknowledged, Probe.Payload())),
        new("FIN", Packets.Tcp(
            from, to, TcpFlags.Ack | TcpFlags.Fin, unchecked(sequence + FarAway), acknowledged, [])),
        new("RST", Packets.Tcp(from, to, TcpFlags.Reset, unchecked(sequence + FarAway), 0, [])),
        new("acknowledgement of what was never sent", Packets.Tcp(
            from, to, TcpFlags.Ack, sequence, unchecked(acknowledged + FarAway), [])),
    ];

    /// <summary>Sequence number behind the client's last segment, and what it has acknowledged.</summary>
    private async Task<(uint Sequence, uint Acknowledged)> LastSegmentAsync(TcpStream stream, int clientPort)
    {
        TaskCompletionSource<(uint, uint)> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IDisposable watch = lab.E2.Wire.Subscribe(frame =>
        {
            if (ReceivedPacket.FromFrame(frame) is { Protocol: Tcp, Transport: { Length: > 32 } segment }
                && BinaryPrimitives.ReadUInt16BigEndian(segment.Span) == clientPort)
            {
                int data = segment.Length - (segment.Span[12] >> 4) * 4;
                uint sequence = BinaryPrimitives.ReadUInt32BigEndian(segment.Span[4..]);
                seen.TrySetResult((
                    unchecked(sequence + (uint)data), BinaryPrimitives.ReadUInt32BigEndian(segment.Span[8..])));
            }
        });
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait) && await stream.ClientSendsAsync(Probe.PassWait));
        return await seen.Task.WaitAsync(Probe.PassWait);
    }

    private static async Task StillWorksAsync(TcpStream stream)
    {
        Assert.True(await stream.ServerSendsAsync(Probe.PassWait));
        Assert.True(await stream.ClientSendsAsync(Probe.PassWait));
        Assert.Equal(0, stream.Retransmits);
    }

    private static byte[] Altered(byte[] packet, int at, byte bits)
    {
        byte[] altered = [.. packet];
        altered[at] ^= bits;
        return altered;
    }
}
