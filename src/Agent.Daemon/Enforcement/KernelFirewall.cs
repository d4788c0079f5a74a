using Agent.Netlink.Conntrack;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>The kernel of the network namespace that the daemon runs in.</summary>
internal sealed class KernelFirewall : IFirewall, IDisposable
{
    private readonly NftConnection connection;
    private readonly TableOwnership ownership;
    private readonly (NftFamily Family, string Name)[] tables;

    /// <summary>Nobody else can change what there is of our tables: what others commit is no concern of ours.</summary>
    private bool exclusive;

    /// <param name="table">Name of our tables.</param>
    /// <param name="ownership">Whether other programs are kept off them.</param>
    public KernelFirewall(string table, TableOwnership ownership)
    {
        connection = new NftConnection(ownership);
        this.ownership = ownership;
        tables = [(NftFamily.Inet, table), (NftFamily.Netdev, table), (NftFamily.Bridge, table)];
    }

    /// <summary>What our tables were to hold when they were last read back.</summary>
    private Ruleset? expected;

    private Task<(Ruleset, uint)>? ahead;

    public string? Obstacle { get; private set; }

    public uint ReadGeneration() => connection.ReadGeneration();

    /// <summary>Begins what the next <see cref="Read"/> ends. Nothing else may be asked in between.</summary>
    public void ReadAhead() => ahead = Task.Run(ReadNow);

    public (Ruleset Ruleset, uint Generation) Read()
    {
        Task<(Ruleset, uint)>? begun = ahead;
        ahead = null;
        return begun is null ? ReadNow() : begun.GetAwaiter().GetResult();
    }

    /// <remarks>
    /// What an earlier process owned is ours from here on. Ownership is by socket: until it is claimed, any root
    /// program may change it.
    /// </remarks>
    private (Ruleset Ruleset, uint Generation) ReadNow()
    {
        while (true)
        {
            RulesetReading reading = connection.ReadRuleset(tables, expected);
            Obstacle = ForeignOwner(reading);
            NftOp[] claims = ownership == TableOwnership.Shared ? [] :
            [
                .. reading.Owners.Where(table => table.Hold == TableHold.Orphaned)
                    .Select(table => new NftOp.AddTable(table.Family, table.Name)),
            ];
            switch (connection.Commit(claims, reading.Generation))
            {
                case CommitOutcome.Committed committed:
                    exclusive = ownership != TableOwnership.Shared && reading.Owners.Count > 0
                        && reading.Owners.All(table => table.Hold is TableHold.Ours or TableHold.Orphaned);
                    return (reading.Ruleset, committed.Generation);
                case CommitOutcome.Refused refused:
                    exclusive = false;
                    Obstacle ??= $"our tables cannot be claimed: {refused.Refusals[0].Error}";
                    return (reading.Ruleset, reading.Generation);
            }
        }
    }

    public (Ruleset Ruleset, uint Generation) ReadBack(
        Ruleset expected, IReadOnlyList<NftOp> ops, uint generation)
    {
        this.expected = expected;
        uint before = connection.ReadGeneration();
        if ((exclusive || before == generation) && connection.ReadBack(expected, ops) is Ruleset read
            && (exclusive || connection.ReadGeneration() == before))
        {
            return (read, before);
        }

        RulesetReading all = connection.ReadRuleset(tables, expected);
        return (all.Ruleset, all.Generation);
    }

    public Ruleset ReadAside(string table) =>
        connection.ReadRuleset([(NftFamily.Inet, table), (NftFamily.Bridge, table)]).Ruleset;

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation) =>
        connection.Commit(ops, exclusive ? null : generation);

    // Rare (once in half the epochs, and at a first start), so it has no socket of its own in between.
    public void Unmark(uint mask, uint value, uint clear)
    {
        using var sessions = new ConntrackConnection();
        sessions.ClearMarks(mask, value, clear);
    }

    public int Retrack(IReadOnlySet<ushort> zones)
    {
        using var sessions = new ConntrackConnection();
        return sessions.Retrack(zones);
    }

    public void Dispose()
    {
        Task.WaitAny(ahead ?? Task.CompletedTask); // the socket must not be closed under it; however it ends
        connection.Dispose();
    }

    private static string? ForeignOwner(RulesetReading reading)
    {
        foreach (TableOwner table in reading.Owners)
        {
            if (table.Hold == TableHold.Foreign)
            {
                return $"table {table.Name} belongs to another program's netlink socket (port {table.OwnerPort}, "
                    + "most often its process id); stop that program, or set another table";
            }
        }

        return null;
    }
}
