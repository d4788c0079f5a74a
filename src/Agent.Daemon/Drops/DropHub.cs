using System.Collections.Immutable;
using System.Threading.Channels;

namespace Agent.Daemon.Drops;

/// <summary>
/// Hands records to whoever wants them, and keeps the newest. One writer, which never waits: who reads too slowly
/// loses records, and is told how many.
/// </summary>
/// <param name="kept">How many are kept.</param>
/// <param name="lost">Counts what a reader loses, by the reader's kind.</param>
internal sealed class DropHub(int kept, Action<string, long> lost)
{
    /// <summary>Records that a reader may be behind.</summary>
    public const int Behind = 1024;

    private readonly Lock gate = new();
    private readonly Queue<DropRecord> newest = new(kept);
    private ImmutableArray<DropReading> readings = [];

    public void Publish(DropRecord record)
    {
        lock (gate)
        {
            if (newest.Count == kept && kept > 0)
            {
                newest.Dequeue();
            }

            if (kept > 0)
            {
                newest.Enqueue(record);
            }

            foreach (DropReading reading in readings)
            {
                if (!reading.Offer(record))
                {
                    lost(reading.Kind, 1);
                }
            }
        }
    }

    /// <summary>Begins to read: some of those that are kept, then all that come, without a gap between.</summary>
    /// <param name="kind">What the reader is, for the count of what it loses.</param>
    /// <param name="fits">Which records; asked by the writer, so it is quick.</param>
    /// <param name="last">At most so many of those that are kept, the newest.</param>
    /// <returns>The reader, which is to be disposed of, and those that are kept, the oldest first.</returns>
    public (DropReading Reading, ImmutableArray<DropRecord> Kept) Read(
        string kind, Func<DropRecord, bool> fits, int last = 0)
    {
        var reading = new DropReading(this, kind, fits);
        lock (gate)
        {
            readings = readings.Add(reading);
            return (reading, last == 0 ? [] : [.. newest.Where(fits).TakeLast(last)]);
        }
    }

    private void Remove(DropReading reading)
    {
        lock (gate)
        {
            readings = readings.Remove(reading);
        }
    }

    /// <summary>One reader's place.</summary>
    internal sealed class DropReading(DropHub hub, string kind, Func<DropRecord, bool> fits) : IDisposable
    {
        private readonly Channel<(DropRecord, long)> channel = Channel.CreateBounded<(DropRecord, long)>(
            new BoundedChannelOptions(Behind) { SingleReader = true });

        private long missed;

        public string Kind => kind;

        /// <summary>Records, each with how many were lost before it.</summary>
        public ChannelReader<(DropRecord Record, long LostBefore)> Records => channel.Reader;

        /// <returns>False: it is lost.</returns>
        public bool Offer(DropRecord record)
        {
            if (!fits(record))
            {
                return true;
            }

            if (channel.Writer.TryWrite((record, missed)))
            {
                missed = 0;
                return true;
            }

            missed++;
            return false;
        }

        public void Dispose() => hub.Remove(this);
    }
}
