using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>What one enforcement did.</summary>
/// <param name="Compile">Time spent compiling.</param>
/// <param name="Prove">Time spent proving what was to be committed.</param>
/// <param name="Commit">Time spent planning, committing and reading back, until the change was in force.</param>
/// <param name="Messages">Netlink messages over all transactions.</param>
/// <param name="Bytes">Netlink bytes over all transactions.</param>
/// <param name="Transactions">Transactions committed.</param>
/// <param name="Revalidated">Live sessions will be judged again.</param>
/// <param name="Verification">What reading back showed; null if nothing was committed.</param>
/// <param name="Proof">What is known of the ruleset in force; null if nobody asked for a proof.</param>
/// <param name="Drift">What was found to be otherwise than it had been committed, on the way; most often null.</param>
internal sealed record EnforcementReport(
    TimeSpan Compile, TimeSpan Prove, TimeSpan Commit, int Messages, long Bytes, int Transactions, bool Revalidated,
    VerificationResult? Verification, ProofResult? Proof, Drift? Drift);

/// <summary>The kernel did not take a change, although everything that could be held back was.</summary>
internal sealed class EnforcementFailedException(string message) : Exception(message);

/// <summary>An enforcement under way.</summary>
internal sealed class EnforcementTally
{
    private int messages;
    private long bytes;
    private int transactions;

    public TimeSpan Compile { get; set; }

    public TimeSpan Prove { get; set; }

    public TimeSpan Commit { get; set; }

    public bool Revalidated { get; set; }

    public VerificationResult? Verification { get; set; }

    /// <summary>Committed, and not yet read back.</summary>
    public List<NftOp> Done { get; } = [];

    public void Add(CommitOutcome.Committed committed, IReadOnlyList<NftOp> ops)
    {
        Done.AddRange(ops);
        messages += committed.Messages;
        bytes += committed.Bytes;
        transactions++;
    }

    public EnforcementReport Report(ProofResult? proof, Drift? drift) =>
        new(Compile, Prove, Commit, messages, bytes, transactions, Revalidated, Verification, proof, drift);
}
