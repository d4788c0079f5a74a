namespace Agent.Daemon.Enforcement;

/// <summary>The garbage collector, as far as <see cref="ProofMemory"/> asks it.</summary>
internal interface ICollector
{
    /// <summary>Number of the last full collection, and what it left of the whole process.</summary>
    (long Number, long Bytes) Last { get; }

    /// <summary>What there is now, garbage and all.</summary>
    long Bytes { get; }

    /// <summary>Asks for a full collection, and does not wait for it.</summary>
    void Begin();
}

/// <summary>
/// Whether what proofs remember has outgrown its use: each change leaves something behind that may never be asked
/// again, and no count of entries tells how many bytes they are. The garbage collector knows.
/// </summary>
/// <remarks>
/// Measured is what a full collection left of the whole process, in which little else grows. One after the first proof
/// says what this host needs; twice that, and something to spare, is more than it does. Left to itself the collector
/// looks at everything so rarely that gigabytes come together: it is asked to where the limit may be reached.
/// </remarks>
internal sealed class ProofMemory(ICollector collector)
{
    /// <summary>A small host's proofs may remember this much, whatever they need.</summary>
    public const long SpareBytes = 128L << 20;

    /// <summary>Proofs between two beginnings below which what is needed was taken for too little.</summary>
    public const int FewProofs = 100;

    private long seen;
    private long spare = SpareBytes;
    private long? needed;
    private long left;
    private int proofs;
    private bool isAsked;

    private long Limit => (2 * (needed ?? 0)) + spare;

    /// <summary>Asked between two proofs.</summary>
    public bool IsFull()
    {
        if (proofs++ == 0)
        {
            return false; // nothing is remembered yet
        }

        (long number, long bytes) = collector.Last;
        if (isAsked && number > seen)
        {
            (isAsked, left) = (false, bytes);
            needed ??= bytes;
            if (bytes > Limit)
            {
                return true;
            }
        }

        if (!isAsked && (needed is null || collector.Bytes > Math.Max(Limit, left + spare)))
        {
            (seen, isAsked) = (number, true);
            collector.Begin();
        }

        return false;
    }

    /// <summary>All was forgotten. Where that came soon, the next time is later.</summary>
    public void Begin()
    {
        spare = proofs < FewProofs ? 2 * spare : SpareBytes;
        (needed, left, proofs, isAsked) = (null, 0, 0, false);
    }
}

/// <summary>That of this process.</summary>
internal sealed class ProcessCollector : ICollector
{
    public (long Number, long Bytes) Last
    {
        get
        {
            GCMemoryInfo blocking = GC.GetGCMemoryInfo(GCKind.FullBlocking);
            GCMemoryInfo background = GC.GetGCMemoryInfo(GCKind.Background);
            GCMemoryInfo last = blocking.Index > background.Index ? blocking : background;
            return (last.Index, last.HeapSizeBytes);
        }
    }

    public long Bytes => GC.GetTotalMemory(forceFullCollection: false);

    public void Begin() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
}
