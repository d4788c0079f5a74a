using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>What a program sees of nf_tables: the contract that the simulated one and the real one are held to.</summary>
public interface INftables : IDisposable
{
    uint ReadGeneration();

    /// <summary>Table "sg_agent" of the inet family, if it is there.</summary>
    Ruleset Read();

    CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation);
}
