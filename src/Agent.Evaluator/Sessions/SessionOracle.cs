using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>What a host adds to a policy.</summary>
public sealed record HostSettings
{
    public static readonly HostSettings Default = new();

    /// <summary>Names of devices that are closed unless a policy names them; a last '*' stands for any rest.</summary>
    public ImmutableArray<string> ManagedInterfaces { get; init; } = ["tap*", "vnet*"];

    /// <summary>Sessions that a vNIC may have if it does not say so itself; 0: no limit.</summary>
    public int MaxSessionsPerVnic { get; init; } = 16_384;

    /// <summary>vNICs (by id) whose running TCP sessions are taken over.</summary>
    public ImmutableHashSet<string> Adopting { get; init; } = [];
}

/// <summary>
/// The reference evaluator with sessions: what becomes of a packet on its way through a host, and of the sessions that
/// the host tracks.
/// </summary>
/// <remarks>
/// Written from semantics.md (sections 1, 5, 9) and datapath.md (sections 1, 3, 5); what conntrack does is Linux 6.18.
/// <code>
/// source check -> conntrack -> session of another VPC? -> live session? -> sender's egress -> same VPC?
///                                                                           -> receiver's ingress -> remembered
/// </code>
/// A session is judged by its original direction, whichever way a packet of it travels: a reply asks the ingress rules
/// of its sender and the egress rules of its receiver. It is remembered, at the live epoch, once every vNIC on the way
/// has accepted. Conntrack has seen a packet before it is dropped: a session's state and idle time go on, only a new
/// session is forgotten. What the link layer adds (ARP, contents of neighbour discovery, MAC addresses) is not here.
/// Where a change of policy takes nothing away, or <c>on_change</c> is keep, the caller keeps the epoch
/// (<see cref="SessionTable.Restricted"/>).
/// </remarks>
/// <param name="policy">The policy in force.</param>
/// <param name="settings">Switches of the semantics.</param>
/// <param name="host">What the host adds.</param>
public sealed class SessionOracle(PolicySnapshot policy, PolicySettings settings, HostSettings host)
{
    private static readonly UInt128 Broadcast = uint.MaxValue;

    // RFC 8415 7.1: All_DHCP_Relay_Agents_and_Servers, ff02::1:2.
    private static readonly UInt128 AllDhcpServers = new(0xff02_0000_0000_0000, 0x0001_0002);

    private readonly PolicyOracle oracle = new(policy, settings);

    private readonly Dictionary<string, Vnic> vnics =
        policy.Vnics.Values.ToDictionary(vnic => vnic.InterfaceName, StringComparer.Ordinal);

    private readonly Dictionary<string, string> uplinkVpcs = policy.Vpcs.Values
        .SelectMany(vpc => vpc.UplinkInterfaces.Select(name => (name, vpc.Id)))
        .ToDictionary(pair => pair.name, pair => pair.Id, StringComparer.Ordinal);

    /// <summary>One packet, at one time.</summary>
    /// <param name="table">The sessions before.</param>
    /// <param name="way">How the packet is routed.</param>
    /// <param name="packet">The packet; whole, fragments are put together before.</param>
    /// <param name="now">Any clock that does not run backwards.</param>
    /// <returns>The answer, and the sessions after.</returns>
    public (SessionAnswer Answer, SessionTable After) Judge(
        SessionTable table, Way way, SessionPacket packet, TimeSpan now)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(packet);
        if (!Tracking.IsModelled(packet))
        {
            return (new SessionAnswer(HookVerdict.Unknown, SessionReason.NotModelled), table);
        }

        Vnic? sender = vnics.GetValueOrDefault(way.In);
        if (sender is not null && PolicyOracle.IsSpoofed(sender, packet.Tuple))
        {
            return (Drop(SessionReason.Spoof) with { VnicId = sender.Id }, table); // conntrack never sees it
        }

