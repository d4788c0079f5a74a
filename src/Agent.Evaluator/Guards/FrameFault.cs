namespace Agent.Evaluator.Guards;

/// <summary>What a guest may not send (semantics.md 5.4 and 9.5).</summary>
public enum FrameFault : byte
{
    /// <summary>Its source is not the vNIC's MAC address.</summary>
    Mac = 1,

    /// <summary>Neither IPv4, IPv6 nor ARP, or tagged.</summary>
    EtherType,

    /// <summary>IPv4 from another address than its own, or with a header that nobody can follow.</summary>
    Ip4,

    /// <summary>The same of IPv6, and a source route.</summary>
    Ip6,

    /// <summary>ARP that speaks for another MAC or IPv4 address.</summary>
    Arp,

    /// <summary>Neighbour discovery that speaks for another MAC or IPv6 address, or might.</summary>
    NeighbourDiscovery,

    RouterAdvertisement,

    Redirect,

    /// <summary>An answer of a DHCP server, or what might be one.</summary>
    DhcpServer,
}

/// <summary>Faults as guards count them.</summary>
internal static class FrameFaults
{
    /// <summary>The kind in a counter's name: <c>spoof_KIND_INTERFACE</c> (ARCHITECTURE.md).</summary>
    public static string KindOf(FrameFault fault) => fault switch
    {
        FrameFault.Mac => "mac",
        FrameFault.EtherType => "ethertype",
        FrameFault.Ip4 => "ip4",
        FrameFault.Ip6 => "ip6",
        FrameFault.Arp => "arp",
        FrameFault.NeighbourDiscovery => "nd",
        FrameFault.RouterAdvertisement => "ra",
        FrameFault.Redirect => "redirect",
        FrameFault.DhcpServer => "dhcp",
        _ => throw new ArgumentOutOfRangeException(nameof(fault), fault, "no such fault"),
    };

    /// <summary>What stands in a counter's name in front of the interface's part.</summary>
    public static string PrefixOf(FrameFault fault) => $"spoof_{KindOf(fault)}_";
}
