using Agent.Daemon.Enforcement;
using Agent.Nftables;

namespace Agent.Fleet.Agents;

/// <summary>A kernel that takes everything and holds what it should: as fast as a kernel can be.</summary>
internal sealed class ObedientKernel : IFirewall
{
    private Ruleset held = Ruleset.Empty;
    private uint generation = 1;

    public uint ReadGeneration() => generation;

    public (Ruleset Ruleset, uint Generation) Read() => (held, generation);

    public (Ruleset Ruleset, uint Generation) ReadBack(Ruleset expected, IReadOnlyList<NftOp> ops, uint at)
    {
        held = expected;
        return (held, generation);
    }

    public Ruleset ReadAside(string table) => Ruleset.Empty;

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? planned)
    {
        generation++;
        return new CommitOutcome.Committed(generation, ops.Count + 2, 100L * ops.Count);
    }

    public void Unmark(uint mask, uint value, uint clear)
    {
    }

    public int Retrack(IReadOnlySet<ushort> zones) => 0;
}