        Tracking seen = Tracking.Of(table, ZoneOf(way.In.Length > 0 ? way.In : way.Out), packet, now);
        SessionAnswer answer = Decide(new Question(way, packet, seen, now)) with
        {
            State = seen.State,
            Reply = seen.Reply,
            Opens = seen.Opens,
            EpochBefore = seen.Session?.Epoch,
        };
        return Remember(answer, seen, now);
    }

    /// <summary>
    /// Asks one vNIC about a session: the sender of its first packet about egress, the receiver about ingress.
    /// </summary>
    internal PolicyVerdict Ask(Vnic vnic, Direction direction, PacketTuple original) =>
        oracle.JudgeSession(vnic, direction, original);

    /// <summary>Datagrams by which a guest gets its addresses (semantics.md 9.5): its own, or the server's.</summary>
    internal static bool IsDhcp(PacketTuple tuple, bool fromClient) => tuple.Protocol == IpProtocol.Udp
        && (tuple.Family == IpFamily.V4
            ? (68, 67) == (fromClient ? (tuple.SourcePort, tuple.DestinationPort) : Swapped(tuple))
            : (546, 547) == (fromClient ? (tuple.SourcePort, tuple.DestinationPort) : Swapped(tuple)));

    /// <summary>
    /// Whether a guest asks for its addresses: everybody, a server that is named, or this host. No rule is asked.
    /// </summary>
    internal static bool AsksForAddress(PacketTuple tuple, PolicySettings settings, bool ofHost) =>
        IsDhcp(tuple, fromClient: true) && (ofHost
            || tuple.Destination == (tuple.Family == IpFamily.V4 ? Broadcast : AllDhcpServers)
            || settings.DhcpServers.Any(server => server.Contains(tuple.Family, tuple.Destination)));

    private static (ushort, ushort) Swapped(PacketTuple tuple) => (tuple.DestinationPort, tuple.SourcePort);

    private static SessionAnswer Accept(SessionReason reason) => new(HookVerdict.Accept, reason);

    private static SessionAnswer Drop(SessionReason reason) => new(HookVerdict.Drop, reason);

    private SessionAnswer Decide(Question question)
    {
        (Way way, _, Tracking seen, _) = question;
        Vnic? receiver = vnics.GetValueOrDefault(way.Out);
        if (receiver is not null && seen.Session is { } tracked && tracked.Original.Zone != ZoneOf(way.Out))
        {
            return Drop(SessionReason.Zone) with { VnicId = receiver.Id };
        }

        bool live = seen.Session is { Epoch: int epoch } && epoch == seen.Table.Epoch;
        if (live && seen.State == CtState.Established)
        {
            return Accept(SessionReason.Live);
        }

        if (live && seen.State == CtState.Related && IsError(question.Packet))
        {
            return Accept(SessionReason.RelatedToLive);
        }

        SessionAnswer sent = Send(question, out bool final);
        if (final || !sent.Accepted || way.Out.Length == 0)
        {
            return sent;
        }

        return receiver is not null ? Receive(question, receiver, sent)
            : IsManaged(way.Out) ? Drop(SessionReason.Closed)
            : sent;
    }

    /// <param name="question">The packet.</param>
    /// <param name="final">The receiver is not asked any more.</param>
    private SessionAnswer Send(Question question, out bool final)
    {
        final = false;
        string from = question.Way.In;
        if (!vnics.TryGetValue(from, out Vnic? sender))
        {
            return from.Length > 0 && IsManaged(from) ? Drop(SessionReason.Closed) : Accept(SessionReason.NotOurs);
        }

        final = question.Seen.State == CtState.Untracked;
        SessionAnswer answer = StateAt(sender, question, sending: true)
            ?? (AsksForAddress(question.Packet.Tuple, settings, ofHost: question.Way.Out.Length == 0)
                ? Accept(SessionReason.Infrastructure) with { VnicId = sender.Id }
                : PolicyAt(sender, question, sending: true));
        return !answer.Accepted || final ? answer
            : IsFull(sender, question) ? Drop(SessionReason.Limit) with { VnicId = sender.Id }
            : question.Way.Out.Length == 0 ? TakeByHost(question, answer with { Admitting = [sender] })
            : LeavesVpc(sender, question.Way.Out) ? Drop(SessionReason.Zone)
            : answer with { Admitting = [sender] };
    }

    private SessionAnswer Receive(Question question, Vnic receiver, SessionAnswer sent)
    {
        PacketTuple tuple = question.Packet.Tuple;
        if (settings.TrustedMarks.Contains(question.Packet.Mark))
        {
            return Accept(SessionReason.TrustedMark) with { VnicId = receiver.Id, Admitting = sent.Admitting };
        }

        if (StateAt(receiver, question, sending: false) is { } decided)
        {
            return decided;
        }

        bool ofServer = question.Way.In.Length == 0
            || settings.DhcpServers.Any(server => server.Contains(tuple.Family, tuple.Source));
        if (IsDhcp(tuple, fromClient: false) && ofServer)
        {
            return Accept(SessionReason.Infrastructure) with { VnicId = receiver.Id, Admitting = sent.Admitting };
        }

        if (!PolicyOracle.IsFor(receiver, tuple))
        {
            return Drop(SessionReason.NotOwnAddress) with { VnicId = receiver.Id };
        }

        SessionAnswer answer = PolicyAt(receiver, question, sending: false);
        return !answer.Accepted ? answer
            : IsFull(receiver, question) ? Drop(SessionReason.Limit) with { VnicId = receiver.Id }
            : answer with { Admitting = [.. sent.Admitting, receiver] };
    }

    /// <summary>Whether the packet's state lets the vNIC's rules be asked at all.</summary>
    /// <returns>Null: ask them.</returns>
    private SessionAnswer? StateAt(Vnic vnic, Question question, bool sending)
    {
        SessionPacket packet = question.Packet;
        SessionAnswer? answer = question.Seen.State switch
        {
            CtState.New when packet.Tuple.Protocol == IpProtocol.Tcp
                && (packet.Shape.Tcp & (TcpFlags.Syn | TcpFlags.Ack | TcpFlags.Rst | TcpFlags.Fin)) != TcpFlags.Syn
                && !host.Adopting.Contains(vnic.Id) => Drop(SessionReason.NotSyn),
            CtState.New or CtState.Established => null,
            CtState.Related => Drop(SessionReason.NotLive),
            CtState.Untracked when MayDiscover(packet.IcmpType, sending) => Accept(SessionReason.Infrastructure),
            _ => Drop(SessionReason.Invalid),
        };
        return answer is null ? null : answer with { VnicId = vnic.Id };
    }

    private SessionAnswer PolicyAt(Vnic vnic, Question question, bool sending)
    {
        Direction asked = sending != question.Seen.Reply ? Direction.Egress : Direction.Ingress;
        PolicyVerdict verdict = Ask(vnic, asked, question.Seen.Session!.Original.Tuple);
        return new SessionAnswer(verdict.Accepted ? HookVerdict.Accept : HookVerdict.Drop, SessionReason.Policy)
        {
            VnicId = vnic.Id,
            Asked = asked,
            Policy = verdict,
        };
    }

    private SessionAnswer TakeByHost(Question question, SessionAnswer accepted)
    {
        PacketTuple tuple = question.Packet.Tuple;
        bool taken = question.Seen.Reply // the host asked
            || IsDhcp(tuple, fromClient: true)
            || settings.MetadataAddresses.Any(address => address.Contains(tuple.Family, tuple.Destination))
            || settings.HostServices.Any(service => service.Protocol == tuple.Protocol
                && (service.Port is null || service.Port == tuple.DestinationPort)
                && service.Address?.Contains(tuple.Family, tuple.Destination) != false);
        return taken ? accepted : Drop(SessionReason.Host) with { VnicId = accepted.VnicId };
    }

    private bool IsFull(Vnic vnic, Question question)
    {
        int limit = vnic.MaxSessions ?? host.MaxSessionsPerVnic;
        return limit > 0 && question.Seen.Opens && question.Seen.Table.CountOf(vnic.Id, question.Now) >= limit;
    }

    // What was seen stays seen. What is accepted is remembered, and a session that was judged is live from here on.
    private static (SessionAnswer Answer, SessionTable After) Remember(
        SessionAnswer answer, Tracking seen, TimeSpan now)
    {
        bool passes = answer.Accepted && seen.State is CtState.New or CtState.Established;
        bool exists = seen.Session is { } found && (seen.Opens || seen.Table.Sessions.ContainsKey(found.Original));
        if (!passes || !exists)
        {
            return (answer with { Session = seen.Session }, seen.Table);
        }

        Session session = seen.Session!;
        bool judged =
            answer.Reason is SessionReason.Policy or SessionReason.Infrastructure or SessionReason.TrustedMark;
        session = judged ? session with { Epoch = seen.Table.Epoch } : session;
        if (seen.Opens)
        {
            session = session with
            {
                CountsFor = [.. answer.Admitting.Select(vnic => vnic.Id)],
                Times = answer.Admitting.LastOrDefault()?.Timeouts ?? SessionTimeouts.Default,
            };
            session = session with { Ends = now + session.Idle };
        }

        return (answer with { Session = session }, seen.Table.With(session));
    }

    /// <summary>semantics.md 9.5: neighbour discovery, multicast listeners; routers advertise only to guests.</summary>
    private static bool MayDiscover(byte type, bool sending) => sending
        ? type is 131 or 132 or 133 or 135 or 136 or 143
        : type is 130 or 131 or 132 or 143 or 134 or 135 or 136;

    /// <summary>Path MTU, unreachable, time exceeded, parameter problem. A redirect bends routes: it is none.</summary>
    private static bool IsError(SessionPacket packet) => packet.Tuple.Protocol == IpProtocol.Icmp
        ? packet.IcmpType is 3 or 11 or 12 : packet.IcmpType is 1 or 2 or 3 or 4;

    private bool IsManaged(string device) => host.ManagedInterfaces.Any(pattern => pattern.EndsWith('*')
        ? device.StartsWith(pattern[..^1], StringComparison.Ordinal) : device == pattern);

    /// <summary>Id of the listed VPC that the device is of; empty: the zone of all others.</summary>
    private string ZoneOf(string device) => VpcOf(device) is { } vpc && policy.Vpcs.ContainsKey(vpc) ? vpc : "";

    private string? VpcOf(string device) =>
        vnics.TryGetValue(device, out Vnic? vnic) ? vnic.VpcId : uplinkVpcs.GetValueOrDefault(device);

    private bool LeavesVpc(Vnic sender, string device) => VpcOf(device) is { } vpc && vpc != sender.VpcId;

    /// <summary>What is asked: a packet on its way, and what conntrack has made of it.</summary>
    private sealed record Question(Way Way, SessionPacket Packet, Tracking Seen, TimeSpan Now);
}
