namespace Agent.Benchmarks.Changes;

/// <summary>What a change passes through.</summary>
internal enum Stage
{
    /// <summary>From bytes to a validated policy.</summary>
    Read,

    /// <summary>The hash of the state.</summary>
    Hash,

    /// <summary>From the policy to a ruleset.</summary>
    Compile,

    /// <summary>Whether it takes anything away.</summary>
    Judge,

    /// <summary>That the ruleset does what the policy says.</summary>
    Prove,

    /// <summary>What differs from what the kernel holds.</summary>
    Plan,

    /// <summary>Netlink messages written, and what the kernel does with them.</summary>
    Commit,

    /// <summary>What was touched, read back and compared.</summary>
    ReadBack,
}

/// <summary>What one change cost this process.</summary>
/// <param name="Milliseconds">Of processor, the kernel's part included, by stage.</param>
/// <param name="Allocated">Bytes, by stage.</param>
/// <param name="Messages">Netlink messages of the change, without cleaning up.</param>
/// <param name="Bytes">Of netlink.</param>
internal sealed record ChangeCost(
    IReadOnlyDictionary<Stage, double> Milliseconds, IReadOnlyDictionary<Stage, long> Allocated, int Messages,
    long Bytes)
{
    /// <summary>Everything but the kernel's part and the proof.</summary>
    public static readonly Stage[] Own = [Stage.Read, Stage.Hash, Stage.Compile, Stage.Judge, Stage.Plan];

    public double OwnMilliseconds => Own.Sum(stage => Milliseconds[stage]);

    public long OwnAllocated => Own.Sum(stage => Allocated[stage]);
}
