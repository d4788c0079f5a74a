namespace Agent.TestNet;

public enum Topology
{
    /// <summary>The host routes between its devices; every guest has host routes and a link-local gateway.</summary>
    Routed,

    /// <summary>The host-side devices are ports of a Linux bridge; guests and the outsider share one segment.</summary>
    Bridged,
}

/// <summary>A guest to be built.</summary>
/// <param name="Name">Short; names the namespace.</param>
/// <param name="Device">Host-side device, such as <c>tap-web1</c>.</param>
/// <param name="Mac">Of the guest's eth0.</param>
/// <param name="Addresses">IPv4 and IPv6, primary first.</param>
public sealed record GuestSpec(string Name, string Device, string Mac, params string[] Addresses)
{
    /// <summary>Prefixes that the host routes to the guest beside its addresses.</summary>
    public string[] DelegatedPrefixes { get; init; } = [];

    /// <summary>
    /// The host's routing table in which the guest is found, and that its packets are routed by; 0 is the main one.
    /// Guests with the same addresses need different ones. Routed topology only.
    /// </summary>
    public int RoutingTable { get; init; }
}

public sealed record TestNetworkOptions
{
    public Topology Topology { get; init; } = Topology.Routed;

    public string UplinkDevice { get; init; } = "uplink0";

    /// <summary>
    /// Addresses that the outsider answers for. Any other address outside can still be sniffed and forged.
    /// </summary>
    public IReadOnlyList<string> OutsideAddresses { get; init; } =
    [
        "198.51.100.7", "203.0.113.9", "10.1.2.3", "8.8.8.8", "2001:db8:ffff::7", "2001:db8:ffff::9",
    ];

    /// <summary>
    /// Neighbours are written down, so that a first packet costs no ARP. Off: ARP and ND do their work.
    /// </summary>
    public bool StaticNeighbours { get; init; } = true;

    /// <summary>Names the namespaces exactly PREFIX-host and so on, and leaves them when the process ends.</summary>
    public string? PermanentPrefix { get; init; }
}
