using System.Net;
using System.Text;

namespace Agent.TestNet;

/// <summary>A host that forwards, guests on its tap-like devices, and the world behind an uplink.</summary>
/// <remarks>Real kernel, real packets; nothing here is visible outside of its own namespaces.</remarks>
public sealed class TestNetwork : IDisposable
{
    internal const string GatewayV4 = "169.254.0.1";
    internal const string GatewayV6 = "fe80::1";
    private const string Bridge = "br0";

    // Probes forge packets for which no socket exists; the stacks' own complaints about them would be traffic too.
    private const string QuietTable = """
        table inet quiet {
          chain output {
            type filter hook output priority 0; policy accept;
            icmp type destination-unreachable icmp code { port-unreachable, prot-unreachable } drop
            icmpv6 type { destination-unreachable, parameter-problem } drop
          }
        }

        """;

    private readonly TestNetworkOptions options;
    private readonly Dictionary<string, Guest> guests = [];
    private readonly Dictionary<IPAddress, IPAddress> eips = [];
    private readonly HashSet<string> plugged = [];
    private readonly List<NetworkEndpoint> uplinks = [];
    private readonly List<NetworkEndpoint> selves = [];

    private TestNetwork(TestNetworkOptions options)
    {
        this.options = options;
        Host = NewNamespace("host");
        try
        {
            PrepareHost();
            Outsider = BuildOutsider(options.UplinkDevice, [.. options.OutsideAddresses], routingTable: 0);
        }
        catch
        {
            Host.Dispose();
            throw;
        }
    }

    public NetNamespace Host { get; }

    /// <summary>Everything that is not a guest: the internet, other hosts, routers.</summary>
    public NetworkEndpoint Outsider { get; }

    public IReadOnlyDictionary<string, Guest> Guests => guests;

    public Topology Topology => options.Topology;

