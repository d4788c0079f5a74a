using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator.Proof;

namespace Agent.Daemon.Enforcement;

/// <summary>The worst of what a proof showed.</summary>
internal enum ProofOutcome
{
    /// <summary>The ruleset does with every packet what the policy says.</summary>
    Proved,

    /// <summary>It was not finished; it goes on in the background.</summary>
    Pending,

    /// <summary>Something was not proved, and no packet shows that it is wrong.</summary>
    Unknown,

    /// <summary>There is a packet that is treated otherwise.</summary>
    Refuted,
}

/// <summary>What a proof of a ruleset showed.</summary>
/// <param name="Of">The ruleset, and the policy that it was compared with.</param>
/// <param name="Time">When it ended.</param>
/// <param name="Took">How long it took.</param>
/// <param name="Vnics">By vNIC id. One that was held back is compared with the policy whose rules it keeps.</param>
/// <param name="Host">Traffic of no vNIC; null if it was not asked for.</param>
internal sealed record ProofResult(
    CompiledRuleset Of, DateTimeOffset Time, TimeSpan Took, ImmutableSortedDictionary<string, VnicProof> Vnics,
    VnicProof? Host)
{
    /// <summary>Time ran out.</summary>
    public bool IsPending { get; init; }

    public ProofOutcome Outcome => IsPending ? ProofOutcome.Pending
        : All.Any(proof => proof is VnicProof.Refuted) ? ProofOutcome.Refuted
        : All.Any(proof => proof is VnicProof.Unknown) ? ProofOutcome.Unknown
        : ProofOutcome.Proved;

    /// <summary>vNICs (by id) that are not proved, and why.</summary>
    public IEnumerable<(string VnicId, string Reason)> Faults =>
        Vnics.Where(vnic => vnic.Value is not VnicProof.Proved).Select(vnic => (vnic.Key, ReasonOf(vnic.Value)!));

    /// <summary>Those of <see cref="Faults"/> that are not merely what is never proved.</summary>
    public IEnumerable<(string VnicId, string Reason)> Condemned =>
        Faults.Where(fault => Vnics[fault.VnicId] is not VnicProof.Unknown { IsBeyond: true });

    /// <summary>Why traffic of no vNIC is not proved; null if it is.</summary>
    public string? HostFault => Host is null ? null : ReasonOf(Host);

    private IEnumerable<VnicProof> All => Host is null ? Vnics.Values : Vnics.Values.Append(Host);

    /// <summary>Why something is not proved; null if it is.</summary>
    public static string? ReasonOf(VnicProof proof) => proof switch
    {
        VnicProof.Refuted refuted => refuted.Example.ToString(),
        VnicProof.Unknown unknown => unknown.Reason,
        _ => null,
    };
}
