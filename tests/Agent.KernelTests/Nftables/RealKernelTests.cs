using Agent.Nftables;
using Agent.Tests.Nftables;
using Agent.Tests.Simulation;

namespace Agent.KernelTests.Nftables;

/// <summary>The real nf_tables keeps the contract that the simulated one is held to.</summary>
public sealed class RealKernelTests : KernelContract
{
    protected override INftables Open() => new Real(Namespace.Clean());

    private sealed class Real(NftConnection nft) : INftables
    {
        public uint ReadGeneration() => nft.ReadGeneration();

        public Ruleset Read() => nft.ReadRuleset([(NftFamily.Inet, Samples.Table)]).Ruleset;

        public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation) => nft.Commit(ops, generation);

        public void Dispose() => nft.Dispose();
    }
}