    public static TestNetwork Create(TestNetworkOptions? options = null, params GuestSpec[] specs)
    {
        ArgumentNullException.ThrowIfNull(specs);
        TestNetwork network = new(options ?? new TestNetworkOptions());
        try
        {
            foreach (GuestSpec spec in specs)
            {
                network.AddGuest(spec);
            }

            return network;
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>Builds a guest, its wire and its routes while everything else goes on.</summary>
    public Guest AddGuest(GuestSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        NetNamespace place = NewNamespace(spec.Name);
        try
        {
            byte[] mac = NetworkEndpoint.ParseMac(spec.Mac);
            // As libvirt does it: the host's end has the guest's address with another first octet.
            byte[] hostMac = [0xfe, .. mac.AsSpan(1)];
            Guest guest = new(spec, place, mac, hostMac);
            PrepareEndpoint(place);
            place.Nft(QuietTable);
            Plug(guest);
            guests.Add(spec.Name, guest);
            return guest;
        }
        catch
        {
            place.Dispose();
            throw;
        }
    }

    /// <summary>The guest is gone: device, wire and namespace.</summary>
    public void RemoveGuest(string name)
    {
        Guest guest = guests[name];
        guests.Remove(name);
        Unplug(guest);
        guest.Close();
        guest.Place.Dispose();
    }

    /// <summary>Takes the guest's device away, as its power-off does. The namespace stays.</summary>
    public void Unplug(Guest guest)
    {
        ArgumentNullException.ThrowIfNull(guest);
        if (plugged.Remove(guest.HostDevice))
        {
            guest.Wire.Dispose();
            Host.IpBatch([$"link del {guest.HostDevice}"]);
        }
    }

    /// <summary>Makes the guest's device, with the same name and addresses, again.</summary>
    public void Plug(Guest guest)
    {
        ArgumentNullException.ThrowIfNull(guest);
        Host.IpBatch(NetworkScripts.HostSide(guest, Topology, options.StaticNeighbours));
        guest.Place.IpBatch(NetworkScripts.GuestSide(guest, Topology, options.StaticNeighbours));
        if (Topology == Topology.Bridged && options.StaticNeighbours)
        {
            MeetNeighbours(guest);
        }

        guest.Wire = EthernetPort.Open(guest.Place, "eth0");
        plugged.Add(guest.HostDevice);
        if (guest.Spec.RoutingTable != 0)
        {
            RouteBy(guest.HostDevice, guest.Spec.RoutingTable);
        }
    }

    private void RouteBy(string device, int routingTable)
    {
        foreach (string family in (string[])["-4", "-6"])
        {
            Host.Exec("ip", family, "rule", "add", "iif", device, "lookup", $"{routingTable}");
        }
    }

    /// <summary>Gives the host's end its addresses and routes again, which it loses by moving or going down.</summary>
    public void ConfigureHostSide(Guest guest)
    {
        ArgumentNullException.ThrowIfNull(guest);
        Host.IpBatch(NetworkScripts.HostSide(guest, Topology, options.StaticNeighbours).Skip(1)
            .Select(line => line.Replace(" add ", " replace ", StringComparison.Ordinal)));
    }

    /// <summary>
    /// Gives a guest's private address a public one. The outsider translates, as a cloud's gateway does: what reaches
    /// the guest has its private address as destination, and a public source.
    /// </summary>
    public void MapEip(IPAddress guestAddress, IPAddress eip)
    {
        eips[guestAddress] = eip;
        StringBuilder script = new("table ip eip\ndelete table ip eip\ntable ip eip {\n");
        foreach (string hook in (string[])["prerouting", "output"])
        {
            script.Append($"  chain {hook} {{\n    type nat hook {hook} priority -100; policy accept;\n");
            script.AppendJoin("", eips.Select(e => $"    ip daddr {e.Value} dnat to {e.Key}\n")).Append("  }\n");
        }

        script.Append("  chain postrouting {\n    type nat hook postrouting priority 100; policy accept;\n");
        script.AppendJoin("", eips.Select(e => $"    ip saddr {e.Key} snat to {e.Value}\n")).Append("  }\n}\n");
        Outsider.Place.Nft(script.ToString());
    }

    /// <summary>
    /// A world of its own behind a device of its own: what comes from there, and from guests with this routing table,
    /// is routed by that table, in which it is the default.
    /// </summary>
    public NetworkEndpoint AddUplink(string device, int routingTable, params string[] addresses)
    {
        NetworkEndpoint world = BuildOutsider(device, addresses, routingTable);
        uplinks.Add(world);
        RouteBy(device, routingTable);
        return world;
    }

    /// <summary>Adds an address that the outsider answers for.</summary>
    public void AddOutsideAddress(string address) =>
        Outsider.Place.IpBatch([NetworkScripts.AddressLine(address, "eth0")]);

    /// <summary>The host itself as an end of traffic, by addresses of its own. It has no wire to watch.</summary>
    public NetworkEndpoint AddHostAddresses(params string[] addresses)
    {
        Host.IpBatch(addresses.Select(address => NetworkScripts.AddressLine(address, "lo")));
        NetworkEndpoint self = new(Host, "lo", new byte[6], new byte[6], addresses);
        selves.Add(self);
        return self;
    }

    /// <summary>The guest with the address, or the outsider.</summary>
    public NetworkEndpoint OwnerOf(IPAddress address) =>
        guests.Values.FirstOrDefault(g => g.Addresses.Contains(address)) ?? Outsider;

    /// <summary>Where a frame to the address must go on the sender's wire.</summary>
    public byte[] NextHopMac(NetworkEndpoint sender, IPAddress destination)
    {
        ArgumentNullException.ThrowIfNull(sender);
        return Topology == Topology.Routed ? sender.HostMac : OwnerOf(destination).Mac;
    }

    public void Dispose()
    {
        foreach (Guest guest in guests.Values)
        {
            guest.Close();
            Release(guest.Place);
        }

        guests.Clear();
        foreach (NetworkEndpoint self in selves)
        {
            self.Close();
        }

        foreach (NetworkEndpoint world in uplinks.Append(Outsider))
        {
            world.Close();
            Release(world.Place);
        }

        Release(Host);
    }

    private void Release(NetNamespace place)
    {
        if (options.PermanentPrefix is null)
        {
            place.Dispose();
        }
        else
        {
            place.Abandon();
        }
    }

    private NetNamespace NewNamespace(string label) => options.PermanentPrefix is { } prefix
        ? NetNamespace.CreateNamed($"{prefix}-{label}", removeAtExit: false)
        : NetNamespace.Create(label);

    private void PrepareHost()
    {
        PrepareEndpoint(Host);
        Host.SetSysctl("net/ipv4/ip_forward", "1");
        Host.SetSysctl("net/ipv6/conf/all/forwarding", "1");
        if (Topology == Topology.Bridged)
        {
            Host.IpBatch([$"link add {Bridge} type bridge mcast_snooping 0", $"link set {Bridge} up"]);
        }
    }

    private NetworkEndpoint BuildOutsider(string device, string[] addresses, int routingTable)
    {
        NetNamespace place = NewNamespace(routingTable == 0 ? "outside" : $"outside{routingTable}");
        try
        {
            byte[] mac = NetworkEndpoint.ParseMac("0e:00:00:00:00:02");
            byte[] hostMac = NetworkEndpoint.ParseMac("0e:00:00:00:00:01");
            NetworkEndpoint outsider = new(place, device, mac, hostMac, addresses);
            PrepareEndpoint(place);
            place.SetSysctl("net/ipv4/ip_forward", "1");
            place.Nft(QuietTable);
            Host.IpBatch(NetworkScripts.UplinkSide(outsider, Topology, routingTable));
            place.IpBatch(NetworkScripts.OutsideSide(outsider, Topology));
            outsider.Wire = EthernetPort.Open(place, "eth0");
            return outsider;
        }
        catch
        {
            place.Dispose();
            throw;
        }
    }

    /// <summary>On one segment, everyone is everyone's neighbour.</summary>
    private void MeetNeighbours(Guest guest)
    {
        foreach (NetworkEndpoint other in guests.Values.Append(Outsider).Where(o => o != guest))
        {
            other.Place.IpBatch(NetworkScripts.NeighbourLines(guest, guest.Mac));
            guest.Place.IpBatch(NetworkScripts.NeighbourLines(other, other.Mac));
        }
    }

    /// <summary>
    /// No duplicate address detection, no redirects, no reverse path filter, before any device exists.
    /// </summary>
    private static void PrepareEndpoint(NetNamespace place) => place.Run(() =>
    {
        foreach (string scope in (string[])["all", "default"])
        {
            Write($"ipv4/conf/{scope}/rp_filter", "0");
            Write($"ipv4/conf/{scope}/send_redirects", "0");
            Write($"ipv4/conf/{scope}/accept_redirects", "0");
            Write($"ipv6/conf/{scope}/accept_dad", "0");
            Write($"ipv6/conf/{scope}/dad_transmits", "0");
            Write($"ipv6/conf/{scope}/accept_ra", "0");
            Write($"ipv6/conf/{scope}/accept_redirects", "0");
            Write($"ipv6/conf/{scope}/router_solicitations", "0");
        }

        // Hundreds of probes an instant, some of them errors: nothing of that is to be held back.
        Write("ipv4/icmp_ratelimit", "0");
        Write("ipv6/icmp/ratelimit", "0");

        static void Write(string path, string value) => File.WriteAllText($"/proc/sys/net/{path}", value);
    });
}
