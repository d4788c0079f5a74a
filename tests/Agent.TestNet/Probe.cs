using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Agent.TestNet;

/// <summary>One question asked with real packets: did it arrive?</summary>
/// <remarks>
/// Each ends as soon as the answer is yes; no is known after the wait. All may run at once: each uses ports,
/// identifiers or payloads of its own. One-way probes watch the receiver's wire, whether anything listens or not.
/// </remarks>
public sealed class Probe(TestNetwork network)
{
    /// <summary>How long a packet that should be dropped is waited for.</summary>
    public static readonly TimeSpan DropWait = Pace.Scaled(TimeSpan.FromMilliseconds(200));

    /// <summary>How long a packet that should pass is waited for; only a failure costs this much.</summary>
    public static readonly TimeSpan PassWait = Pace.Scaled(TimeSpan.FromSeconds(10));

    private const int PayloadLength = 24;

    /// <summary>
    /// Sends an IP packet as it is from the endpoint's wire; true when it has arrived whole at the other.
    /// </summary>
    /// <param name="sender">Whose wire it leaves from; its addresses need not be the packet's (spoofing).</param>
    /// <param name="packet">A whole IP packet, from <see cref="Packets"/>.</param>
    /// <param name="receiver">Whose wire is watched.</param>
    /// <param name="wait">Default <see cref="DropWait"/>.</param>
    /// <param name="sourceMac">Another one than the sender's.</param>
    public async Task<bool> PacketArrivesAsync(
        NetworkEndpoint sender, byte[] packet, NetworkEndpoint receiver, TimeSpan? wait = null,
        byte[]? sourceMac = null)
    {
        ArgumentNullException.ThrowIfNull(sender);
        ReceivedPacket sent = ReceivedPacket.FromIp(packet);
        byte[] frame = Packets.FrameOf(
            network.NextHopMac(sender, sent.Destination), sourceMac ?? sender.Mac, packet);
        return await SeenAsync(receiver, () => sender.Wire.Send(frame), seen => SamePacket(seen, sent), wait);
    }

    /// <summary>Sends any frame; true when the watched wire carries a frame that the predicate knows.</summary>
    public static async Task<bool> FrameArrivesAsync(
        NetworkEndpoint sender, byte[] frame, NetworkEndpoint receiver, Func<byte[], bool> recognize,
        TimeSpan? wait = null)
    {
        ArgumentNullException.ThrowIfNull(sender);
        ArgumentNullException.ThrowIfNull(receiver);
        TaskCompletionSource seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IDisposable watch = receiver.Wire.Subscribe(f =>
        {
            if (recognize(f))
            {
                seen.TrySetResult();
            }
        });
        sender.Wire.Send(frame);
        return await ArrivesAsync(seen.Task, wait);
    }

    /// <summary>
    /// A TCP handshake by the two stacks. Something listens, so that only a dropped packet can fail it.
    /// </summary>
    public static async Task<bool> TcpConnectsAsync(TcpRoute route, TimeSpan? wait = null)
    {
        using TcpStream? stream = await ConnectAsync(route, wait);
        return stream is not null;
    }

    /// <summary>An established connection, or null if the handshake did not end in time.</summary>
    public static async Task<TcpStream?> ConnectAsync(TcpRoute route, TimeSpan? wait = null)
    {
        ArgumentNullException.ThrowIfNull(route);
        TcpService service = route.Listener.Listen(route.Target.Port);
        int port = route.SourcePort != 0 ? route.SourcePort : PortNumbers.Next();
        Socket client = route.Client.Place.OpenSocket(
            route.Target.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            client.NoDelay = true;
            client.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            client.LingerState = new LingerOption(true, 0);
            client.Bind(new IPEndPoint(route.Source ?? Own(route), port));
            using CancellationTokenSource limit = new(wait ?? DropWait);
            await client.ConnectAsync(route.Target, limit.Token);
            return new TcpStream(client, await service.AcceptedFromAsync(port, PassWait));
        }
        catch (Exception lost) when (lost is OperationCanceledException or SocketException or TimeoutException)
        {
            client.Dispose();
            return null;
        }
    }

    /// <summary>One UDP datagram, one way.</summary>
    public Task<bool> UdpArrivesAsync(
        NetworkEndpoint sender, IPEndPoint source, NetworkEndpoint receiver, IPEndPoint target, TimeSpan? wait = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(target);
        byte[] packet = Packets.Udp(source.Address, target.Address, source.Port, target.Port, Payload());
        return PacketArrivesAsync(sender, packet, receiver, wait);
    }

    /// <summary>A UDP request and its reply, as a session: true when the reply is back.</summary>
    public static async Task<bool> UdpExchangesAsync(
        NetworkEndpoint client, IPAddress source, NetworkEndpoint server, IPEndPoint target, TimeSpan? wait = null)
    {
        using UdpConversation talk = UdpConversation.Open(client, source, server, target);
        return await talk.ClientSendsAsync(wait) && await talk.ServerSendsAsync(wait);
    }

