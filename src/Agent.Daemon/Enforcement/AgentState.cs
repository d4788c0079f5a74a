using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>What a reading of the kernel showed.</summary>
internal enum VerifyOutcome
{
    /// <summary>The kernel holds what was committed.</summary>
    Verified,

    /// <summary>It holds something else.</summary>
    Mismatch,

    /// <summary>The reading failed: nothing is known.</summary>
    Unknown,
}

/// <summary>A reading of the kernel, compared with what was committed.</summary>
/// <param name="Time">When.</param>
/// <param name="Took">How long the reading and the comparison took.</param>
/// <param name="Outcome">What it showed.</param>
/// <param name="Detail">The difference, or why nothing is known; empty if verified.</param>
internal sealed record VerificationResult(DateTimeOffset Time, TimeSpan Took, VerifyOutcome Outcome, string Detail);

/// <summary>
/// What the daemon holds and does, as one immutable value: the loop publishes it, everybody may read it.
/// </summary>
internal sealed record AgentState
{
    public static readonly AgentState Initial = new();

    /// <summary>Grows by one with each publication.</summary>
    public long Version { get; init; }

    public PolicySnapshot Desired { get; init; } = PolicySnapshot.Empty;

    public byte[] DesiredHash { get; init; } = [];

    /// <summary>When it was accepted; null: there is none.</summary>
    public Moment? DesiredAt { get; init; }

    /// <summary>The revision in force; 0 before the first.</summary>
    public ulong AppliedRevision { get; init; }

    public DateTimeOffset? AppliedAt { get; init; }

    /// <summary>vNICs that do not follow the desired revision, by id.</summary>
    public ImmutableSortedDictionary<string, string> Failed { get; init; } =
        ImmutableSortedDictionary<string, string>.Empty;

    public HostLinks Links { get; init; } = HostLinks.None;

    public uint Generation { get; init; }

    public uint Epoch { get; init; }

    /// <summary>What was committed last; null before the first time.</summary>
    public CompiledRuleset? Enforced { get; init; }

    /// <summary>Conntrack zones of the listed VPCs, by VPC id.</summary>
    public ImmutableSortedDictionary<string, ushort> Zones =>
        Enforced?.Zones ?? ImmutableSortedDictionary<string, ushort>.Empty;

    /// <summary>Null before the first.</summary>
    public VerificationResult? Verification { get; init; }

    /// <summary>The last proof, of <see cref="Enforced"/> or of what was before it; null before the first.</summary>
    public ProofResult? Proof { get; init; }

    /// <summary>The last time that the kernel held something else; null if it never did.</summary>
    public Drift? Drift { get; init; }

    /// <summary>What others do to packets that the policy admits.</summary>
    public ImmutableArray<ForeignHook> Foreign { get; init; } = [];

    public ImmutableArray<string> Alarms { get; init; } = [];

    /// <summary>How far the desired state is real.</summary>
    public HostRealisation Realisation { get; init; } = HostRealisation.None;

    /// <summary>Looked at, not enforced; null: nothing is.</summary>
    public StagedPolicy? Staged { get; init; }
}
