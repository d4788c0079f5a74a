using System.Collections.Immutable;
using System.Runtime.CompilerServices;

namespace Agent.Policy;

/// <summary>
/// Which members may differ between two sets of which one was made of the other, change by change: known without
/// walking along 65,536 of them. What is not known here is found by comparing.
/// </summary>
/// <remarks>
/// A line of sets has one log of what was touched, and each set its place in it. Sets are weak keys: nothing is kept
/// alive. A set that is made of one that is not the last of its line begins a new line. Safe for concurrent use.
/// </remarks>
public static class MemberHistory
{
    /// <summary>Members in a log; older ones are forgotten.</summary>
    private const int LogMax = 4096;

    private static readonly ConditionalWeakTable<ImmutableSortedSet<IpPrefix>, Place> Places = [];

    private sealed record Place(Line Line, long At);

    /// <param name="At">The place that it led to.</param>
    /// <param name="Touched">Between the place before and that one.</param>
    private readonly record struct Entry(long At, ImmutableArray<IpPrefix> Touched);

    private sealed class Line
    {
        private readonly Lock gate = new();
        private readonly Queue<Entry> log = [];
        private int members;
        private long forgotten;
        private long last;

        /// <returns>The place behind <paramref name="at"/>; null: that is not the last one.</returns>
        public Place? Append(long at, ImmutableArray<IpPrefix> touched)
        {
            lock (gate)
            {
                if (at != last)
                {
                    return null;
                }

                log.Enqueue(new Entry(++last, touched));
                members += touched.Length;
                while (members > LogMax)
                {
                    Entry old = log.Dequeue();
                    members -= old.Touched.Length;
                    forgotten = old.At;
                }

                return new Place(this, last);
            }
        }

        public ImmutableArray<IpPrefix>? Between(long first, long end)
        {
            lock (gate)
            {
                return first < forgotten ? null
                    : [.. log.Where(entry => entry.At > first && entry.At <= end).SelectMany(entry => entry.Touched)];
            }
        }
    }

    /// <summary>Takes note of how a set came about.</summary>
    /// <param name="before">What it was made of.</param>
    /// <param name="after">The set.</param>
    /// <param name="touched">All members that were added or removed, or would have been; perhaps more.</param>
    public static void Note(
        ImmutableSortedSet<IpPrefix> before, ImmutableSortedSet<IpPrefix> after, ImmutableArray<IpPrefix> touched)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        if (ReferenceEquals(before, after) || touched.Length > LogMax)
        {
            return;
        }

        Place at = Places.GetValue(before, static _ => new Place(new Line(), 0));
        if (at.Line.Append(at.At, touched) is not Place next)
        {
            var line = new Line();
            Places.AddOrUpdate(before, new Place(line, 0));
            next = line.Append(0, touched)!;
        }

        Places.AddOrUpdate(after, next);
    }

    /// <summary>A superset of the members in which two sets differ.</summary>
    /// <returns>Null: it is not known.</returns>
    public static ImmutableArray<IpPrefix>? Between(
        ImmutableSortedSet<IpPrefix> one, ImmutableSortedSet<IpPrefix> other)
    {
        ArgumentNullException.ThrowIfNull(one);
        ArgumentNullException.ThrowIfNull(other);
        return ReferenceEquals(one, other) ? []
            : Places.TryGetValue(one, out Place? from) && Places.TryGetValue(other, out Place? to)
                && ReferenceEquals(from.Line, to.Line)
            ? from.Line.Between(Math.Min(from.At, to.At), Math.Max(from.At, to.At)) : null;
    }
}