    /// <summary>ICMP or ICMPv6 echo, by the addresses: true when the reply is back on the sender's wire.</summary>
    public async Task<bool> EchoReturnsAsync(
        NetworkEndpoint sender, IPAddress source, IPAddress target, TimeSpan? wait = null)
    {
        ArgumentNullException.ThrowIfNull(sender);
        int identifier = PortNumbers.Next();
        byte[] payload = Payload();
        byte[] request = Packets.Echo(source, target, identifier, 1, payload);
        ReceivedPacket reply = ReceivedPacket.FromIp(Packets.Echo(target, source, identifier, 1, payload, reply: true));
        byte[] frame = Packets.FrameOf(network.NextHopMac(sender, target), sender.Mac, request);
        return await SeenAsync(sender, () => sender.Wire.Send(frame), seen => SamePacket(seen, reply), wait);
    }

    /// <summary>Any IP protocol (GRE 47, ESP 50, ...), one way.</summary>
    public Task<bool> ProtocolArrivesAsync(
        NetworkEndpoint sender, IPAddress source, NetworkEndpoint receiver, IPAddress target, byte protocol,
        TimeSpan? wait = null)
    {
        // GRE without options says protocol type IPv4 behind two zero octets; anything else reads it as data.
        byte[] payload = [0, 0, 8, 0, .. Payload()];
        return PacketArrivesAsync(sender, Packets.Ip(source, target, protocol, payload), receiver, wait);
    }

    /// <summary>A TCP segment with data and no connection: nobody ever sent a SYN.</summary>
    public Task<bool> MidStreamArrivesAsync(
        NetworkEndpoint sender, IPEndPoint source, NetworkEndpoint receiver, IPEndPoint target, TimeSpan? wait = null)
    {
        uint sequence = BitConverter.ToUInt32(RandomNumberGenerator.GetBytes(4));
        byte[] packet = Packets.Tcp(source, target, TcpFlags.Ack | TcpFlags.Push, sequence, ~sequence, Payload());
        return PacketArrivesAsync(sender, packet, receiver, wait);
    }

    /// <summary>
    /// A UDP datagram in fragments: true when every byte of it has arrived. <c>choose</c> says which of the fragments
    /// are sent, and in which order; null is all of them.
    /// </summary>
    public async Task<bool> FragmentsArriveAsync(
        NetworkEndpoint sender, IPEndPoint source, NetworkEndpoint receiver, IPEndPoint target, TimeSpan? wait = null,
        Func<byte[][], IEnumerable<byte[]>>? choose = null)
    {
        ArgumentNullException.ThrowIfNull(sender);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(target);
        byte[] payload = RandomNumberGenerator.GetBytes(2400);
        byte[] packet = Packets.Udp(source.Address, target.Address, source.Port, target.Port, payload);
        ReceivedPacket whole = ReceivedPacket.FromIp(packet);
        // A bridge drops IPv6 fragments of which none is as long as the least MTU (br_ip6_fragment, 1,280 bytes).
        byte[][] fragments = Packets.Fragment(packet, 1400);
        FragmentCollector collector = new(whole);
        byte[] mac = network.NextHopMac(sender, target.Address);
        void SendAll()
        {
            foreach (byte[] fragment in choose is null ? fragments : choose(fragments))
            {
                sender.Wire.Send(Packets.FrameOf(mac, sender.Mac, fragment));
            }
        }

        return await SeenAsync(receiver, SendAll, collector.IsCompleteWith, wait);
    }

    /// <summary>Random bytes by which a packet is known again.</summary>
    public static byte[] Payload() => RandomNumberGenerator.GetBytes(PayloadLength);

    private static bool SamePacket(ReceivedPacket seen, ReceivedPacket sent) =>
        seen.Protocol == sent.Protocol
        && !seen.IsFragment
        && seen.Destination.Equals(sent.Destination)
        && seen.Source.Equals(sent.Source)
        && seen.Transport.Span.SequenceEqual(sent.Transport.Span);

    private static IPAddress Own(TcpRoute route) =>
        Packets.IsV4(route.Target.Address) ? route.Client.V4 : route.Client.V6;

    private static async Task<bool> SeenAsync(
        NetworkEndpoint receiver, Action send, Func<ReceivedPacket, bool> recognize, TimeSpan? wait)
    {
        TaskCompletionSource seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using IDisposable watch = receiver.Wire.Subscribe(frame =>
        {
            if (ReceivedPacket.FromFrame(frame) is { } packet && recognize(packet))
            {
                seen.TrySetResult();
            }
        });
        send();
        return await ArrivesAsync(seen.Task, wait);
    }

    private static async Task<bool> ArrivesAsync(Task seen, TimeSpan? wait)
    {
        try
        {
            await seen.WaitAsync(wait ?? DropWait);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }
}

/// <summary>Who connects to what, and who answers.</summary>
/// <param name="Client">Opens the connection.</param>
/// <param name="Target">What the client calls; may be a public address of the listener.</param>
/// <param name="Listener">Where the service runs.</param>
public sealed record TcpRoute(NetworkEndpoint Client, IPEndPoint Target, NetworkEndpoint Listener)
{
    /// <summary>Null: the client's primary address of the family.</summary>
    public IPAddress? Source { get; init; }

    /// <summary>0: one that was not used before.</summary>
    public int SourcePort { get; init; }
}
