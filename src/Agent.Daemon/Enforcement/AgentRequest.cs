using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Daemon.Ownership;
using Agent.Daemon.Tracing;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.V1;

namespace Agent.Daemon.Enforcement;

/// <summary>What is asked of the loop.</summary>
internal abstract record AgentRequest
{
    private AgentRequest()
    {
    }

    /// <summary>A step of the desired state, and where its answer goes.</summary>
    public abstract record Apply(TaskCompletionSource<ApplyOutcome> Answer) : AgentRequest
    {
        /// <summary>The caller's trace.</summary>
        public TraceOrigin Origin { get; init; }

        /// <summary>By what right it comes.</summary>
        public Claim Claim { get; init; } = Claim.None;

        /// <summary>Its name in our own.</summary>
        public abstract string Kind { get; }
    }

    public sealed record ApplySnapshot(
        Snapshot Snapshot, bool DryRun, bool NextRevision, TaskCompletionSource<ApplyOutcome> Answer)
        : Apply(Answer)
    {
        public override string Kind => DryRun ? "dry_run" : "snapshot";

        /// <summary>What the snapshot says as it is, and how long reading took; null: the loop reads it.</summary>
        public (SnapshotResult Result, TimeSpan Took)? Read { get; init; }

        /// <summary>Whatever it removes is meant.</summary>
        public bool ConfirmsMassChange { get; init; }
    }

    public sealed record ApplyDelta(Delta Delta, TaskCompletionSource<ApplyOutcome> Answer) : Apply(Answer)
    {
        /// <summary>When it came from its stream, a timestamp of the clock; null: from no stream.</summary>
        public long? ReadAt { get; init; }

        public override string Kind => "delta";
    }

    /// <summary>Look at a policy before it is enforced.</summary>
    public sealed record Stage(Snapshot Snapshot, bool NextRevision, TaskCompletionSource<ApplyOutcome> Answer)
        : Apply(Answer)
    {
        public override string Kind => "stage";
    }

    /// <summary>Enforce what is staged.</summary>
    /// <param name="Revision">This one or none; 0: whatever is staged.</param>
    /// <param name="Answer">Where the answer goes.</param>
    public sealed record CommitStaged(ulong Revision, TaskCompletionSource<ApplyOutcome> Answer) : Apply(Answer)
    {
        public override string Kind => "commit_staged";
    }

    /// <summary>Answered with what was staged, if anything was, or with why it stays.</summary>
    public sealed record DiscardStaged(Claim Claim, TaskCompletionSource<(StagedPolicy?, PolicyFault?)> Answer)
        : AgentRequest;

    /// <summary>Answered when everything that was asked before is done.</summary>
    public sealed record Settle(TaskCompletionSource<AgentState> Answer) : AgentRequest;

    /// <summary>Something that status tells of has changed beside the loop.</summary>
    public sealed record StatusChanged : AgentRequest;

    /// <summary>Read everything back now.</summary>
    public sealed record Verify(TaskCompletionSource<ReadBack> Answer) : AgentRequest;

    /// <summary>A proof in the background has ended.</summary>
    public sealed record Proved(ProofResult Result) : AgentRequest;

    /// <summary>A drift was looked at.</summary>
    public sealed record DriftExplained(Drift Drift) : AgentRequest;

    /// <summary>Others hooked something else than before.</summary>
    public sealed record ForeignFound(ImmutableArray<ForeignHook> Hooks) : AgentRequest;

    /// <summary>Devices came, went or changed.</summary>
    public sealed record LinksChanged(HostLinks Links) : AgentRequest;

    /// <summary>Settings that may change while the loop runs have changed; answered when they are in force.</summary>
    public sealed record Reconfigure(DaemonConfig Config, TaskCompletionSource<AgentState> Answer) : AgentRequest;

    /// <summary>Time to ask the kernel whether anybody else wrote.</summary>
    public sealed record AuditDue : AgentRequest;
}

/// <summary>A reading, and what should be there.</summary>
/// <param name="Result">How they compare.</param>
/// <param name="Held">What the kernel holds.</param>
/// <param name="Enforced">What was committed; null before the first time.</param>
internal sealed record ReadBack(VerificationResult Result, Ruleset Held, CompiledRuleset? Enforced);

/// <summary>What became of a step.</summary>
internal abstract record ApplyOutcome
{
    private ApplyOutcome()
    {
    }

    public sealed record Accepted(
        AgentState State, PolicySnapshot Before, PolicySnapshot After, EnforcementReport? Report,
        TimeSpan Validate, TimeSpan Persist, ImmutableArray<string> Warnings, bool Unchanged) : ApplyOutcome
    {
        /// <summary>How many deltas were committed together; 0: a snapshot was.</summary>
        public int Deltas { get; init; }

        /// <summary>What a dry run would commit.</summary>
        public CompiledRuleset? Compiled { get; init; }
    }

    public sealed record Refused(AgentState State, ImmutableArray<PolicyFault> Faults) : ApplyOutcome;

    /// <summary>It waits to be confirmed.</summary>
    public sealed record Held(AgentState State, MassChange Change) : ApplyOutcome;
}
