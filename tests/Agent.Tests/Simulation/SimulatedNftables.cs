using Agent.Nftables;

namespace Agent.Tests.Simulation;

/// <summary>nf_tables of a simulated host: its tables and its generation.</summary>
internal sealed class SimulatedNftables : INftables
{
    private readonly KernelModel model = new() { IsStrict = false };

    private uint generation = 1;

    /// <summary>Everybody's tables.</summary>
    public Ruleset Ruleset => model.Ruleset;

    public uint ReadGeneration() => generation;

    public Ruleset Read() => new(model.Ruleset.Tables
        .Where(table => table is { Family: NftFamily.Inet, Name: "sg_agent" }).ToValueArray());

    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? planned)
    {
        if (planned is { } on && on != generation)
        {
            return new CommitOutcome.Stale();
        }

        IReadOnlyList<OpRefusal> refusals = model.Commit(ops, out bool changes);
        if (refusals.Count > 0)
        {
            return new CommitOutcome.Refused(refusals.ToValueArray());
        }

        generation += changes ? 1u : 0;
        return new CommitOutcome.Committed(generation, ops.Count + 2, 100);
    }

    /// <summary>Makes a table of ours dormant, as any root program may.</summary>
    public void SetDormant(NftFamily family, string table)
    {
        model.SetDormant(family, table, dormant: true);
        generation++;
    }

    /// <summary>Somebody commits to a table of their own.</summary>
    public void CommitElsewhere() => generation++;

    /// <summary>As <see cref="KernelModel.MoveDevice"/>.</summary>
    public void MoveDevice(string device, string? newName) => model.MoveDevice(device, newName);

    public void Dispose()
    {
    }
}
