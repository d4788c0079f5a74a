using Agent.Compiler;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// An object in our table that says: the policy is in force for new sessions, and live ones are yet to be judged again.
/// A process that dies in between leaves it behind, and the next one finishes.
/// </summary>
internal static class SealMark
{
    private const string Name = "seal_pending";

    public static Ruleset Put(Ruleset ruleset, CompilerSettings settings) => new(ruleset.Tables
        .Select(table => table.Family != NftFamily.Inet || table.Name != settings.Table ? table : table with
        {
            Objects = table.Objects.Append(new NftObject.Counter(Name))
                .OrderBy(item => item.Name, StringComparer.Ordinal).ToValueArray(),
        })
        .ToValueArray());

    public static bool IsOn(Ruleset ruleset, CompilerSettings settings) =>
        ruleset.Find(NftFamily.Inet, settings.Table)?.Objects.Any(item => item.Name == Name) ?? false;
}

/// <summary>The policy epoch that a ruleset in the kernel runs under, and the one after it.</summary>
internal static class EpochReader
{
    /// <summary>The value that the ruleset writes into conntrack marks, or null if it writes none.</summary>
    public static uint? Find(Ruleset ruleset, CompilerSettings settings)
    {
        NftChain? stamp = ruleset.Find(NftFamily.Inet, settings.Table)?.Chains
            .FirstOrDefault(chain => chain.Name == Datapath.Stamp);
        foreach (NftExpr expr in stamp?.Rules.SelectMany(rule => rule.Exprs) ?? [])
        {
            if (expr is NftExpr.Bitwise { Xor.Count: 4 } bits
                && (BitConverter.ToUInt32(bits.Xor.Items.AsSpan()) & settings.EpochMask) is not 0 and uint epoch)
            {
                return epoch;
            }
        }

        return null;
    }

    /// <summary>The epoch that follows another; within the mask, never 0.</summary>
    public static uint Next(uint epoch, uint mask)
    {
        uint step = mask & ~(mask - 1);
        uint next = unchecked((epoch & mask) + step) & mask;
        return next == 0 ? step : next;
    }
}
