namespace Agent.Netlink.Route;

/// <summary>One network device of this namespace, as the kernel last reported it.</summary>
/// <param name="Index">ifindex; not reused before 2^31 devices, so it tells a new device from a renamed one.</param>
/// <param name="Name">At most 15 bytes.</param>
/// <param name="Mac">48 bits, first octet highest; null if the device has no Ethernet address.</param>
/// <param name="AdminUp">IFF_UP: somebody set it up.</param>
/// <param name="Carrier">IFF_LOWER_UP: the layer below is there.</param>
/// <param name="Oper">RFC 2863 state; many virtual devices stay unknown.</param>
/// <param name="MasterIndex">ifindex of the bridge, bond or VRF; null if it has none.</param>
/// <param name="Kind">"veth", "tun", "bridge" ...; null for hardware and loopback.</param>
public sealed record LinkState(
    int Index,
    string Name,
    ulong? Mac,
    bool AdminUp,
    bool Carrier,
    IfOper Oper,
    int? MasterIndex,
    string? Kind);

/// <summary>What happened to the devices of this namespace.</summary>
public abstract record LinkEvent
{
    private LinkEvent()
    {
    }

    /// <summary>A device is new, or something of it changed; also sent when nothing that we keep did.</summary>
    public sealed record Changed(LinkState Link) : LinkEvent;

    public sealed record Deleted(int Index, string Name) : LinkEvent;

    /// <summary>Events were lost: read all links again.</summary>
    public sealed record Overrun : LinkEvent;
}
