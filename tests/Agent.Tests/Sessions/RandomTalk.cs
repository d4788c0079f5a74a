using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Policy;

namespace Agent.Tests.Sessions;

/// <summary>Somebody who sends and receives: a guest of the host, or the world behind an uplink.</summary>
/// <param name="Name">Names the vNIC: eni-NAME.</param>
/// <param name="Device">The device of the host that it is behind.</param>
/// <param name="Mac">Of the guest; "" for the world.</param>
/// <param name="V4">Its IPv4 address.</param>
/// <param name="V6">Its IPv6 address.</param>
public sealed record Place(string Name, string Device, string Mac, string V4, string V6)
{
    public bool IsGuest => Mac.Length > 0;

    public string Address(IpFamily family) => family == IpFamily.V4 ? V4 : V6;
}

/// <summary>A packet of a conversation, and who sends it to whom.</summary>
public sealed record TalkStep(Place From, Place To, SessionPacket Packet)
{
    public Way Way => new(From.Device, To.Device);

    public override string ToString() => $"{From.Name} to {To.Name}: {Packet}";
}

/// <summary>
/// Two places talk, or at least pretend to: mostly what a sender of the protocol would send next, sometimes anything.
/// </summary>
public sealed class RandomTalk
{
    /// <summary>Out of so many steps, one is not what the protocol would have next; in some talks, each.</summary>
    private const int StepsPerOdd = 5;

    private static readonly byte[] Protocols =
        [6, 6, 6, 17, 17, 1, 47, 50];

    private static readonly ushort[] ServerPorts = [22, 53, 80];

    /// <summary>A TCP session from its first to its last segment: who sends it (true: the server), and what.</summary>
    private static readonly (bool Server, TcpFlags Flags)[] Script =
    [
        (false, TcpFlags.Syn), (true, TcpFlags.Syn | TcpFlags.Ack), (false, TcpFlags.Ack),
        (false, TcpFlags.Ack | TcpFlags.Psh), (true, TcpFlags.Ack | TcpFlags.Psh), (false, TcpFlags.Ack),
        (true, TcpFlags.Fin | TcpFlags.Ack), (false, TcpFlags.Ack), (false, TcpFlags.Fin | TcpFlags.Ack),
        (true, TcpFlags.Ack),
    ];

    private static readonly TcpFlags[] Segments =
    [
        TcpFlags.Syn, TcpFlags.Syn | TcpFlags.Ack, TcpFlags.Ack, TcpFlags.Ack | TcpFlags.Psh,
        TcpFlags.Fin | TcpFlags.Ack, TcpFlags.Rst, TcpFlags.Rst | TcpFlags.Ack, TcpFlags.Fin, TcpFlags.None,
    ];

    private readonly Place client;
    private readonly Place server;
    private readonly PacketTuple forward;
    private readonly ushort id;
    private readonly int stepsPerOdd;
    private SessionPacket? last;
    private bool lastFromServer;
    private int at;

    /// <param name="random">Decides everything.</param>
    /// <param name="places">Who may talk; at least one of the two is a guest.</param>
    /// <param name="port">The client's port, or the identifier: nobody else's.</param>
    public RandomTalk(Random random, IReadOnlyList<Place> places, ushort port)
    {
        ArgumentNullException.ThrowIfNull(random);
        ArgumentNullException.ThrowIfNull(places);
        do
        {
            client = places[random.Next(places.Count)];
            server = places[random.Next(places.Count)];
        }
        while (client == server || !(client.IsGuest || server.IsGuest));

        IpFamily family = random.Next(3) == 0 ? IpFamily.V6 : IpFamily.V4;
        byte protocol = Protocols[random.Next(Protocols.Length)];
        protocol = protocol == IpProtocol.Icmp && family == IpFamily.V6 ? IpProtocol.Icmpv6 : protocol;
        bool ports = IpProtocol.HasPorts(protocol);
        id = port;
        stepsPerOdd = random.Next(4) == 0 ? 1 : StepsPerOdd;
        forward = PacketTuple.Of(
            client.Address(family), server.Address(family), protocol, ports ? port : (ushort)0,
            ports ? ServerPorts[random.Next(ServerPorts.Length)] : (ushort)0);
    }

    public TalkStep Next(Random random)
    {
        ArgumentNullException.ThrowIfNull(random);
        bool wild = random.Next(stepsPerOdd) == 0;
        if (wild && last is not null && random.Next(3) == 0)
        {
            return Complain(random);
        }

        (bool fromServer, PacketShape shape) = forward.Protocol switch
        {
            IpProtocol.Tcp => Segment(random, wild),
            IpProtocol.Icmp or IpProtocol.Icmpv6 => Message(random, wild),
            _ => (last is not null && random.Next(2) == 0 || wild && random.Next(3) == 0, PacketShape.Default),
        };
        var packet = new SessionPacket(fromServer ? forward.Reversed : forward) { Shape = shape };
        (last, lastFromServer) = (packet, fromServer);
        return Step(fromServer, packet);
    }

    private TalkStep Step(bool fromServer, SessionPacket packet) =>
        fromServer ? new TalkStep(server, client, packet) : new TalkStep(client, server, packet);

    private (bool FromServer, PacketShape Shape) Segment(Random random, bool wild)
    {
        if (wild)
        {
            return (random.Next(2) == 0,
                PacketShape.Default with { Tcp = Segments[random.Next(Segments.Length)] });
        }

        (bool fromServer, TcpFlags flags) = Script[at++ % Script.Length];
        return (fromServer, PacketShape.Default with { Tcp = flags });
    }

    private (bool FromServer, PacketShape Shape) Message(Random random, bool wild)
    {
        bool reply = at++ % 2 == 1;
        bool v4 = forward.Family == IpFamily.V4;
        byte type = (v4, reply != (wild && random.Next(2) == 0)) switch
        {
            (true, false) => 8,
            (true, true) => 0,
            (false, false) => 128,
            (false, true) => 129,
        };
        return (reply, PacketShape.Default with { IcmpType = type, IcmpId = id });
    }

    /// <summary>An ICMP message about the last packet, by its receiver; not always to its sender.</summary>
    private TalkStep Complain(Random random)
    {
        bool v4 = forward.Family == IpFamily.V4;
        byte[] types = v4 ? [3, 3, 11, 12, 4, 5] : [1, 2, 2, 3, 4];
        byte type = types[random.Next(types.Length)];
        bool back = random.Next(8) != 0;
        bool fromServer = back ? !lastFromServer : lastFromServer;
        PacketTuple way = fromServer ? forward.Reversed : forward;
        return Step(fromServer, new SessionPacket(
            new PacketTuple(way.Family, way.Source, way.Destination, v4 ? IpProtocol.Icmp : IpProtocol.Icmpv6))
        {
            Shape = PacketShape.Default with { IcmpType = type, IcmpCode = v4 && type == 3 ? (byte)4 : (byte)0 },
            Quoted = last,
        });
    }
}
