using Agent.Evaluator.Forms;
using Agent.Policy;

namespace Agent.Evaluator.Health;

/// <summary>A rule by its group's id and its own.</summary>
internal readonly record struct RuleName(string GroupId, string RuleId)
{
    public override string ToString() => $"{GroupId}/{RuleId}";
}

/// <summary>
/// A form from which rules are taken away one after the other, as long as every packet keeps its verdict.
/// </summary>
internal sealed class HealthForm
{
    private readonly PolicyForm form;
    private readonly RowSet[] cells;
    private readonly Diagram[] verdicts;
    private readonly Diagram[] deciders;
    private readonly Dictionary<RuleName, int> ranks = [];
    private readonly RowSet gone;
    private ILookup<RuleName, RuleName>? ties;

    public HealthForm(PolicyForm form)
    {
        this.form = form;
        cells = [.. form.Cells];
        deciders = [.. cells.Select(form.Deciders)];
        verdicts = [.. deciders.Select(form.VerdictsOf)];
        gone = new RowSet(form.Rows.Length);
        for (int row = 0; row < form.Rows.Length; row++)
        {
            if (form.Rows[row] is { Reason: VerdictReason.Rule, GroupId: string group, Rule: GroupRule rule })
            {
                ranks.Add(new RuleName(group, rule.Id), row);
            }
        }
    }

    /// <summary>It decides at least one packet, with what is left.</summary>
    public bool Decides(RuleName rule) => ranks.TryGetValue(rule, out int row)
        && Array.Exists(deciders, diagram => form.Diagrams.Leaves(diagram).Contains(row));

    /// <summary>It decides at least one packet like this, with what is left.</summary>
    public bool Decides(RuleName rule, PacketPoint packet) => ranks.TryGetValue(rule, out int row)
        && Array.Exists(deciders, diagram => form.Diagrams.At(diagram, packet) == row);

    /// <summary>Without it and what is gone, every packet has the verdict that it had with everything.</summary>
    public bool CanLose(RuleName rule)
    {
        if (!ranks.TryGetValue(rule, out int row))
        {
            return true;
        }

        for (int cell = 0; cell < cells.Length; cell++)
        {
            if (form.Diagrams.Leaves(deciders[cell]).Contains(row)
                && form.VerdictsOf(form.Deciders(Left(cell, row))) != verdicts[cell])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Takes it away.</summary>
    public void Lose(RuleName rule)
    {
        if (!ranks.TryGetValue(rule, out int row))
        {
            return;
        }

        for (int cell = 0; cell < cells.Length; cell++)
        {
            if (form.Diagrams.Leaves(deciders[cell]).Contains(row))
            {
                deciders[cell] = form.Deciders(Left(cell, row));
            }
        }

        gone.Add(row);
    }

    /// <summary>
    /// Accept rules that would decide a packet if the drop rules of their priority, this one first, were not there.
    /// </summary>
    public IEnumerable<RuleName> TiesOf(RuleName drop) =>
        (ties ??= Ties().ToLookup(tie => tie.Drop, tie => tie.Accept))[drop];

    private IEnumerable<(RuleName Drop, RuleName Accept)> Ties()
    {
        PolicyRow[] rows = [.. form.Rows];
        var found = new HashSet<int>();
        var pairs = new DiagramMerge(form.Diagrams, (one, other) =>
            rows[one].Rule is { Verdict: Verdict.Drop } drop && rows[other].Rule is { Verdict: Verdict.Accept } accept
            && drop.Priority == accept.Priority ? 1 + one * rows.Length + other : 0);
        for (int cell = 0; cell < cells.Length; cell++)
        {
            foreach (byte priority in form.Diagrams.Leaves(deciders[cell]).Select(row => rows[row].Rule)
                .OfType<GroupRule>().Where(rule => rule.Verdict == Verdict.Drop).Select(rule => rule.Priority)
                .Distinct())
            {
                var others = new RowSet(rows.Length);
                for (int row = 0; row < rows.Length; row++)
                {
                    if (cells[cell].Contains(row) && !(rows[row].Rule is { Verdict: Verdict.Drop } drop
                        && drop.Priority == priority))
                    {
                        others.Add(row);
                    }
                }

                found.UnionWith(form.Diagrams.Leaves(
                    pairs.Of(deciders[cell], form.Deciders(others))).ToArray());
            }
        }

        return found.Where(pair => pair > 0).Select(pair => (
            NameOf(rows[(pair - 1) / rows.Length]), NameOf(rows[(pair - 1) % rows.Length])));
    }

    private static RuleName NameOf(PolicyRow row) => new(row.GroupId!, row.Rule!.Id);

    private RowSet Left(int cell, int row)
    {
        var left = new RowSet(form.Rows.Length);
        for (int other = 0; other < form.Rows.Length; other++)
        {
            if (other != row && cells[cell].Contains(other) && !gone.Contains(other))
            {
                left.Add(other);
            }
        }

        return left;
    }
}
