using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>The process died here.</summary>
internal sealed class CrashException() : Exception("crash");

/// <summary>A kernel that keeps its ruleset over "processes", and does what a test or a seed tells it to.</summary>
internal sealed class SimulatedFirewall : IFirewall
{
    private readonly KernelModel kernel = new();
    private uint generation = 1;

    /// <summary>Operations that this kernel does not take: null, or why.</summary>
    public Func<NftOp, string?> Refuses { get; set; } = _ => null;

    /// <summary>Called before each commit; may write something foreign, or throw.</summary>
    public Action BeforeCommit { get; set; } = () => { };

    /// <summary>Called when something is committed, before it is answered.</summary>
    public Action AfterCommit { get; set; } = () => { };

    /// <summary>Called before what was committed is read back.</summary>
    public Action BeforeReadBack { get; set; } = () => { };

    /// <summary>Committed transactions, in order.</summary>
    public List<IReadOnlyList<NftOp>> Committed { get; } = [];

    public int StaleAnswers { get; private set; }

    public Ruleset Ruleset => kernel.Ruleset;

    /// <summary>Somebody else commits; without operations, to a table of their own.</summary>
    public void Foreign(params NftOp[] ops)
    {
        Assert.Null(kernel.Apply(ops));
        generation++;
    }

    public uint ReadGeneration() => generation;

    public (Ruleset Ruleset, uint Generation) Read() => (kernel.Ruleset, generation);

    public (Ruleset Ruleset, uint Generation) ReadBack(Ruleset expected, IReadOnlyList<NftOp> ops, uint at)
    {
        BeforeReadBack();
        return Read();
    }

    public Ruleset ReadAside(string table) =>
        new(kernel.Ruleset.Tables.Where(one => one.Name == table).ToValueArray());

    /// <summary>What was asked to be unmarked, in order.</summary>
    public List<(uint Mask, uint Value, uint Clear)> Unmarked { get; } = [];

    public void Unmark(uint mask, uint value, uint clear) => Unmarked.Add((mask, value, clear));

    /// <summary>Zones whose sessions were to be tracked anew, in order; with what was in force meanwhile.</summary>
    public List<(IReadOnlySet<ushort> Zones, Ruleset Meanwhile)> Retracked { get; } = [];

    public int Retrack(IReadOnlySet<ushort> zones)
    {
        Retracked.Add((zones, kernel.Ruleset));
        return 0;
    }

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? planned)
    {
        BeforeCommit();
        if (planned is { } on && on != generation)
        {
            StaleAnswers++;
            return new CommitOutcome.Stale();
        }

        OpRefusal[] refusals = [.. ops.Select((op, i) => (Why: Refuses(op), i)).Where(one => one.Why is not null)
            .Select(one => new OpRefusal(one.i, new KernelError(95, one.Why)))];
        if (refusals.Length == 0 && kernel.Apply(ops) is (int index, string why))
        {
            refusals = [new OpRefusal(index, new KernelError(2, why))];
        }

        if (refusals.Length > 0)
        {
            return new CommitOutcome.Refused(refusals.ToValueArray());
        }

        generation++;
        Committed.Add(ops);
        AfterCommit();
        return new CommitOutcome.Committed(generation, ops.Count + 2, 100);
    }
}
