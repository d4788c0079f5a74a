using Agent.Netlink.Conntrack;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>The kernel of the network namespace that the daemon runs in.</summary>
internal sealed class KernelFirewall : IFirewall, IDisposable
{
    private readonly NftConnection connection;
    private readonly (NftFamily Family, string Name)[] tables;

    /// <param name="table">Name of our tables.</param>
    /// <param name="ownership">Whether other programs are kept off them.</param>
    public KernelFirewall(string table, TableOwnership ownership)
    {
        connection = new NftConnection(ownership);
        tables = [(NftFamily.Inet, table), (NftFamily.Netdev, table)];
    }

    public uint ReadGeneration() => connection.ReadGeneration();

    public (Ruleset Ruleset, uint Generation) Read()
    {
        RulesetReading reading = connection.ReadRuleset(tables);
        return (reading.Ruleset, reading.Generation);
    }

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint generation) => connection.Commit(ops, generation);

    // Rare (once in half the epochs, and at a first start), so it has no socket of its own in between.
    public void Unmark(uint mask, uint value, uint clear)
    {
        using var sessions = new ConntrackConnection();
        sessions.ClearMarks(mask, value, clear);
    }

    public void Dispose() => connection.Dispose();
}
