using System.Collections.Immutable;
using Agent.Daemon.Counting;
using Agent.Netlink.Conntrack;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Top;

/// <summary>Which sessions of a vNIC are shown.</summary>
internal enum TalkerOrder
{
    /// <summary>Most bits a second.</summary>
    Bits,

    /// <summary>Most packets a second.</summary>
    Packets,

    /// <summary>Most bytes since they began.</summary>
    Bytes,
}

/// <summary>What is shown.</summary>
/// <param name="Vnics">By their ids; null: all.</param>
/// <param name="Talkers">Of each.</param>
/// <param name="Order">Which.</param>
internal sealed record TopChoice(IReadOnlySet<string>? Vnics, int Talkers, TalkerOrder Order);

/// <summary>A second's worth.</summary>
/// <param name="Packets">That passed.</param>
/// <param name="Bits">Theirs, of layer 3 and above.</param>
internal readonly record struct Rate(double Packets, double Bits)
{
    public static Rate Of(FlowCount carried, double seconds) =>
        new(carried.Packets / seconds, carried.Bytes * 8.0 / seconds);
}

/// <summary>What a vNIC carries in one direction.</summary>
/// <param name="Passed">What passed.</param>
/// <param name="Drops">Packets dropped a second.</param>
/// <param name="TopReason">The reason of most of them; empty: there are none.</param>
internal readonly record struct TrafficRate(Rate Passed, double Drops, string TopReason);

/// <summary>A session as a vNIC sees it.</summary>
/// <param name="Key">Which.</param>
/// <param name="Session">As the later look found it.</param>
/// <param name="Direction">Egress: the vNIC opened it.</param>
/// <param name="SentRate">By the vNIC.</param>
/// <param name="ReceivedRate">By the other end.</param>
internal sealed record Talker(
    SessionKey Key, SeenSession Session, Direction Direction, Rate SentRate, Rate ReceivedRate)
{
    public FlowCount Sent => Direction == Direction.Egress ? Session.Sent : Session.Answered;

    public FlowCount Received => Direction == Direction.Egress ? Session.Answered : Session.Sent;
}

/// <summary>A vNIC between two looks.</summary>
/// <param name="Vnic">The vNIC.</param>
/// <param name="Ingress">Towards the guest.</param>
/// <param name="Egress">From it.</param>
/// <param name="Sessions">At the later look.</param>
/// <param name="NewSessions">A second; null: not known.</param>
/// <param name="Talkers">The first first.</param>
internal sealed record VnicTop(
    Vnic Vnic, TrafficRate Ingress, TrafficRate Egress, long Sessions, double? NewSessions,
    ImmutableArray<Talker> Talkers);

/// <summary>Rates and ranks from two looks. Pure.</summary>
/// <param name="before">The earlier one.</param>
/// <param name="now">The later one.</param>
/// <param name="seconds">Between them; more than 0.</param>
/// <param name="counterSeconds">Between their readings of counters; more than 0.</param>
internal sealed class TopRanking(TopLook before, TopLook now, double seconds, double counterSeconds)
{
    /// <summary>Every chosen vNIC of the policy, in the order of their ids.</summary>
    public ImmutableArray<VnicTop> Of(TopChoice choice)
    {
        var places = new Dictionary<string, Places>(StringComparer.Ordinal);
        foreach (Vnic vnic in now.Judge?.Vnics.Values ?? [])
        {
            if (choice.Vnics?.Contains(vnic.Id) ?? true)
            {
                places.Add(vnic.Id, new Places());
            }
        }

        foreach ((SessionKey key, SeenSession session) in now.Sessions.Kept)
        {
            bool isNew = !before.Sessions.Kept.TryGetValue(key, out SeenSession was);
            Carried since = Since(session, was);
            Add(session.Opener, Direction.Egress);
            Add(session.Answerer, Direction.Ingress);

            void Add(Vnic? vnic, Direction direction)
            {
                if (vnic is not null && places.TryGetValue(vnic.Id, out Places? of))
                {
                    // A vNIC that talks to itself has one session, not two.
                    bool again = direction == Direction.Ingress && session.Opener == vnic;
                    of.New += isNew && !again ? 1 : 0;
                    of.Offer(key, session, since, direction, choice);
                }
            }
        }

        bool known = !before.Sessions.IsPartial && !now.Sessions.IsPartial && before.Gap.Length + now.Gap.Length == 0;
        return
        [
            .. places.Select(pair => new VnicTop(
                now.Judge!.Vnics[pair.Key], TrafficOf(pair.Key, Direction.Ingress),
                TrafficOf(pair.Key, Direction.Egress), now.SessionsOf.GetValueOrDefault(pair.Key),
                known ? pair.Value.New / seconds : null, pair.Value.Ranked(seconds)))
                .OrderBy(one => one.Vnic.Id, StringComparer.Ordinal),
        ];
    }

