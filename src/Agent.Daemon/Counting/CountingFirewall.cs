using Agent.Daemon.Enforcement;
using Agent.Nftables;

namespace Agent.Daemon.Counting;

/// <summary>The kernel, with a look at the counters before a commit that would end some.</summary>
internal sealed class CountingFirewall(IFirewall inner, CounterBook book) : IFirewall
{
    public string? Obstacle => inner.Obstacle;

    public uint ReadGeneration() => inner.ReadGeneration();

    public (Ruleset Ruleset, uint Generation) Read() => inner.Read();

    public (Ruleset Ruleset, uint Generation) ReadBack(
        Ruleset expected, IReadOnlyList<NftOp> ops, uint generation) => inner.ReadBack(expected, ops, generation);

    public Ruleset ReadAside(string table) => inner.ReadAside(table);

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation) =>
        book.Around(ops, () => inner.Commit(ops, generation));

    public void Unmark(uint mask, uint value, uint clear) => inner.Unmark(mask, value, clear);

    public int Retrack(IReadOnlySet<ushort> zones) => inner.Retrack(zones);
}
