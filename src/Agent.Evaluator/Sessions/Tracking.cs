using Agent.Policy;

namespace Agent.Evaluator.Sessions;

/// <summary>What connection tracking makes of a packet, before any rule has seen it.</summary>
/// <param name="State">The packet's state.</param>
/// <param name="Reply">It travels against the direction that opened the session.</param>
/// <param name="Session">The packet's session, as it is with the packet; null for invalid and untracked ones.</param>
/// <param name="Table">The table; it stays so even if the packet is dropped afterwards.</param>
/// <param name="Opens">The session is not in the table, and gets there only if the packet survives.</param>
internal sealed record Tracking(CtState State, bool Reply, Session? Session, SessionTable Table, bool Opens = false)
{
    /// <summary>Neighbour discovery and multicast listener messages, which are never tracked (Linux 5.13).</summary>
    private static readonly byte[] UntrackedTypes = [130, 131, 132, 133, 134, 135, 136, 143];

    /// <summary>ICMP messages that quote the packet they are about: of the two families.</summary>
    private static readonly byte[] QuotingTypesV4 = [3, 4, 5, 11, 12];

    private const byte FirstIcmpv6Information = 128;

    /// <summary>Protocols with states of their own that this model does not have: DCCP, SCTP, UDP-Lite.</summary>
    public static bool IsModelled(SessionPacket packet) => packet.Tuple.Protocol is not (33 or 132 or 136);

    public static Tracking Of(SessionTable table, string zone, SessionPacket packet, TimeSpan now)
    {
        if (packet.Tuple.Protocol == IpProtocol.Icmpv6 && UntrackedTypes.Contains(packet.IcmpType))
        {
            return new Tracking(CtState.Untracked, Reply: false, null, table);
        }

        if (Quotes(packet))
        {
            return OfError(table, zone, packet, now);
        }

        bool ofOtherFamily = packet.Tuple.Protocol == IpProtocol.Icmp && packet.Tuple.Family == IpFamily.V6
            || packet.Tuple.Protocol == IpProtocol.Icmpv6 && packet.Tuple.Family == IpFamily.V4;
        FlowKey key = packet.KeyIn(zone);
        return key.Inverse is null || ofOtherFamily ? Invalid(table)
            : table.Find(key, now) is var (session, reply) ? Continue(table, session, reply, packet, now)
            : Open(table, key, packet, now);
    }

    private static bool Quotes(SessionPacket packet) => packet.Tuple.Protocol switch
    {
        IpProtocol.Icmp => QuotingTypesV4.Contains(packet.IcmpType),
        IpProtocol.Icmpv6 => packet.IcmpType < FirstIcmpv6Information,
        _ => false,
    };

    private static Tracking Invalid(SessionTable table) => new(CtState.Invalid, Reply: false, null, table);

    // An error travels against the packet that it quotes, and to the one that has sent it.
    private static Tracking OfError(SessionTable table, string zone, SessionPacket packet, TimeSpan now) =>
        packet.Quoted is { } quoted && quoted.Tuple.Family == packet.Tuple.Family
        && packet.Tuple.Destination == quoted.Tuple.Source
        && quoted.KeyIn(zone).Inverse is not null
        && table.Find(quoted.KeyIn(zone), now) is var (session, quotedReply)
            ? new Tracking(CtState.Related, !quotedReply, session, table) : Invalid(table);

    private static Tracking Open(SessionTable table, FlowKey key, SessionPacket packet, TimeSpan now)
    {
        var session = new Session(key) { Ends = now };
        if (packet.Tuple.Protocol == IpProtocol.Tcp)
        {
            (TcpEffect effect, TcpTrack after) =
                TcpTrack.Start.With(TcpTrack.KindOf(packet.Shape.Tcp), reply: false);
            return effect == TcpEffect.Moves
                ? new Tracking(CtState.New, Reply: false, session with { Tcp = after }, table, Opens: true)
                : Invalid(table);
        }

        return packet.IsIcmp && !key.IsQuery
            ? Invalid(table) : new Tracking(CtState.New, Reply: false, session, table, Opens: true);
    }

    private static Tracking Continue(
        SessionTable table, Session session, bool reply, SessionPacket packet, TimeSpan now)
    {
        CtState state = reply || session.Answered ? CtState.Established : CtState.New;
        Session answered = session with { Answered = session.Answered || reply };
        if (packet.Tuple.Protocol != IpProtocol.Tcp)
        {
            Session kept = answered with { Ends = now + session.Idle };
            return new Tracking(state, reply, kept, table.With(kept));
        }

        TcpKind kind = TcpTrack.KindOf(packet.Shape.Tcp);
        (TcpEffect effect, TcpTrack after) = session.Tcp.With(kind, reply);
        switch (effect)
        {
            case TcpEffect.Invalid:
                return Invalid(table);
            case TcpEffect.Reopens:
                return Open(table.Without(session), packet.KeyIn(session.Original.Zone), packet, now);
            case TcpEffect.Ignored:
                Session unmoved = answered with { Tcp = after };
                return new Tracking(state, reply, unmoved, table.With(unmoved));
            default:
                Session moved = answered with { Tcp = after };
                moved = moved with { Ends = now + moved.Idle };
                // A reset is the end of a session that nobody has answered.
                bool gone = kind == TcpKind.Rst && !session.Answered;
                return new Tracking(state, reply, moved, gone ? table.Without(session) : table.With(moved));
        }
    }
}
