using System.Globalization;
using System.Net;
using Agent.TestNet;

namespace Agent.Benchmarks.Packets;

/// <summary>
/// A host that forwards between guests on veth pairs, in namespaces of its own, with one firewall.
/// </summary>
/// <remarks>
/// <code>
/// guests namespace            host namespace                     guests namespace
/// g0 (sender)     ---------   tap-0  -- routed --  tap-N    ---  g1 (receiver)
/// g2 (outside)    ---------   uplink0
/// </code>
/// The neighbour entries of the host name MAC addresses that nobody has, so the far end counts a frame and forgets it:
/// no hook, no socket, no answer.
/// </remarks>
internal sealed class PacketBed : IDisposable
{
    private const string Nobody = "02:ff:ff:ff:ff:ff";
    private const string HostMac = "fe:00:00:00:00:01";
    private static readonly IPAddress World = IPAddress.Parse("198.51.100.7");

    private readonly NetNamespace guests;
    private readonly FrameSender sender;
    private readonly FrameSender receiver;
    private readonly FrameSender outside;
    private readonly IDisposable firewall;

    private PacketBed(IFirewall kind, TrafficPolicy policy, NetNamespace host, NetNamespace guests)
    {
        (Kind, Policy, Host, this.guests) = (kind, policy, host, guests);
        Wire();
        sender = FrameSender.Open(guests, "g0");
        receiver = FrameSender.Open(guests, "g1");
        outside = FrameSender.Open(guests, "g2");
        firewall = kind.Load(host, policy);
    }

    public IFirewall Kind { get; }

    public TrafficPolicy Policy { get; }

    public NetNamespace Host { get; }

    public static PacketBed Build(IFirewall kind, TrafficPolicy policy)
    {
        NetNamespace host = NetNamespace.Create("host");
        NetNamespace guests = NetNamespace.Create("guests");
        try
        {
            return new PacketBed(kind, policy, host, guests);
        }
        catch
        {
            guests.Dispose();
            host.Dispose();
            throw;
        }
    }

    /// <summary>Sends from the sender to the receiver.</summary>
    /// <exception cref="InvalidOperationException">Others arrived than should: something else was measured.</exception>
    public BurstCost Forward(FrameBurst frames, int count, int first = 0) =>
        Checked(sender, "g1", count, frames, count, first);

    /// <summary>Answers of the receiver.</summary>
    public void Answer(FrameBurst frames, int count) => Checked(receiver, "g0", count, frames, count, 0);

    /// <summary>From outside to the receiver; nothing may arrive there.</summary>
    public BurstCost Flood(FrameBurst frames, int count) => Checked(outside, "g1", 0, frames, count, 0);

    /// <summary>UDP from the sender, one source port after the other.</summary>
    public FrameBurst Datagrams(int sessions, int firstPort) => new([.. Enumerable.Range(firstPort, sessions).Select(
        port => FromSender(TestNet.Packets.Udp(Address(TrafficPolicy.Sender), Address(Policy.Receiver), port,
            TrafficPolicy.OpenPort, new byte[18])))]);

    public FrameBurst DatagramAnswers(int sessions, int firstPort) => new(
        [.. Enumerable.Range(firstPort, sessions).Select(port => FromReceiver(TestNet.Packets.Udp(
            Address(Policy.Receiver), Address(TrafficPolicy.Sender), TrafficPolicy.OpenPort, port, new byte[18])))]);

    /// <summary>A segment of each TCP session.</summary>
    public FrameBurst Segments(int sessions, int firstPort, TcpFlags flags, uint sequence, uint acknowledged) => new(
        [.. Enumerable.Range(firstPort, sessions).Select(port => FromSender(TestNet.Packets.Tcp(
            new IPEndPoint(Address(TrafficPolicy.Sender), port),
            new IPEndPoint(Address(Policy.Receiver), TrafficPolicy.OpenPort), flags, sequence, acknowledged, [])))]);

