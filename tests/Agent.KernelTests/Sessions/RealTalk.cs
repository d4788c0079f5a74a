using System.Collections.Concurrent;
using System.Net;
using Agent.Evaluator.Sessions;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Sessions;

namespace Agent.KernelTests.Sessions;

/// <summary>Puts the packets of conversations on real wires, and says of each whether it came through.</summary>
/// <remarks>
/// Behind each packet goes one that is always let through. What has not arrived when that one has, was dropped: both go
/// through the same queues. The stacks of the ends are mute, so that nobody but us talks.
/// </remarks>
internal sealed class RealTalk : IDisposable
{
    private const uint ClientStart = 1000;
    private const uint ServerStart = 5000;

    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(5));

    private readonly TestNetwork network;
    private readonly Random random;
    private readonly Dictionary<string, NetworkEndpoint> ends = [];
    private readonly Dictionary<string, BlockingCollection<ReceivedPacket>> arrivals = [];
    private readonly List<IDisposable> watches = [];
    private readonly Dictionary<SessionPacket, byte[]> sent = new(ReferenceEqualityComparer.Instance);

    /// <param name="network">Where the places are.</param>
    /// <param name="endsByPlace">The places, and where each is.</param>
    /// <param name="random">For the contents of packets.</param>
    public RealTalk(TestNetwork network, IReadOnlyDictionary<Place, NetworkEndpoint> endsByPlace, Random random)
    {
        this.network = network;
        this.random = random;
        foreach ((Place place, NetworkEndpoint end) in endsByPlace)
        {
            var queue = new BlockingCollection<ReceivedPacket>();
            end.Place.Nft("table inet mute { chain out { type filter hook output priority -400; policy drop; }; }");
            ends.Add(place.Name, end);
            arrivals.Add(place.Name, queue);
            watches.Add(end.Wire.Subscribe(frame =>
            {
                if (ReceivedPacket.FromFrame(frame) is { } packet)
                {
                    queue.Add(packet);
                }
            }));
        }
    }

    /// <summary>Sends the packet of a step.</summary>
    /// <returns>Whether it has arrived at the other end.</returns>
    public bool Arrives(TalkStep step)
    {
        byte[] packet = Bytes(step.Packet);
        byte[] last = Packets.Udp(
            IPAddress.Parse(step.From.V4), IPAddress.Parse(step.To.V4), TalkStates.OpenPort, TalkStates.OpenPort,
            Marker());
        ReceivedPacket wanted = ReceivedPacket.FromIp(packet);
        ReceivedPacket end = ReceivedPacket.FromIp(last);
        NetworkEndpoint sender = ends[step.From.Name];
        foreach (byte[] one in (byte[][])[packet, last])
        {
            IPAddress target = ReceivedPacket.FromIp(one).Destination;
            sender.Wire.Send(Packets.FrameOf(network.NextHopMac(sender, target), sender.Mac, one));
        }

        bool arrived = false;
        while (true)
        {
            Assert.True(arrivals[step.To.Name].TryTake(out ReceivedPacket? seen, Patience), $"no end came: {step}");
            if (Same(seen, end))
            {
                return arrived;
            }

            arrived |= Same(seen, wanted);
        }
    }

    public void Dispose()
    {
        foreach (IDisposable watch in watches)
        {
            watch.Dispose();
        }

        foreach (BlockingCollection<ReceivedPacket> queue in arrivals.Values)
        {
            queue.Dispose();
        }
    }

    private static bool Same(ReceivedPacket one, ReceivedPacket other) =>
        one.Protocol == other.Protocol && one.Source.Equals(other.Source) && one.Destination.Equals(other.Destination)
        && one.Transport.Span.SequenceEqual(other.Transport.Span);

    private byte[] Marker()
    {
        byte[] bytes = new byte[24];
        random.NextBytes(bytes);
        return bytes;
    }

    private byte[] Bytes(SessionPacket packet)
    {
        Evaluator.PacketTuple tuple = packet.Tuple;
        IPAddress source = IpPrefix.AddressOf(tuple.Family, tuple.Source);
        IPAddress target = IpPrefix.AddressOf(tuple.Family, tuple.Destination);
        byte[] bytes = tuple.Protocol switch
        {
            IpProtocol.Tcp => Segment(packet, source, target),
            IpProtocol.Udp => Packets.Udp(source, target, tuple.SourcePort, tuple.DestinationPort, Marker()),
            IpProtocol.Icmp or IpProtocol.Icmpv6 => Packets.Icmp(
                source, target, packet.IcmpType, packet.Shape.IcmpCode, Body(packet)),
            IpProtocol.Gre => Packets.Ip(source, target, tuple.Protocol, [0, 0, 8, 0, .. Marker()]),
            _ => Packets.Ip(source, target, tuple.Protocol, Marker()),
        };
        sent[packet] = bytes;
        return bytes;
    }

    // Sequence numbers stand still, so that nothing is out of the window: what moves is the state. A reset may come
    // before the other end has sent anything that it could acknowledge.
    private byte[] Segment(SessionPacket packet, IPAddress source, IPAddress target)
    {
        Evaluator.PacketTuple tuple = packet.Tuple;
        Evaluator.TcpFlags flags = packet.Shape.Tcp;
        bool ofServer = tuple.SourcePort < tuple.DestinationPort;
        bool acknowledges =
            flags.HasFlag(Evaluator.TcpFlags.Ack) && !flags.HasFlag(Evaluator.TcpFlags.Rst);
        (uint own, uint other) = ofServer ? (ServerStart, ClientStart) : (ClientStart, ServerStart);
        return Packets.Tcp(
            new IPEndPoint(source, tuple.SourcePort), new IPEndPoint(target, tuple.DestinationPort), (TcpFlags)flags,
            flags.HasFlag(Evaluator.TcpFlags.Syn) ? own : own + 1,
            acknowledges ? other + 1 : 0,
            [], (ushort)random.Next(ushort.MaxValue));
    }

    private byte[] Body(SessionPacket packet)
    {
        byte[] marker = Marker();
        return packet.Quoted is { } quoted
            ? [marker[0], marker[1], 5, 120, .. sent[quoted]] // 1400: where the message has an MTU
            : [(byte)(packet.Shape.IcmpId >> 8), (byte)(packet.Shape.IcmpId & 0xff), .. marker];
    }
}
