using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Daemon.State;
using Agent.Netlink;
using Agent.Netlink.Route;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Counting;

/// <summary>
/// The numbers of all vNICs: reads the kernel's counters when somebody asks, once for all who ask at a time, and
/// carries totals over what ends counters.
/// </summary>
/// <remarks>
/// What is exact, and why:
/// <list type="bullet">
/// <item><description>Drops are counted by the kernel, per vNIC and reason, in objects that no change of policy
/// touches: they are there as long as the vNIC is. A restart of the agent leaves them.</description></item>
/// <item><description>Before a commit of ours that would end such a counter of a vNIC that stays, all are read and
/// written down (<see cref="Around"/>); what hits between that and the commit, a few milliseconds, is lost. Policy
/// changes are no such commits: a table that has to be made anew, or a vNIC that gets another interface, are.
/// </description></item>
/// <item><description>If others delete our tables, what was not read before is lost.</description></item>
/// <item><description>What a reading has shown is on disk before it is shown: not even a power cut makes a total
/// fall.</description></item>
/// <item><description>Accepted packets are not counted by rules of ours, which would cost every packet of every live
/// session: they are what the device has carried, by the kernel's own statistics, less what was dropped. Frames are
/// counted there and packets here: a dropped packet of several fragments, or of several segments that were put
/// together, is one drop, and the others of its frames count as accepted. On ingress drops come before the device, and
/// what it has sent is what the guest was given.</description></item>
/// </list>
/// </remarks>
/// <param name="read">Reads the kernel.</param>
/// <param name="current">What is held and enforced.</param>
/// <param name="file">Where totals are kept; null: nowhere.</param>
/// <param name="clock">Time.</param>
/// <param name="log">Log.</param>
internal sealed class CounterBook(
    Func<RawCounts> read, Func<AgentState> current, LedgerFile? file, TimeProvider clock, ILogger log)
{
    private static readonly TimeSpan MinimumAge = TimeSpan.FromSeconds(1);

    /// <summary>Between two readings where rules are counted: how exactly the time of a last hit is known.</summary>
    public static readonly TimeSpan Often = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan Seldom = TimeSpan.FromMinutes(1);

    /// <summary>Link-layer header of a frame, which drops do not count.</summary>
    private const ulong FrameHeaderBytes = 14;

    private readonly Lock gate = new();
    private readonly Lock asking = new();
    private readonly CounterLedger ledger = Load(file, log);
    private CountNames? names;
    private Task? flight;
    private long readAt;
    private bool wasRead;

    /// <summary>Told of each reading: how long it took, and whether it worked.</summary>
    public Action<TimeSpan, bool>? OnRead { get; set; }

    /// <summary>Readings so far, failed ones too.</summary>
    public long Readings { get; private set; }

    /// <summary>When the kernel was last read, by the clock's timestamp; of what <see cref="Show"/> shows.</summary>
    public long ReadAt => readAt;

    /// <summary>Reads the kernel, unless that was done just now. Those who ask at a time share one reading.</summary>
    /// <param name="age">Who asks again within this is told the same; null: within a second.</param>
    public Task ReadAsync(TimeSpan? age = null)
    {
        lock (asking)
        {
            if (flight is { IsCompleted: false })
            {
                return flight;
            }

            return wasRead && clock.GetElapsedTime(readAt) < (age ?? MinimumAge)
                ? Task.CompletedTask : flight = Task.Run(Read);
        }
    }

    /// <summary>
    /// Reads now and then, also if nobody asks: so is known when a rule was hit last, and what is lost at most if
    /// somebody else deletes our tables. Reads once more when it is cancelled.
    /// </summary>
    public async Task RunAsync(bool seldom, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(seldom ? Seldom : Often, clock);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
            {
                await ReadAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            Read();
        }
    }

    /// <summary>Shows the numbers as they were last read; nothing changes them meanwhile.</summary>
    public T Show<T>(Func<IReadOnlyDictionary<CountKey, CountState>, CountNames, T> show)
    {
        lock (gate)
        {
            names = CountNames.Of(current(), names);
            return show(ledger.States, names);
        }
    }

    /// <summary>Commits, and reads before that if a counter of a vNIC that stays would end with it.</summary>
    public CommitOutcome Around(IReadOnlyList<NftOp> ops, Func<CommitOutcome> commit)
    {
        if (!ops.Any(Concerns))
        {
            return commit(); // as nearly always: nothing is waited for
        }

        lock (gate)
        {
            names = CountNames.Of(current(), names);
            if (!Ends(ops, names))
            {
                return commit();
            }

            Read();
            CommitOutcome outcome = commit();
            foreach (NftOp.AddElements added in outcome is CommitOutcome.Committed
                ? ops.OfType<NftOp.AddElements>() : [])
            {
                foreach ((CountKey key, CountPlace place) in names.Places(added.Family, added.Set, added.Elements))
                {
                    ledger.Renew(key, place);
                }
            }

            return outcome;
        }
    }

    /// <summary>Reads now. What fails leaves the numbers as they were.</summary>
    public void Read()
    {
        lock (gate)
        {
            long started = clock.GetTimestamp();
            bool done = false;
            try
            {
                Take(read(), clock.GetUtcNow());
                done = true;
            }
            catch (Exception e) when (e is NetlinkException or NetlinkFormatException)
            {
                log.CountersUnread(e.Message);
            }

            Save();
            readAt = clock.GetTimestamp();
            wasRead = true;
            Readings++;
            OnRead?.Invoke(clock.GetElapsedTime(started), done);
        }
    }

    private static CounterLedger Load(LedgerFile? file, ILogger log)
    {
        string? damage = null;
        CounterLedger ledger = file?.Load(out damage) ?? new CounterLedger();
        if (damage is not null)
        {
            log.CountersUnread(damage);
        }

        return ledger;
    }

    private void Take(RawCounts raw, DateTimeOffset time)
    {
        AgentState state = current();
        names = CountNames.Of(state, names);
        foreach (RawHits one in raw.Hits)
        {
            if (names.OfHits(one.Device, one.From, one.Mark) is { } key)
            {
                ledger.Observe(
                    key, new CountPlace(one.Family, one.Device, one.Mark), raw.Lives[one.Family], one.Count, time);
            }
        }

        foreach (ObjectCount one in raw.Objects)
        {
            if (names.OfObject(one.Name) is { } key && raw.Lives.TryGetValue(one.Family, out ulong life))
            {
                ledger.Observe(key, new CountPlace(one.Family, one.Name), KernelCounts.Life(life, one.Handle),
                    one.Count, time);
            }
        }

        TakeLinks(raw, state, time);
        if (state.AppliedRevision > 0)
        {
            ledger.Keep(names.Wants);
        }
    }

    private void TakeLinks(RawCounts raw, AgentState state, DateTimeOffset time)
    {
        Dictionary<int, LinkCount> links = raw.Links.ToDictionary(link => link.Index);
        foreach (Vnic vnic in state.Desired.Vnics.Values)
        {
            foreach (Direction direction in (Direction[])[Direction.Egress, Direction.Ingress])
            {
                CountKey key = new(vnic.Id, direction, CountKind.Device, "");
                if (state.Links.Indexes.TryGetValue(vnic.InterfaceName, out int index)
                    && links.TryGetValue(index, out LinkCount link))
                {
                    PacketCount carried = direction == Direction.Egress
                        ? new PacketCount(link.RxPackets, link.RxBytes) : new PacketCount(link.TxPackets, link.TxBytes);
                    ledger.Observe(key, new CountPlace(0, vnic.InterfaceName),
                        KernelCounts.Life(raw.DeviceLife, (ulong)index), carried, time);
                }

                ledger.Raise(key with { Kind = CountKind.Accept }, Accepted(key), time);
            }
        }
    }

    private PacketCount Accepted(CountKey device)
    {
        PacketCount carried = ledger.TotalOf(device);
        ulong packets = carried.Packets;
        ulong bytes = Less(carried.Bytes, packets * FrameHeaderBytes);
        foreach (string reason in device.Direction == Direction.Egress ? CountNames.Reasons(Direction.Egress) : [])
        {
            PacketCount dropped = ledger.TotalOf(device with { Kind = CountKind.Drop, Name = reason });
            packets = Less(packets, dropped.Packets);
            bytes = Less(bytes, dropped.Bytes);
        }

        return new PacketCount(packets, bytes);
    }

    private static ulong Less(ulong from, ulong what) => from > what ? from - what : 0;

    private static bool Concerns(NftOp op) => op switch
    {
        NftOp.DeleteTable => true,
        NftOp.DeleteSet one => RuleHits.IsSet(one.Set, out _),
        NftOp.DeleteObject one => one.Object is NftObject.Counter,
        NftOp.DeleteElements one => RuleHits.IsSet(one.Set.Name, out _),
        NftOp.AddElements one => RuleHits.IsSet(one.Set.Name, out _),
        _ => false,
    };

    // A vNIC that goes takes its numbers with it; one that is new has none to lose.
    private bool Ends(IReadOnlyList<NftOp> ops, CountNames known) => ops.Any(op => op switch
    {
        NftOp.DeleteTable => true,
        NftOp.DeleteSet one => RuleHits.IsSet(one.Set, out _),
        NftOp.DeleteObject one => known.OfObject(one.Object.Name) is { } key
            && ledger.Holds(key, new CountPlace(op.Family, one.Object.Name)),
        NftOp.DeleteElements one => known.Places(op.Family, one.Set, one.Elements).Any(),
        NftOp.AddElements one => known.Places(op.Family, one.Set, one.Elements)
            .Any(at => ledger.Holds(at.Key, at.Place)),
        _ => false,
    });

    private void Save()
    {
        if (file is null || !ledger.IsChanged)
        {
            return;
        }

        try
        {
            file.Save(ledger);
        }
        catch (Exception e) when (DiskFault.Is(e))
        {
            log.CountersUnsaved(e.Message); // shown all the same: they fall back only if the kernel's end too
        }
    }
}