    /// <summary>
    /// What a session carried since the earlier look. One that is not there began since (or weighed too little to be
    /// kept), and one whose counters fell had them reset: of both all counts.
    /// </summary>
    internal static Carried Since(SeenSession session, SeenSession was)
    {
        bool goesOn = session.Sent.Packets >= was.Sent.Packets && session.Sent.Bytes >= was.Sent.Bytes
            && session.Answered.Packets >= was.Answered.Packets && session.Answered.Bytes >= was.Answered.Bytes;
        return goesOn
            ? new Carried(Less(session.Sent, was.Sent), Less(session.Answered, was.Answered))
            : new Carried(session.Sent, session.Answered);
    }

    private TrafficRate TrafficOf(string vnic, Direction direction)
    {
        PacketCount passed = Grown(new CountKey(vnic, direction, CountKind.Accept, ""));
        (double drops, ulong most, string reason) = (0, 0, "");
        foreach (string one in CountNames.Reasons(direction))
        {
            ulong packets = Grown(new CountKey(vnic, direction, CountKind.Drop, one)).Packets;
            drops += packets;
            (most, reason) = packets > most ? (packets, one) : (most, reason);
        }

        return new TrafficRate(
            Rate.Of(new FlowCount(passed.Packets, passed.Bytes), counterSeconds), drops / counterSeconds, reason);
    }

    // A vNIC that was taken away and came back begins anew.
    private PacketCount Grown(CountKey key)
    {
        PacketCount later = now.Counters.GetValueOrDefault(key);
        PacketCount earlier = before.Counters.GetValueOrDefault(key);
        return later.Packets >= earlier.Packets && later.Bytes >= earlier.Bytes
            ? new PacketCount(later.Packets - earlier.Packets, later.Bytes - earlier.Bytes) : later;
    }

    private static FlowCount Less(FlowCount from, FlowCount what) =>
        new(from.Packets - what.Packets, from.Bytes - what.Bytes);

    /// <summary>What passed between two looks.</summary>
    /// <param name="Sent">By the end that opened the session.</param>
    /// <param name="Answered">By the other one.</param>
    internal readonly record struct Carried(FlowCount Sent, FlowCount Answered)
    {
        public FlowCount Total => Sent + Answered;
    }

    /// <summary>The first few of a vNIC's sessions.</summary>
    private sealed class Places
    {
        // The last of them is out first. Without counts all are alike but for the time that they have left.
        private readonly PriorityQueue<(SessionKey Key, SeenSession Session, Carried Since, Direction Direction),
            (ulong First, ulong Second, uint Third)> queue = new();

        public long New { get; set; }

        public void Offer(
            SessionKey key, SeenSession session, Carried since, Direction direction, TopChoice choice)
        {
            ulong weight = session.Weight(key.Id);
            (ulong First, ulong Second, uint Third) rank = choice.Order switch
            {
                TalkerOrder.Packets => (since.Total.Packets, weight, key.Id),
                TalkerOrder.Bytes => (weight, since.Total.Bytes, key.Id),
                _ => (since.Total.Bytes, weight, key.Id),
            };
            if (queue.Count < choice.Talkers)
            {
                queue.Enqueue((key, session, since, direction), rank);
            }
            else if (choice.Talkers > 0)
            {
                queue.EnqueueDequeue((key, session, since, direction), rank);
            }
        }

        public ImmutableArray<Talker> Ranked(double seconds)
        {
            var talkers = new Talker[queue.Count];
            for (int i = talkers.Length - 1; i >= 0; i--)
            {
                (SessionKey key, SeenSession session, Carried since, Direction direction) = queue.Dequeue();
                Rate sent = Rate.Of(since.Sent, seconds);
                Rate answered = Rate.Of(since.Answered, seconds);
                (Rate own, Rate other) = direction == Direction.Egress ? (sent, answered) : (answered, sent);
                talkers[i] = new Talker(key, session, direction, own, other);
            }

            return [.. talkers];
        }
    }
}
