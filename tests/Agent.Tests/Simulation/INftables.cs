using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>What a program sees of nf_tables, be it the simulated one or the real one.</summary>
public interface INftables : IDisposable
{
    uint ReadGeneration();

    /// <summary>Table "sg_agent" of the inet family, if it is there.</summary>
    Ruleset Read();

    CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation);
}
