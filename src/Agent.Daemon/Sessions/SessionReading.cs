using System.Net;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Policy;

namespace Agent.Daemon.Sessions;

/// <summary>Shows the sessions of the host, one after the other.</summary>
/// <returns>False if some may have been missed.</returns>
/// <exception cref="NetlinkException">The table cannot be read.</exception>
internal delegate bool SessionReading(FlowFilter filter, Action<Flow> visit, CancellationToken cancel);

/// <summary>Puts sessions into the table of the host.</summary>
/// <returns>For each what the kernel said; null: it is there now.</returns>
/// <exception cref="NetlinkException">The table does not answer.</exception>
internal delegate KernelError?[] SessionOpening(IReadOnlyList<Flow> flows);

/// <summary>The connection tracking table of the namespace that the daemon runs in.</summary>
internal static class KernelSessions
{
    /// <summary>Readings that lost something are begun anew so many times.</summary>
    private const int Attempts = 3;

    /// <summary>Reads until nothing was missed, a few times at most.</summary>
    /// <param name="read">Shows the sessions.</param>
    /// <param name="filter">Which.</param>
    /// <param name="begin">Asked for each reading: who is shown the sessions.</param>
    /// <param name="cancel">Breaks off.</param>
    /// <returns>False if some may have been missed every time.</returns>
    public static bool Whole(
        this SessionReading read, FlowFilter filter, Func<Action<Flow>> begin, CancellationToken cancel)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            if (read(filter, begin(), cancel))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>A connection of its own each time: readings are rare, and may be broken off.</summary>
    public static bool Read(FlowFilter filter, Action<Flow> visit, CancellationToken cancel)
    {
        using var sessions = new ConntrackConnection();
        return sessions.TryVisit(filter, visit, cancel);
    }

    /// <summary>Likewise.</summary>
    public static KernelError?[] Open(IReadOnlyList<Flow> flows)
    {
        using var sessions = new ConntrackConnection();
        return sessions.Open(flows);
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

    /// <summary>The vNIC whose packet opened the flow; null: it is not here.</summary>
    public static Vnic? OpenerIn(this Flow flow, SessionOwners owners) => At(flow.Zone, flow.Original.Source, owners);

    /// <summary>The vNIC that answers, as it is behind a translation of addresses; null: it is not here.</summary>
    public static Vnic? AnswererIn(this Flow flow, SessionOwners owners) => At(flow.Zone, flow.Reply.Source, owners);

    /// <summary>TCP's states as <c>ss</c> writes them; of other protocols whether anything came back.</summary>
    public static string State(this Flow flow) => flow.Tcp is { } tcp ? (TcpState)tcp.State switch
    {
        TcpState.SynSent => "syn-sent",
        TcpState.SynRecv => "syn-recv",
        TcpState.Established => "established",
        TcpState.FinWait => "fin-wait",
        TcpState.CloseWait => "close-wait",
        TcpState.LastAck => "last-ack",
        TcpState.TimeWait => "time-wait",
        TcpState.Close => "closed",
        TcpState.SynSent2 => "syn-sent2",
        _ => "none",
    } : flow.IsAnswered ? "answered" : "unanswered";

    private static Vnic? At(ushort zone, IPAddress address, SessionOwners owners)
    {
        IpPrefix host = IpPrefix.Host(address);
        return owners.Of(zone, host.Family, host.Bits);
    }
}