    public FrameBurst SegmentAnswers(int sessions, int firstPort, TcpFlags flags, uint sequence, uint acknowledged) =>
        new([.. Enumerable.Range(firstPort, sessions).Select(port => FromReceiver(TestNet.Packets.Tcp(
            new IPEndPoint(Address(Policy.Receiver), TrafficPolicy.OpenPort),
            new IPEndPoint(Address(TrafficPolicy.Sender), port), flags, sequence, acknowledged, [])))]);

    /// <summary>Datagrams from outside to a port that no rule opens for anybody there.</summary>
    public FrameBurst Strangers(int count) => new([.. Enumerable.Range(1, count).Select(port => TestNet.Packets.FrameOf(
        Mac(HostMac), Mac(Nobody),
        TestNet.Packets.Udp(World, Address(Policy.Receiver), 10_000 + port, 9, new byte[18])))]);

    public void ForgetSessions() => SessionTable.Flush(Host);

    public void Dispose()
    {
        firewall.Dispose();
        sender.Dispose();
        receiver.Dispose();
        outside.Dispose();
        guests.Dispose();
        Host.Dispose();
    }

    private void Wire()
    {
        foreach (NetNamespace place in (NetNamespace[])[Host, guests])
        {
            place.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1");
            place.SetSysctl("net/ipv6/conf/default/disable_ipv6", "1");
            place.SetSysctl("net/ipv4/conf/all/rp_filter", "0");
            place.SetSysctl("net/ipv4/conf/default/rp_filter", "0");
        }

        Host.SetSysctl("net/ipv4/ip_forward", "1");
        (string Device, string Far, string FarMac, string Address)[] wires =
        [
            (TrafficPolicy.Sender.Device, "g0", TrafficPolicy.Sender.Mac, TrafficPolicy.Sender.Address),
            (Policy.Receiver.Device, "g1", Policy.Receiver.Mac, Policy.Receiver.Address),
            ("uplink0", "g2", Nobody, World.ToString()),
        ];
        foreach ((string device, string far, _, string address) in wires)
        {
            Host.IpBatch(
            [
                $"link add {device} address {HostMac} type veth peer name {far} netns {guests.Name}",
                $"link set {device} up",
                $"route add {address}/32 dev {device}",
                $"neigh replace {address} lladdr {Nobody} dev {device} nud permanent",
            ]);
            guests.IpBatch([$"link set {far} up"]);
        }
    }

    private BurstCost Checked(
        FrameSender from, string to, int expected, FrameBurst frames, int count, int first)
    {
        long before = Received(to);
        BurstCost cost = from.Send(frames, count, first);
        long arrived = Received(to) - before;
        return arrived == expected ? cost : throw new InvalidOperationException(string.Create(
            CultureInfo.InvariantCulture,
            $"{Kind.Name}, {Policy.Rules} rules: of {count} frames {arrived} arrived, and not {expected}"));
    }

    // /proc/net/dev of the calling thread's namespace: the receive packets are the second number.
    private long Received(string device) => guests.Run(() => File.ReadLines("/proc/thread-self/net/dev")
        .Select(line => line.Split([' ', ':'], StringSplitOptions.RemoveEmptyEntries))
        .Where(words => words[0] == device)
        .Select(words => long.Parse(words[2], CultureInfo.InvariantCulture)).Single());

    private static byte[] FromSender(byte[] packet) =>
        TestNet.Packets.FrameOf(Mac(HostMac), Mac(TrafficPolicy.Sender.Mac), packet);

    private byte[] FromReceiver(byte[] packet) =>
        TestNet.Packets.FrameOf(Mac(HostMac), Mac(Policy.Receiver.Mac), packet);

    private static IPAddress Address(TrafficPort port) => IPAddress.Parse(port.Address);

    private static byte[] Mac(string text) => TrafficPort.ParseMac(text).ToBytes();
}
