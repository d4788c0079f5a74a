using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Netlink.Conntrack;
using Agent.Policy;

namespace Agent.Daemon.Sessions;

/// <summary>Shows the sessions of the host, one after the other.</summary>
/// <returns>False if some may have been missed.</returns>
/// <exception cref="Netlink.NetlinkException">The table cannot be read.</exception>
internal delegate bool SessionReading(FlowFilter filter, Action<Flow> visit, CancellationToken cancel);

/// <summary>The connection tracking table of the namespace that the daemon runs in.</summary>
internal static class KernelSessions
{
    /// <summary>A connection of its own each time: readings are rare, and may be broken off.</summary>
    public static bool Read(FlowFilter filter, Action<Flow> visit, CancellationToken cancel)
    {
        using var sessions = new ConntrackConnection();
        return sessions.TryVisit(filter, visit, cancel);
    }

    /// <summary>The flow as judges see it.</summary>
    public static TrackedSession Tracked(this Flow flow)
    {
        FlowTuple original = flow.Original;
        IpPrefix source = IpPrefix.Host(original.Source);
        IpPrefix destination = IpPrefix.Host(original.Destination);
        bool ports = IpProtocol.HasPorts(original.Protocol);
        var tuple = new PacketTuple(source.Family, source.Bits, destination.Bits, original.Protocol,
            ports ? original.SourcePort : (ushort)0, ports ? original.DestinationPort : (ushort)0);
        return new TrackedSession(tuple, flow.Zone, flow.Mark);
    }
}
