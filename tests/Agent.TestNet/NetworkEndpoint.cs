using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Agent.TestNet;

/// <summary>Something with one eth0 in its own namespace: a guest, or the world outside.</summary>
public class NetworkEndpoint
{
    private readonly Dictionary<int, TcpService> services = [];
    private readonly Lock gate = new();

    internal NetworkEndpoint(NetNamespace place, string hostDevice, byte[] mac, byte[] hostMac, string[] addresses)
    {
        Place = place;
        HostDevice = hostDevice;
        Mac = mac;
        HostMac = hostMac;
        Addresses = [.. addresses.Select(IPAddress.Parse)];
    }

    public NetNamespace Place { get; }

    /// <summary>The device in the host namespace.</summary>
    public string HostDevice { get; }

    public byte[] Mac { get; }

    /// <summary>Of the host's end of the wire.</summary>
    public byte[] HostMac { get; }

    public IReadOnlyList<IPAddress> Addresses { get; }

    /// <summary>The wire at eth0. A new one after the NIC was plugged again.</summary>
    public EthernetPort Wire { get; internal set; } = null!;

    /// <summary>The primary IPv4 address.</summary>
    public IPAddress V4 => Addresses.First(Packets.IsV4);

    /// <summary>The primary IPv6 address.</summary>
    public IPAddress V6 => Addresses.First(a => !Packets.IsV4(a));

    internal static byte[] ParseMac(string text) =>
        [.. text.Split(':').Select(o => byte.Parse(o, NumberStyles.HexNumber, CultureInfo.InvariantCulture))];

    internal static string FormatMac(byte[] mac) =>
        string.Join(':', mac.Select(o => o.ToString("x2", CultureInfo.InvariantCulture)));

    /// <summary>Listens on a TCP port of every address, from now on.</summary>
    public TcpService Listen(int port)
    {
        lock (gate)
        {
            if (!services.TryGetValue(port, out TcpService? service))
            {
                service = new TcpService(Place, port);
                services.Add(port, service);
            }

            return service;
        }
    }

    /// <summary>An UDP socket bound here, to the next port that nobody has.</summary>
    public Socket OpenUdp(IPAddress address)
    {
        while (true)
        {
            try
            {
                return OpenUdp(address, PortNumbers.Next());
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                // a conversation that has lived since numbers went round
            }
        }
    }

    /// <summary>An UDP socket bound here.</summary>
    public Socket OpenUdp(IPAddress address, int port)
    {
        ArgumentNullException.ThrowIfNull(address);
        Socket socket = Place.OpenSocket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            socket.Bind(new IPEndPoint(address, port));
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            throw;
        }
    }

    internal void Close()
    {
        foreach (TcpService service in services.Values)
        {
            service.Dispose();
        }

        services.Clear();
        Wire?.Dispose();
    }
}

/// <summary>
/// A guest of the network; <see cref="TestNetwork.Unplug"/> and <see cref="TestNetwork.Plug"/> move its NIC.
/// </summary>
public sealed class Guest : NetworkEndpoint
{
    internal Guest(GuestSpec spec, NetNamespace place, byte[] mac, byte[] hostMac)
        : base(place, spec.Device, mac, hostMac, spec.Addresses) => Spec = spec;

    public GuestSpec Spec { get; }
}

/// <summary>Source ports and identifiers that no earlier probe of this process has used.</summary>
public static class PortNumbers
{
    private const int First = 10_000;

    // Below the range from which the kernel takes its own, so that neither meets the other.
    private const int Count = 22_000;
    private static int last;

    public static int Next() => First + (int)((uint)Interlocked.Increment(ref last) % Count);
}
