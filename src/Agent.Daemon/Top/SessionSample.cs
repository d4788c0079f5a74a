using Agent.Evaluator;
using Agent.Netlink.Conntrack;
using Agent.Policy;

namespace Agent.Daemon.Top;

/// <summary>Tells a session from all others, and from a later one with the same tuple.</summary>
/// <param name="Original">As the packet that opened it had it.</param>
/// <param name="Zone">Conntrack zone.</param>
/// <param name="Id">The kernel's number for it.</param>
internal readonly record struct SessionKey(PacketTuple Original, ushort Zone, uint Id);

/// <summary>A session as one look found it.</summary>
/// <param name="Opener">The vNIC that opened it; null: it is not here.</param>
/// <param name="Answerer">The vNIC that answers; null: it is not here.</param>
/// <param name="State">As <c>sgctl sessions</c> has it.</param>
/// <param name="IsCounted">The kernel counts it.</param>
/// <param name="Sent">By the opener, since it began.</param>
/// <param name="Answered">By the other end.</param>
/// <param name="Start">When it began; null: the kernel did not note it.</param>
/// <param name="TimeoutSeconds">Until it ends, if nothing more is seen.</param>
internal readonly record struct SeenSession(
    Vnic? Opener, Vnic? Answerer, string State, bool IsCounted, FlowCount Sent, FlowCount Answered,
    DateTimeOffset? Start, uint TimeoutSeconds)
{
    /// <summary>Above every session without counts.</summary>
    internal const ulong Counted = 1UL << 63;

    public FlowCount Total => Sent + Answered;

    /// <summary>By its bytes, otherwise by the time it has left: what was seen last mostly has most.</summary>
    /// <param name="id">The kernel's number: times are alike too often.</param>
    public ulong Weight(uint id) => IsCounted ? Counted | Total.Bytes : (ulong)TimeoutSeconds >> 1 << 32 | id;
}

/// <summary>
/// The sessions of a table that weigh most, as they come: how many there are is bounded, whatever the table holds.
/// </summary>
/// <remarks>
/// A session that carried much between two looks has carried at least as much in all, so those with the largest rates
/// are among those with the most bytes: what is left out can neither lead nor make the rates of those that do wrong by
/// more than <see cref="FloorBytes"/>.
/// </remarks>
/// <param name="capacity">How many are kept at most; at times only half of that, the heavier one.</param>
internal sealed class SessionSample(int capacity)
{
    private readonly Dictionary<SessionKey, SeenSession> kept = [];
    private ulong floor;

    public IReadOnlyDictionary<SessionKey, SeenSession> Kept => kept;

    /// <summary>Some were left out, and none that weighs as much as this or more.</summary>
    public bool IsPartial => floor > 0;

    /// <summary>Counted sessions with fewer bytes may have been left out.</summary>
    public ulong FloorBytes => floor > SeenSession.Counted ? floor - SeenSession.Counted : 0;

    public void Add(SessionKey key, SeenSession session)
    {
        ulong weight = session.Weight(key.Id);
        if (kept.Count >= capacity && weight >= floor)
        {
            MakeRoom();
        }

        if (weight >= floor)
        {
            kept[key] = session;
        }
    }

    // At least half of them go, so that each that comes pays for a bounded number of comparisons.
    private void MakeRoom()
    {
        ulong[] weights = [.. kept.Select(pair => pair.Value.Weight(pair.Key.Id))];
        Array.Sort(weights);
        floor = weights[weights.Length / 2] + 1;
        foreach ((SessionKey key, SeenSession session) in kept)
        {
            if (session.Weight(key.Id) < floor)
            {
                kept.Remove(key);
            }
        }
    }
}
