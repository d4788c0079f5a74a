using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Counting;

/// <summary>What a number is of.</summary>
internal enum CountKind : byte
{
    /// <summary>Packets that were dropped, by reason.</summary>
    Drop = 1,

    /// <summary>Frames that the device carried.</summary>
    Device = 2,

    /// <summary>Frames that it carried and that were not dropped.</summary>
    Accept = 3,

    /// <summary>Packets that a rule decided, by its key.</summary>
    Rule = 4,
}

/// <summary>One number.</summary>
/// <param name="VnicId">The vNIC; empty: closed interfaces, which need not be anybody's.</param>
/// <param name="Direction">The vNIC's direction.</param>
/// <param name="Kind">What it is of.</param>
/// <param name="Name">Reason, or key of a rule; otherwise empty.</param>
internal readonly record struct CountKey(string VnicId, Direction Direction, CountKind Kind, string Name);

/// <summary>Where the kernel keeps a part of a number.</summary>
/// <param name="Family">The table's family; 0: the device's own statistics.</param>
/// <param name="Device">The interface.</param>
/// <param name="Mark">Of rules: the packet mark.</param>
internal readonly record struct CountPlace(NftFamily Family, string Device, uint Mark = 0);

/// <summary>
/// Totals that go on when the kernel's counters begin anew: with a new table, a new device, a reboot. Pure arithmetic.
/// </summary>
/// <remarks>
/// Each place where the kernel counts has a <em>base</em>, what was counted in its former lives, and a <em>last</em>,
/// what was read of the present one; its total is their sum. A reading of another life, or one that is below the last,
/// moves the last to the base. So a total never falls, counts nothing twice, and lacks what a former life counted after
/// it was last read.
/// </remarks>
internal sealed class CounterLedger
{
    private readonly Dictionary<(CountKey Key, CountPlace Place), CounterEntry> entries = [];
    private readonly Dictionary<CountKey, CountState> states = [];

    /// <summary>Something that is not zero differs from when <see cref="Saved"/> was called.</summary>
    public bool IsChanged { get; private set; }

    public IReadOnlyDictionary<CountKey, CountState> States => states;

    public IEnumerable<(CountKey Key, CountPlace Place, CounterEntry Entry)> Entries =>
        entries.Select(pair => (pair.Key.Key, pair.Key.Place, pair.Value));

    /// <summary>Takes over what an earlier process wrote down.</summary>
    public void Restore(CountKey key, CountPlace place, CounterEntry entry)
    {
        entries[(key, place)] = entry;
        CountState state = StateOf(key, default);
        state.Total = Sum(state.Total, entry.Total);
    }

    /// <summary>Takes over times, and the total of a number that no place keeps.</summary>
    public void Restore(CountKey key, DateTimeOffset since, DateTimeOffset? lastHit, PacketCount? total)
    {
        CountState state = StateOf(key, since);
        (state.Since, state.LastHit) = (since, lastHit);
        state.Total = total ?? state.Total;
    }

    /// <summary>A reading.</summary>
    /// <param name="key">Of what.</param>
    /// <param name="place">Where.</param>
    /// <param name="life">Tells the counter from one that was in its place before; not 0.</param>
    /// <param name="now">What it says.</param>
    /// <param name="time">When it was read.</param>
    public void Observe(CountKey key, CountPlace place, ulong life, PacketCount now, DateTimeOffset time)
    {
        CountState state = StateOf(key, time);
        if (!entries.TryGetValue((key, place), out CounterEntry? entry))
        {
            entries.Add((key, place), entry = new CounterEntry { Life = life });
        }

        if (entry.Life != life || now.Packets < entry.Last.Packets || now.Bytes < entry.Last.Bytes)
        {
            IsChanged |= entry.Total != default || now != default;
            (entry.Base, entry.Last, entry.Life) = (entry.Total, default, life);
        }

        if (now == entry.Last)
        {
            return;
        }

        state.LastHit = now.Packets > entry.Last.Packets ? time : state.LastHit;
        state.Total = new PacketCount(
            state.Total.Packets + (now.Packets - entry.Last.Packets),
            state.Total.Bytes + (now.Bytes - entry.Last.Bytes));
        entry.Last = now;
        IsChanged = true;
    }

    /// <summary>A number that is computed from others: it follows them upwards.</summary>
    public void Raise(CountKey key, PacketCount to, DateTimeOffset time)
    {
        CountState state = StateOf(key, time);
        var total = new PacketCount(
            Math.Max(state.Total.Packets, to.Packets), Math.Max(state.Total.Bytes, to.Bytes));
        IsChanged |= total != state.Total;
        state.Total = total;
    }

    /// <summary>Whether the place holds anything that would be lost with its counter.</summary>
    public bool Holds(CountKey key, CountPlace place) =>
        entries.TryGetValue((key, place), out CounterEntry? entry) && entry.Last != default;

    /// <summary>The counter was made anew, after a reading: whatever it says next is of another life.</summary>
    public void Renew(CountKey key, CountPlace place)
    {
        if (entries.TryGetValue((key, place), out CounterEntry? entry))
        {
            entry.Life = 0;
        }
    }

    public PacketCount TotalOf(CountKey key) => states.GetValueOrDefault(key)?.Total ?? default;

    /// <summary>Forgets numbers: their series end.</summary>
    public void Keep(Func<CountKey, bool> wanted)
    {
        foreach (CountKey gone in states.Keys.Where(key => !wanted(key)).ToArray())
        {
            IsChanged |= states[gone].Total != default;
            states.Remove(gone);
        }

        foreach ((CountKey, CountPlace) gone in entries.Keys.Where(at => !states.ContainsKey(at.Key)).ToArray())
        {
            entries.Remove(gone);
        }
    }

    /// <summary>What there is was written down.</summary>
    public void Saved() => IsChanged = false;

    private CountState StateOf(CountKey key, DateTimeOffset since)
    {
        if (!states.TryGetValue(key, out CountState? state))
        {
            states.Add(key, state = new CountState { Since = since });
            IsChanged |= key.Kind == CountKind.Rule; // that it was never hit is worth keeping
        }

        return state;
    }

    private static PacketCount Sum(PacketCount left, PacketCount right) =>
        new(left.Packets + right.Packets, left.Bytes + right.Bytes);
}

/// <summary>A place's base and last reading.</summary>
internal sealed class CounterEntry
{
    public ulong Life { get; set; }

    public PacketCount Base { get; set; }

    public PacketCount Last { get; set; }

    public PacketCount Total => new(Base.Packets + Last.Packets, Base.Bytes + Last.Bytes);
}

/// <summary>A number, and what is known of when it grew.</summary>
internal sealed class CountState
{
    public PacketCount Total { get; set; }

    /// <summary>Counted since.</summary>
    public DateTimeOffset Since { get; set; }

    /// <summary>The reading that saw it grow last; null: it never did.</summary>
    public DateTimeOffset? LastHit { get; set; }
}
