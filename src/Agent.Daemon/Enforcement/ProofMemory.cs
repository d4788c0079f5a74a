namespace Agent.Daemon.Enforcement;

/// <summary>
/// Whether what proofs remember has outgrown its use: each change leaves something behind that may never be asked
/// again, and no count of entries tells how many bytes they are. The garbage collector knows.
/// </summary>
/// <remarks>
/// Measured is what a full collection left of the whole process, in which little else grows. The first one after a
/// beginning says what this host needs; twice that, and something to spare, is more than it does.
/// </remarks>
/// <param name="read">Number and outcome of the last full collection.</param>
internal sealed class ProofMemory(Func<(long Number, long Bytes)> read)
{
    /// <summary>A small host's proofs may remember this much, whatever they need.</summary>
    public const long SpareBytes = 128L << 20;

    private long begun = read().Number;
    private long? needed;

    /// <summary>Asked between two proofs.</summary>
    public bool IsFull()
    {
        (long number, long bytes) = read();
        if (number <= begun)
        {
            return false;
        }

        needed ??= bytes;
        return bytes > (2 * needed) + SpareBytes;
    }

    /// <summary>All was forgotten.</summary>
    public void Begin() => (begun, needed) = (read().Number, null);

    /// <summary>Of this process.</summary>
    public static (long Number, long Bytes) ReadCollector()
    {
        GCMemoryInfo blocking = GC.GetGCMemoryInfo(GCKind.FullBlocking);
        GCMemoryInfo background = GC.GetGCMemoryInfo(GCKind.Background);
        GCMemoryInfo last = blocking.Index > background.Index ? blocking : background;
        return (last.Index, last.HeapSizeBytes);
    }
}
