using System.Net;

namespace Agent.Netlink.Conntrack;

/// <summary>One direction of a session.</summary>
/// <param name="Source">Source address.</param>
/// <param name="Destination">Destination address, of the same family.</param>
/// <param name="Protocol">IANA number.</param>
/// <param name="SourcePort">TCP, UDP and the like; the identifier for ICMP echo; 0 for others.</param>
/// <param name="DestinationPort">Likewise; for ICMP, type and code as the high and the low byte.</param>
public sealed record FlowTuple(
    IPAddress Source, IPAddress Destination, byte Protocol, ushort SourcePort, ushort DestinationPort);

/// <summary>A session of the connection tracking table.</summary>
/// <param name="Original">As its first packet had it.</param>
/// <param name="Reply">As replies have it.</param>
/// <param name="Zone">Conntrack zone.</param>
/// <param name="Mark">Conntrack mark.</param>
/// <param name="Status">linux/netfilter/nf_conntrack_common.h, IPS_* bits.</param>
/// <param name="TimeoutSeconds">Until it ends, if nothing more is seen.</param>
/// <param name="Id">Tells it from a later session with the same tuples.</param>
public sealed record Flow(
    FlowTuple Original, FlowTuple Reply, ushort Zone, uint Mark, uint Status, uint TimeoutSeconds, uint Id);
