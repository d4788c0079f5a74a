using System.Collections.Immutable;

namespace Agent.Daemon.Logging;

/// <summary>
/// Lets so many events of one kind through in a while, and counts the others: a host with 500 vNICs that fail, or a
/// controller that sends nonsense without end, must not push everything else out of the log.
/// </summary>
/// <param name="burst">Events of one kind in a <see cref="Window"/>; 0: as many as come.</param>
/// <param name="clock">Time.</param>
internal sealed class EventBound(int burst, TimeProvider clock)
{
    public static readonly TimeSpan Window = TimeSpan.FromSeconds(30);

    private readonly Lock gate = new();
    private readonly Dictionary<int, Count> counts = [];

    /// <summary>Events of one kind in a <see cref="Window"/>, from now on; 0: as many as come.</summary>
    public void Set(int most) => Volatile.Write(ref burst, most);

    /// <returns>False: it is not written, and counted.</returns>
    public bool Admits(EventId kind)
    {
        if (burst == 0)
        {
            return true;
        }

        lock (gate)
        {
            if (!counts.TryGetValue(kind.Id, out Count? count)
                || (count.Suppressed == 0 && clock.GetElapsedTime(count.Since) >= Window))
            {
                counts[kind.Id] = count = new Count(kind, clock.GetTimestamp());
            }

            if (count.Seen < burst)
            {
                count.Seen++;
                return true;
            }

            count.Suppressed++;
            return false;
        }
    }

    /// <summary>What was held back in windows that have ended, and begins anew.</summary>
    /// <param name="all">Also in those that have not.</param>
    public ImmutableArray<(EventId Kind, long Suppressed)> Take(bool all = false)
    {
        lock (gate)
        {
            Count[] over = [.. counts.Values.Where(one => all || clock.GetElapsedTime(one.Since) >= Window)];
            foreach (Count one in over)
            {
                counts.Remove(one.Kind.Id);
            }

            return [.. over.Where(one => one.Suppressed > 0).Select(one => (one.Kind, one.Suppressed))];
        }
    }

    private sealed class Count(EventId kind, long since)
    {
        public EventId Kind => kind;

        public long Since => since;

        public int Seen { get; set; }

        public long Suppressed { get; set; }
    }
}
