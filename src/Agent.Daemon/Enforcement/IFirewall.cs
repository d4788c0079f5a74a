using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// The seam to the kernel: read, commit conditionally. <c>KernelFirewall</c> here, a simulated one in the tests.
/// </summary>
internal interface IFirewall
{
    /// <summary>nf_tables' generation counter: changes with every commit of anyone in this namespace.</summary>
    uint ReadGeneration();

    /// <summary>Our tables as the kernel holds them, and the generation at which they were so.</summary>
    (Ruleset Ruleset, uint Generation) Read();

    /// <summary>One transaction, only if nothing was committed since <paramref name="generation"/>.</summary>
    CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint generation);
}
