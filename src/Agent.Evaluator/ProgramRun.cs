using System.Collections.Immutable;
using System.Globalization;
using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>One run of the chains at a hook: control flow here, expressions in the other part.</summary>
/// <param name="input">The packet and its circumstances.</param>
/// <param name="choices">Answers to what chance decides, in order; the run appends "matches" where they end.</param>
internal sealed partial class ProgramRun(HookInput input, List<bool> choices)
{
    /// <summary>NFT_JUMP_STACK_SIZE (net/netfilter/nf_tables_core.c).</summary>
    private const int JumpDepthMax = 16;

    /// <summary>More rules than any packet meets: a goto loop, which the kernel would not have loaded.</summary>
    private const int RulesMax = 1_000_000;

    /// <summary>NF_IP_PRI_CONNTRACK (linux/netfilter_ipv4.h).</summary>
    private const int ConntrackPriority = -200;

    private readonly ImmutableArray<TraceStep>.Builder steps = ImmutableArray.CreateBuilder<TraceStep>();
    private readonly Registers registers = new();
    private readonly List<string> matched = [];
    private uint mark = input.Mark;
    private uint ctMark = input.Ct.HasEntry ? input.Ct.Mark : 0;
    private ushort? zone;
    private bool noTrack;
    private string? ctTimeout;
    private bool? readsFragments; // the kernel lets a later fragment's bytes pass as a transport header
    private string? unknown;
    private int choicesUsed;
    private int rulesRun;
    private PathLength length;
    private Tracking tracking;
    private NftTable table = null!;

    /// <summary>Whether conntrack has seen the packet when a chain runs.</summary>
    private enum Tracking
    {
        Before,
        Undetermined,
        After,
    }

    private enum Step
    {
        Next,
        Break,
        Verdict,
        Unknown,
    }

    public Trace Run(List<(NftTable Table, NftChain Chain)> chains)
    {
        HookVerdict verdict = HookVerdict.Accept;
        foreach ((NftTable owner, NftChain chain) in chains)
        {
            table = owner;
            tracking = TrackingAt(chain.Hook!.Priority);
            verdict = RunBaseChain(chain);
            if (verdict != HookVerdict.Accept)
            {
                break;
            }
        }

        return new Trace(
            verdict, verdict == HookVerdict.Unknown ? unknown : null, steps.ToImmutable(), mark, ctMark, zone, noTrack,
            ctTimeout)
        {
            Length = length,
        };
    }

    /// <summary>
    /// The conntrack hook sits at -200 of prerouting and output; every other hook is behind one of them.
    /// </summary>
    private Tracking TrackingAt(int priority)
    {
        if (input.Family == NftFamily.Netdev)
        {
            return Tracking.Before;
        }

        return input.Hook is not (NftHook.Prerouting or NftHook.Output) || priority > ConntrackPriority ? Tracking.After
            : priority < ConntrackPriority ? Tracking.Before
            : Tracking.Undetermined;
    }

    private HookVerdict RunBaseChain(NftChain start)
    {
        if (start.Hook?.Unexpected is string strange)
        {
            unknown = $"base chain {start.Name}: {strange}";
            return HookVerdict.Unknown;
        }

        Stack<(NftChain Chain, int Rule)> returns = new();
        NftChain? chain = start;
        int rule = 0;
        while (true)
        {
            if (chain is null || returns.Count > JumpDepthMax || ++rulesRun > RulesMax)
            {
                unknown ??= "a chain that does not exist, or jumps without end";
                return HookVerdict.Unknown;
            }

            NftVerdict? verdict = rule < chain.Rules.Count ? RunRule(chain, rule++) : NftVerdict.Return;
            if (unknown is not null)
            {
                return HookVerdict.Unknown;
            }

            switch (verdict?.Code)
            {
                case null or NftVerdictCode.Continue or NftVerdictCode.Break:
                    break;
                case NftVerdictCode.Accept:
                    return HookVerdict.Accept;
                case NftVerdictCode.Drop:
                    return HookVerdict.Drop;
                case NftVerdictCode.Jump:
                    returns.Push((chain, rule));
                    (chain, rule) = (ChainOf(verdict.Chain), 0);
                    break;
                case NftVerdictCode.Goto:
                    (chain, rule) = (ChainOf(verdict.Chain), 0);
                    break;
                case NftVerdictCode.Return when returns.Count == 0:
                    return start.Hook is { PolicyDrop: true } ? HookVerdict.Drop : HookVerdict.Accept;
                case NftVerdictCode.Return:
                    (chain, rule) = returns.Pop();
                    break;
                default:
                    unknown = string.Create(CultureInfo.InvariantCulture, $"verdict code {(int)verdict.Code}");
                    return HookVerdict.Unknown;
            }
        }
    }

    /// <returns>The rule's verdict; null if it did not match or gave none.</returns>
    private NftVerdict? RunRule(NftChain chain, int index)
    {
        NftRule rule = chain.Rules[index];
        if (Onlooking.Is(rule))
        {
            return null;
        }

        registers.Clear();
        matched.Clear();
        length += new PathLength(1, 0, 0);
        NftVerdict? verdict = null;
        foreach (NftExpr expr in rule.Exprs)
        {
            length += new PathLength(0, 1, IsSearch(expr) ? 1 : 0);
            Step step = Execute(expr, out verdict);
            if (step == Step.Break)
            {
                return null;
            }

            if (step is Step.Verdict or Step.Unknown)
            {
                break;
            }
        }

        matched.Add(unknown is not null ? $"cannot read: {unknown}" : verdict is null ? "continues" : Text(verdict));
        steps.Add(new TraceStep(table.Name, chain.Name, index, rule.Comment, string.Join(", ", matched)));
        return verdict;
    }

    private static bool IsSearch(NftExpr expr) =>
        expr is NftExpr.Lookup or NftExpr.LookupData or NftExpr.LookupVerdict or NftExpr.ObjectMap;

    private NftChain? ChainOf(string? name)
    {
        foreach (NftChain chain in table.Chains)
        {
            if (chain.Name == name)
            {
                return chain;
            }
        }

        unknown ??= $"chain {name} does not exist";
        return null;
    }

    private NftSet? SetOf(string name)
    {
        foreach (NftSet set in table.Sets)
        {
            if (set.Name == name)
            {
                return set;
            }
        }

        return null;
    }

    private NftObject? ObjectOf(string name)
    {
        foreach (NftObject found in table.Objects)
        {
            if (found.Name == name)
            {
                return found;
            }
        }

        return null;
    }

    private Step Unknown(string reason)
    {
        unknown ??= reason;
        return Step.Unknown;
    }

    private Step Choose()
    {
        if (choicesUsed == choices.Count)
        {
            choices.Add(true);
        }

        return choices[choicesUsed++] ? Step.Next : Step.Break;
    }

    private static string Text(NftVerdict verdict) => verdict.Chain is null
        ? verdict.Code.ToString().ToLowerInvariant()
        : $"{verdict.Code.ToString().ToLowerInvariant()} {verdict.Chain}";
}
