using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>What our tables hold as long as nobody else writes, a change that is on its way included.</summary>
/// <param name="Of">What packets should meet.</param>
/// <param name="Ruleset">The same, as the kernel has it: at least this.</param>
/// <param name="Besides">
/// What changes prepared, or left behind for a moment: of these objects some may be there too, and no packet meets
/// them.
/// </param>
internal sealed record Holding(CompiledRuleset Of, Ruleset Ruleset, ImmutableArray<Ruleset> Besides)
{
    public static Holding Exactly(CompiledRuleset of) => new(of, of.Ruleset, []);

    /// <summary>A hook that nobody of us set; null if there is none.</summary>
    public string? ForeignHook(Ruleset held) =>
        held.Tables
            .Where(table => Ruleset.Find(table.Family, table.Name) is not null)
            .SelectMany(
                table => table.Chains.Where(chain => chain.Hook is not null
                    && !Besides.Add(Ruleset).Any(ours => Has(ours, table, chain.Name))),
                (_, chain) => $"hooked, and not ours: chain {chain.Name}")
            .FirstOrDefault();

    /// <summary>All in which something that was read differs, without what a change has there besides.</summary>
    public IReadOnlyList<RulesetChange> ChangesIn(Ruleset held)
    {
        IReadOnlyList<RulesetChange> changes = RulesetChange.Between(held, Ruleset);
        foreach (Ruleset ours in Besides)
        {
            HashSet<RulesetChange> unknown = [.. RulesetChange.Between(held, ours)];
            changes = [.. changes.Where(change => change.Kind != ChangeKind.Added || unknown.Contains(change))];
        }

        return changes;
    }

    private static bool Has(Ruleset ruleset, NftTable table, string chain) =>
        ruleset.Find(table.Family, table.Name) is { } known && known.Chains.Any(one => one.Name == chain);
}
