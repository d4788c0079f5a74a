using Agent.Nftables;

namespace Agent.KernelTests.Faults;

/// <summary>One of our tables in the kernel of a namespace, to be replaced by faulty ones.</summary>
internal sealed class HeldTable(NftConnection kernel, NftFamily family, string name)
{
    /// <summary>As the kernel holds it.</summary>
    public Ruleset Held => kernel.ReadRuleset([(family, name)]).Ruleset;

    /// <summary>A ruleset with this table as it is held, and the others of another one.</summary>
    public Ruleset Among(Ruleset others) => new(Held.Tables
        .Concat(others.Tables.Where(table => table.Family != family)).OrderBy(table => table.Family).ToValueArray());

    /// <summary>Takes this table from a ruleset.</summary>
    /// <returns>False: no kernel takes it.</returns>
    public bool Commit(Ruleset from)
    {
        var wanted = new Ruleset(from.Tables.Where(table => table.Family == family).ToValueArray());
        Plan plan = Plan.Between(Held, wanted);
        foreach (IReadOnlyList<NftOp> ops in (IReadOnlyList<NftOp>[])[plan.Prepare, plan.Switch, plan.Cleanup])
        {
            if (ops.Count > 0 && kernel.Commit(ops, kernel.ReadGeneration()) is not CommitOutcome.Committed)
            {
                return false;
            }
        }

        Assert.Equal(wanted, Held);
        return true;
    }
}
