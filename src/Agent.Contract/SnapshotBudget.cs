namespace Agent.Contract;

/// <summary>How many bytes of unfinished snapshots there may be, over all streams that send one.</summary>
/// <param name="mostBytes">
/// As they are on the wire, and with what <see cref="MessageWeight"/> adds; in memory they are at most some four times
/// as much.
/// </param>
public sealed class SnapshotBudget(long mostBytes)
{
    private long taken;

    public long MostBytes => mostBytes;

    /// <returns>False: there is no room; nothing was taken.</returns>
    public bool TryTake(long bytes)
    {
        if (Interlocked.Add(ref taken, bytes) <= mostBytes)
        {
            return true;
        }

        Give(bytes);
        return false;
    }

    public void Give(long bytes) => Interlocked.Add(ref taken, -bytes);
}
