using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>Runs an nf_tables program, as read back from the kernel, for one packet at one hook.</summary>
/// <remarks>
/// Base chains of the family and hook run in the order of priority. Accept ends one base chain, drop ends the
/// packet (nf_tables_core.c). Rate limits, and what kernels do differently with fragments, are explored both ways: if
/// the effect differs, the answer is Unknown. Chains of equal priority run in the order of table and chain name; the
/// kernel's order is not in the ruleset.
/// </remarks>
public static class RulesetEvaluator
{
    /// <summary>Combinations of undetermined matches that are tried before the answer is Unknown.</summary>
    private const int PathsMax = 256;

    public static Trace Evaluate(Ruleset ruleset, HookInput input)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        ArgumentNullException.ThrowIfNull(input);
        List<(NftTable Table, NftChain Chain)> chains = BaseChains(ruleset, input);
        List<bool> choices = [];
        Trace? first = null;
        for (int path = 0; path < PathsMax; path++)
        {
            var run = new ProgramRun(input, choices);
            Trace trace = run.Run(chains);
            if (trace.Verdict == HookVerdict.Unknown || (first is not null && !first.SameEffect(trace)))
            {
                return trace.Verdict == HookVerdict.Unknown
                    ? trace
                    : first! with
                    {
                        Verdict = HookVerdict.Unknown,
                        UnknownReason = "a rate limit, or the kernel's age, decides",
                    };
            }

            first ??= trace;
            if (!NextPath(choices))
            {
                return first;
            }
        }

        return first! with { Verdict = HookVerdict.Unknown, UnknownReason = "too many choices on the way" };
    }

    /// <summary>The base chains that the packet meets, in the order in which it meets them.</summary>
    internal static List<(NftTable Table, NftChain Chain)> BaseChains(Ruleset ruleset, HookInput input)
    {
        string device = input.Hook == NftHook.Egress ? input.OutInterface : input.InInterface;
        List<(NftTable Table, NftChain Chain)> chains = [];
        foreach (NftTable table in ruleset.Tables.Where(table => !table.Dormant))
        {
            foreach (NftChain chain in table.Chains)
            {
                if (table.Family == input.Family && chain.Hook is { } hook && hook.Hook == input.Hook
                    && (input.Family != NftFamily.Netdev || hook.Device == device))
                {
                    chains.Add((table, chain));
                }
            }
        }

        return [.. chains.OrderBy(c => c.Chain.Hook!.Priority)
            .ThenBy(c => c.Table.Name, StringComparer.Ordinal)
            .ThenBy(c => c.Chain.Name, StringComparer.Ordinal)];
    }

    /// <summary>Turns the last choice that was "matches" into "does not", and forgets those behind it.</summary>
    private static bool NextPath(List<bool> choices)
    {
        while (choices.Count > 0 && !choices[^1])
        {
            choices.RemoveAt(choices.Count - 1);
        }

        if (choices.Count == 0)
        {
            return false;
        }

        choices[^1] = false;
        return true;
    }
}
