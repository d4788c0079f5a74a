using System.Net;

namespace Agent.TestNet;

/// <summary>The <c>ip -batch</c> lines of each side of each wire.</summary>
internal static class NetworkScripts
{
    /// <summary>A gateway in the routed topology is the host; in the bridged one, the outsider.</summary>
    private const string OutsideLinkV4 = "169.254.0.2";
    private const string OutsideLinkV6 = "fe80::2";

    internal static List<string> HostSide(Guest guest, Topology topology, bool staticNeighbours)
    {
        string device = guest.HostDevice;
        string mac = NetworkEndpoint.FormatMac(guest.Mac);
        List<string> lines =
        [
            $"link add {device} address {NetworkEndpoint.FormatMac(guest.HostMac)} type veth"
                + $" peer name eth0 address {mac} netns {guest.Place.Name}",
        ];
        if (topology == Topology.Bridged)
        {
            lines.Add($"link set {device} master br0");
            lines.Add($"link set {device} up");
            return lines;
        }

        lines.Add($"addr add {TestNetwork.GatewayV4}/32 dev {device}");
        lines.Add($"addr add {TestNetwork.GatewayV6}/64 dev {device} nodad");
        lines.Add($"link set {device} up");
        string table = TableOf(guest.Spec.RoutingTable);
        lines.AddRange(guest.Addresses.Select(a => $"route add {a}/{Width(a)} dev {device}{table}"));
        if (staticNeighbours)
        {
            lines.AddRange(guest.Addresses.Select(a => $"neigh replace {a} lladdr {mac} dev {device} nud permanent"));
        }

        foreach (string prefix in guest.Spec.DelegatedPrefixes)
        {
            IPAddress via = prefix.Contains(':', StringComparison.Ordinal) ? guest.V6 : guest.V4;
            lines.Add($"route add {prefix} via {via} dev {device} onlink{table}");
        }

        return lines;
    }

    internal static List<string> GuestSide(Guest guest, Topology topology, bool staticNeighbours)
    {
        bool routed = topology == Topology.Routed;
        string gatewayMac = NetworkEndpoint.FormatMac(routed ? guest.HostMac : OutsideMac);
        List<string> lines = ["link set eth0 up", .. guest.Addresses.Select(a => AddressLine(a.ToString(), "eth0"))];
        if (!routed)
        {
            // One segment: what looks like a neighbour is one.
            lines.AddRange(guest.Addresses.Select(OnLinkNet).Distinct().Select(n => $"route add {n} dev eth0"));
        }

        if (staticNeighbours)
        {
            lines.Add($"neigh replace {TestNetwork.GatewayV4} lladdr {gatewayMac} dev eth0 nud permanent");
            lines.Add($"neigh replace {TestNetwork.GatewayV6} lladdr {gatewayMac} dev eth0 nud permanent");
        }

        if (guest.Addresses.Any(Packets.IsV4))
        {
            lines.Add($"route add default via {TestNetwork.GatewayV4} dev eth0 onlink src {guest.V4}");
        }

        if (guest.Addresses.Any(a => !Packets.IsV4(a)))
        {
            lines.Add($"route add ::/0 via {TestNetwork.GatewayV6} dev eth0 src {guest.V6}");
        }

        return lines;
    }

    internal static List<string> UplinkSide(NetworkEndpoint outsider, Topology topology, int routingTable = 0)
    {
        string device = outsider.HostDevice;
        string mac = NetworkEndpoint.FormatMac(outsider.Mac);
        List<string> lines =
        [
            $"link add {device} address {NetworkEndpoint.FormatMac(outsider.HostMac)} type veth"
                + $" peer name eth0 address {mac} netns {outsider.Place.Name}",
        ];
        if (topology == Topology.Bridged)
        {
            lines.Add($"link set {device} master br0");
            lines.Add($"link set {device} up");
            return lines;
        }

        lines.AddRange(
        [
            $"addr add {TestNetwork.GatewayV4}/32 dev {device}",
            $"addr add {TestNetwork.GatewayV6}/64 dev {device} nodad",
            $"link set {device} up",
            $"neigh replace {OutsideLinkV4} lladdr {mac} dev {device} nud permanent",
            $"neigh replace {OutsideLinkV6} lladdr {mac} dev {device} nud permanent",
            $"route add default via {OutsideLinkV4} dev {device} onlink{TableOf(routingTable)}",
            $"route add ::/0 via {OutsideLinkV6} dev {device}{TableOf(routingTable)}",
        ]);
        return lines;
    }

    private static string TableOf(int routingTable) => routingTable == 0 ? "" : $" table {routingTable}";

    internal static List<string> OutsideSide(NetworkEndpoint outsider, Topology topology)
    {
        List<string> lines =
        [
            "link set eth0 up",
            .. outsider.Addresses.Select(a => AddressLine(a.ToString(), "eth0")),
        ];
        if (topology == Topology.Bridged)
        {
            lines.AddRange(
            [
                AddressLine(TestNetwork.GatewayV4, "eth0"),
                $"addr add {TestNetwork.GatewayV6}/64 dev eth0 nodad",
                "route add default dev eth0",
                "route add ::/0 dev eth0",
            ]);
            return lines;
        }

        string gateway = NetworkEndpoint.FormatMac(outsider.HostMac);
        lines.AddRange(
        [
            $"neigh replace {TestNetwork.GatewayV4} lladdr {gateway} dev eth0 nud permanent",
            $"neigh replace {TestNetwork.GatewayV6} lladdr {gateway} dev eth0 nud permanent",
            $"route add default via {TestNetwork.GatewayV4} dev eth0 onlink",
            $"route add ::/0 via {TestNetwork.GatewayV6} dev eth0",
        ]);
        return lines;
    }

    internal static IEnumerable<string> NeighbourLines(NetworkEndpoint who, byte[] mac) =>
        who.Addresses.Select(
            a => $"neigh replace {a} lladdr {NetworkEndpoint.FormatMac(mac)} dev eth0 nud permanent");

    internal static string AddressLine(string address, string device) =>
        address.Contains(':', StringComparison.Ordinal)
            ? $"addr add {address}/128 dev {device} nodad"
            : $"addr add {address}/32 dev {device}";

    private static byte[] OutsideMac => NetworkEndpoint.ParseMac("0e:00:00:00:00:02");

    private static int Width(IPAddress address) => Packets.IsV4(address) ? 32 : 128;

    private static string OnLinkNet(IPAddress address)
    {
        byte[] bytes = address.GetAddressBytes();
        int kept = Packets.IsV4(address) ? 3 : 8;
        Array.Clear(bytes, kept, bytes.Length - kept);
        return $"{new IPAddress(bytes)}/{kept * 8}";
    }
}
