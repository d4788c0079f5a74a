using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;
using Agent.V1;

namespace Agent.Daemon.Enforcement;

/// <summary>A policy that is looked at before it is enforced.</summary>
/// <param name="Snapshot">As it was sent.</param>
/// <param name="NextRevision">It takes the next revision when it is committed.</param>
/// <param name="Policy">The same, validated.</param>
/// <param name="Hash">Of <paramref name="Policy"/>.</param>
/// <param name="Compiled">What a commit would have enforced when it was staged.</param>
/// <param name="Shadow">What counts in the kernel.</param>
/// <param name="Since">When it was staged.</param>
/// <param name="OnRevision">The revision that was held then.</param>
/// <param name="Warnings">Of its validation.</param>
internal sealed record StagedPolicy(
    Snapshot Snapshot, bool NextRevision, PolicySnapshot Policy, byte[] Hash, CompiledRuleset Compiled,
    StagedRuleset Shadow, DateTimeOffset Since, ulong OnRevision, ImmutableArray<string> Warnings)
{
    /// <summary>Nobody asked for it to be staged: it waits to be confirmed. Null: somebody did.</summary>
    public MassChange? MassChange { get; init; }

    /// <summary>Why <see cref="Shadow"/> is not in the kernel; empty: it is.</summary>
    public string Uncounted { get; init; } = "";
}

/// <summary>
/// Puts the tables of a staged policy beside those that enforce, and takes them away. They are proved to change
/// nothing before they are there, and again of what is read back.
/// </summary>
/// <remarks>Not persisted: what a dead process left is removed at the next start.</remarks>
internal sealed class StagingArea(Enforcer enforcer, CompilerSettings settings)
{
    /// <summary>As for what enforces: others wait for a few milliseconds at most.</summary>
    private const int Chunk = 2000;

    /// <exception cref="EnforcementFailedException">Nothing is staged.</exception>
    public void Put(StagedRuleset shadow)
    {
        Prove(shadow.Ruleset);
        Clear();
        try
        {
            Plan plan = Plan.Between(Ruleset.Empty, shadow.Ruleset);
            foreach (NftOp[] chunk in plan.Prepare.Chunk(Chunk))
            {
                Commit(chunk);
            }

            Commit(plan.Switch);
            Ruleset held = enforcer.ReadAside(shadow.Table);
            Prove(held);
            if (!Plan.Between(held, shadow.Ruleset).IsEmpty)
            {
                throw new EnforcementFailedException("what was staged is not what is read back");
            }
        }
        catch (Exception e) when (e is EnforcementFailedException or Netlink.NetlinkException)
        {
            Clear();
            throw;
        }
    }

    /// <exception cref="EnforcementFailedException">The kernel refuses it.</exception>
    public void Clear() => Commit(
    [
        .. enforcer.ReadAside(StagedRuleset.TableOf(settings)).Tables
            .Select(table => new NftOp.DeleteTable(table.Family, table.Name)),
    ]);

    private static void Prove(Ruleset shadow)
    {
        foreach (NftTable table in shadow.Tables)
        {
            if (Bystander.Objection(table) is string objection)
            {
                throw new EnforcementFailedException($"the staged table would change verdicts: {objection}");
            }
        }
    }

    private void Commit(IReadOnlyList<NftOp> ops)
    {
        if (ops.Count == 0)
        {
            return;
        }

        switch (enforcer.CommitAside(ops))
        {
            case CommitOutcome.Committed:
                return;
            case CommitOutcome.Refused refused:
                OpRefusal first = refused.Refusals[0];
                string what = first.OpIndex >= 0 ? ops[first.OpIndex].ToString() : "transaction";
                throw new EnforcementFailedException($"the kernel refused the staged table: {what}: {first.Error}");
            default:
                throw new EnforcementFailedException("others keep changing the ruleset: try again");
        }
    }
}
