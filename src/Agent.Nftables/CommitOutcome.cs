using Agent.Netlink;

namespace Agent.Nftables;

/// <summary>What became of a batch.</summary>
public abstract record CommitOutcome
{
    private CommitOutcome()
    {
    }

    /// <summary>All of it is in the kernel.</summary>
    /// <param name="Generation">The generation that it made. A commit that is planned on it is refused as stale if
    /// anybody wrote meanwhile.</param>
    /// <param name="Messages">Netlink messages sent, the two around the batch included.</param>
    /// <param name="Bytes">Bytes sent.</param>
    public sealed record Committed(uint Generation, int Messages, long Bytes) : CommitOutcome;

    /// <summary>Somebody else committed since the generation was read: nothing was applied. Read again.</summary>
    public sealed record Stale : CommitOutcome;

    /// <summary>The kernel refused at least one operation: nothing was applied.</summary>
    public sealed record Refused(ValueArray<OpRefusal> Refusals) : CommitOutcome;
}

/// <summary>One refused operation.</summary>
/// <param name="OpIndex">Index in the list of operations; -1 if the kernel blames the batch as a whole.</param>
/// <param name="Error">The kernel's answer.</param>
public sealed record OpRefusal(int OpIndex, KernelError Error);
