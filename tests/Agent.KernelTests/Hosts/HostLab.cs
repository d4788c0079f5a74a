using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Agent.KernelTests.Sessions;
using Agent.Nftables;
using Agent.TestNet;

namespace Agent.KernelTests.Hosts;

/// <summary>
/// A host with addresses of its own, a world with a metadata server in it, and a counter of what guests got into the
/// host.
/// </summary>
public sealed class HostLab : SessionLab
{
    internal const string V4 = "192.0.2.1";
    internal const string V6 = "2001:db8:5::1";
    internal const string GatewayV4 = "169.254.0.1";
    internal const string MetadataV4 = "100.100.100.200";
    internal const string MetadataV6 = "fd00:ec2::254";
    internal const string HostMetadataV4 = "169.254.169.254";
    internal const string HostMetadataV6 = "fd00:ec2::1";
    internal const string ServerV4 = "198.51.100.7";
    internal const string ServerV6 = "2001:db8:ffff::7";
    internal const string StrangerV4 = "203.0.113.9";
    internal const string StrangerV6 = "2001:db8:ffff::9";
    internal const int TrustedMark = 0x0e1b;
    private const string Beyond = "beyond";

    private readonly Dictionary<AddressFamily, Socket> raw = [];
    private NetworkEndpoint? self;

    /// <summary>The host as an end of traffic.</summary>
    internal NetworkEndpoint Self => self ?? throw new InvalidOperationException("not initialized");

    public override async ValueTask DisposeAsync()
    {
        foreach (Socket socket in raw.Values)
        {
            socket.Dispose();
        }

        await base.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    protected override void Configure(JsonObject configuration)
    {
        configuration["dhcp_servers"] = new JsonArray(ServerV4, ServerV6);
        configuration["semantics"] = new JsonObject
        {
            ["metadata_addresses"] = new JsonArray(MetadataV4, MetadataV6, HostMetadataV4, HostMetadataV6),
            ["trusted_marks"] = new JsonArray(TrustedMark),
        };
    }

    protected override void Prepare(TestNetwork network)
    {
        self = network.AddHostAddresses(V4, V6, HostMetadataV4, HostMetadataV6);
        network.AddOutsideAddress(MetadataV4);
        network.AddOutsideAddress(MetadataV6);
        // Behind the agent's input chain: what comes here has passed it.
        network.Host.Nft(
            $"table inet {Beyond} {{\n counter passed {{ }}\n chain input {{\n type filter hook input priority 100\n"
            + " iifname \"tap-*\" counter name passed\n }\n}\n");
    }

    /// <summary>Sends from the guest's wire to its gateway; says how many came into the host.</summary>
    internal async Task<(int Passed, string[] Dropped)> ToHostAsync(Guest guest, params Shot[] shots)
    {
        using NftConnection kernel = Lab.Network.Host.Run(() => new NftConnection());
        return await Volley.CountAsync(
            packet => guest.Wire.Send(Packets.FrameOf(guest.HostMac, guest.Mac, packet)),
            () => (int)kernel.ReadCounters(NftFamily.Inet, Beyond).Objects["passed"].Packets, shots);
    }

    /// <summary>Each gets in; what the guest says to the answer may follow.</summary>
    internal async Task PassToHostAsync(Guest guest, params Shot[] shots)
    {
        foreach (Shot shot in shots)
        {
            (int passed, string[] dropped) = await ToHostAsync(guest, shot);
            Assert.True(passed >= 1 && dropped.Length == 0, $"{shot.Name}: {string.Join(", ", dropped)}");
        }
    }

    internal async Task DropToHostAsync(Guest guest, string counter, params Shot[] shots)
    {
        (int passed, string[] dropped) = await ToHostAsync(guest, shots);
        Assert.Equal([$"{counter} {shots.Length}"], dropped);
        Assert.Equal(0, passed);
    }

    /// <summary>Sends whole IP packets from the host, by its routes and through its output hook.</summary>
    internal Task<Fate> FromHostAsync(Guest guest, params Shot[] shots) => Volley.SendAsync(SendFromHost, guest, shots);

    internal async Task PassFromHostAsync(Guest guest, params Shot[] shots)
    {
        Fate fate = await FromHostAsync(guest, shots);
        Assert.Equal(shots.Select(shot => shot.Name), fate.Arrived);
        Assert.Empty(fate.Dropped);
    }

    internal async Task DropFromHostAsync(Guest guest, string counter, params Shot[] shots)
    {
        Fate fate = await FromHostAsync(guest, shots);
        Assert.Equal([$"{counter} {shots.Length}"], fate.Dropped);
        Assert.Empty(fate.Arrived);
    }

    /// <summary>The first packet of a session of each kind: TCP, UDP, echo, and a protocol without ports.</summary>
    internal static Shot[] Openers(IPAddress from, IPAddress to, int port) =>
    [
        new("TCP", Packets.Tcp(
            new IPEndPoint(from, PortNumbers.Next()), new IPEndPoint(to, port), TcpFlags.Syn, 1, 0, [])),
        new("UDP", Packets.Udp(from, to, PortNumbers.Next(), port, Probe.Payload())),
        new("echo", Packets.Echo(from, to, PortNumbers.Next(), 1, Probe.Payload())),
        new("ESP", Packets.Ip(from, to, 50, Probe.Payload())),
        new("GRE", Packets.Ip(from, to, 47, [0, 0, 8, 0, .. Probe.Payload()])),
    ];

    private void SendFromHost(byte[] packet)
    {
        IPAddress target = ReceivedPacket.FromIp(packet).Destination;
        if (!raw.TryGetValue(target.AddressFamily, out Socket? socket))
        {
            // IPPROTO_RAW: the packet brings its own IP header, in both families.
            socket = Lab.Network.Host.OpenSocket(target.AddressFamily, SocketType.Raw, ProtocolType.Raw);
            raw.Add(target.AddressFamily, socket);
        }

        try
        {
            socket.SendTo(packet, new IPEndPoint(target, 0));
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.AccessDenied)
        {
            // How the kernel tells a local sender that a packet was dropped; the counters say it too.
        }
    }
}
