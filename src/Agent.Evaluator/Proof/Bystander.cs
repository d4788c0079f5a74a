using System.Collections.Immutable;
using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>
/// Proves that a table only looks on: whatever packet comes, with whatever mark and session, it goes on as it came.
/// </summary>
/// <remarks>
/// <para>
/// Every path through the table's chains is walked, with each condition answered both ways, so no packet is left out;
/// what is followed exactly is the packet mark alone. An expression that might do something else than read, count or
/// write the packet mark is an objection, and so are a drop on any path and an end of a base chain at which the mark
/// is not certainly what it was: never written, or written back to what an equality test on the way has shown it to be.
/// </para>
/// <para>A table that passes can be left out of any other proof about the same hooks.</para>
/// </remarks>
public sealed class Bystander
{
    /// <summary>include/net/netfilter/nf_tables.h, NFT_JUMP_STACK_SIZE.</summary>
    private const int DepthMax = 16;

    /// <summary>nf_tables.h NFT_OBJECT_COUNTER.</summary>
    private const uint ObjectTypeCounter = 1;

    private readonly Dictionary<string, NftChain> chains;
    private readonly Dictionary<string, NftSet> sets;
    private readonly Dictionary<string, ImmutableArray<NftVerdict>> verdicts = new(StringComparer.Ordinal);

    /// <summary>States in which a chain comes to its end, or returns, by its name and the state at its begin.</summary>
    private readonly Dictionary<(string Chain, Mark State), HashSet<Mark>> ends = [];
    private string? objection;

    private Bystander(NftTable table)
    {
        chains = table.Chains.ToDictionary(chain => chain.Name, StringComparer.Ordinal);
        sets = table.Sets.ToDictionary(set => set.Name, StringComparer.Ordinal);
    }

    /// <summary>The ruleset without tables that only look on.</summary>
    public static Ruleset Without(Ruleset ruleset)
    {
        ArgumentNullException.ThrowIfNull(ruleset);
        return new Ruleset(ruleset.Tables.Where(table => Objection(table) is not null).ToValueArray());
    }

    /// <returns>Null: proved. Otherwise the place at which it may do something, or is not understood.</returns>
    public static string? Objection(NftTable table)
    {
        ArgumentNullException.ThrowIfNull(table);
        var run = new Bystander(table);
        foreach (NftChain chain in table.Chains)
        {
            if (chain.Hook is { } hook)
            {
                run.Base(chain, hook);
            }
        }

        return run.objection;
    }

    /// <summary>What is known of the packet mark.</summary>
    /// <param name="Was">What it was when the packet came, if a test has shown it.</param>
    /// <param name="Touched">It was written.</param>
    /// <param name="Now">What was written last, if that is known.</param>
    private readonly record struct Mark(uint? Was, bool Touched, uint? Now)
    {
        public bool IsAsItWas => !Touched || (Was is not null && Now == Was);

        /// <summary>What it is now, if that is known.</summary>
        public uint? Value => Touched ? Now : Was;
    }

    private void Base(NftChain chain, BaseHook hook)
    {
        if (hook.Unexpected is not null)
        {
            Object(chain.Name, hook.Unexpected);
        }

        foreach (Mark end in EndsOf(chain.Name, default, 0))
        {
            Finish(chain.Name, end);
        }
    }

    private void Finish(string chain, Mark state)
    {
        if (!state.IsAsItWas)
        {
            Object(chain, "the packet mark may not be what it was");
        }
    }

    private void Object(string where, string what) => objection ??= $"{where}: {what}";

    private HashSet<Mark> EndsOf(string name, Mark start, int depth)
    {
        if (ends.TryGetValue((name, start), out HashSet<Mark>? known))
        {
            return known;
        }

        HashSet<Mark> found = [];
        if (objection is not null)
        {
            return found;
        }

        if (depth > DepthMax || !chains.TryGetValue(name, out NftChain? chain))
        {
            Object(name, depth > DepthMax ? "chains are nested too deep" : "there is no such chain");
            return found;
        }

        HashSet<Mark> arriving = [start];
        foreach (NftRule rule in chain.Rules)
        {
            HashSet<Mark> next = [];
            foreach (Mark state in arriving)
            {
                new RuleWalk(this, name, depth, next, found).Walk(rule, state);
            }

            arriving = next;
        }

        found.UnionWith(arriving);
        ends[(name, start)] = found;
        return found;
    }

    private ImmutableArray<NftVerdict> VerdictsOf(string map)
    {
        if (verdicts.TryGetValue(map, out ImmutableArray<NftVerdict> known))
        {
            return known;
        }

        if (!sets.TryGetValue(map, out NftSet? set) || set.Kind != NftSetKind.VerdictMap || set.Unexpected is not null)
        {
            Object(map, "it is no verdict map that can be read");
            return [];
        }

        var found = new HashSet<NftVerdict>();
        for (int i = 0; i < set.Elements.Count; i++)
        {
            found.Add(NftElements.GetVerdict(
                set.Elements[i][^NftElements.DataLength(NftSetKind.VerdictMap)..]));
        }

        return verdicts[map] = [.. found];
    }

    /// <summary>One rule, for packets in one state.</summary>
    /// <param name="table">The table.</param>
    /// <param name="chain">The rule's chain.</param>
    /// <param name="depth">Jumps on the way to it.</param>
    /// <param name="next">States in which packets go on to the next rule; added to.</param>
    /// <param name="ends">States in which packets leave the chain; added to.</param>
    private sealed class RuleWalk(Bystander table, string chain, int depth, HashSet<Mark> next, HashSet<Mark> ends)
    {
        /// <summary>What registers certainly hold. Any write that is not followed ends all such certainty.</summary>
        private NftReg? loadedMark;
        private (NftReg Register, uint Value)? constant;

        public void Walk(NftRule rule, Mark state)
        {
            if (Onlooking.Is(rule))
            {
                next.Add(state);
                return;
            }

            foreach (NftExpr expr in rule.Exprs)
            {
                if (table.objection is not null)
                {
                    return;
                }

                switch (expr)
                {
                    case NftExpr.VerdictIs verdict:
                        Decide(verdict.Verdict, state);
                        return;
                    case NftExpr.LookupVerdict lookup:
                        next.Add(state);
                        foreach (NftVerdict one in table.VerdictsOf(lookup.Map))
                        {
                            Decide(one, state);
                        }

                        return;
                    default:
                        if (Step(expr, state) is not Mark after)
                        {
                            return;
                        }

                        state = after;
                        break;
                }
            }

            next.Add(state);
        }

        /// <returns>The state of packets that the expression does not send on to the next rule; null: none
        /// are.</returns>
        private Mark? Step(NftExpr expr, Mark state)
        {
            switch (expr)
            {
                case NftExpr.Meta { Key: NftMetaKey.Mark } load:
                    Forget();
                    loadedMark = load.Dreg;
                    return state;
                case NftExpr.Immediate { Data.Count: sizeof(uint) } value:
                    Forget();
                    constant = (value.Dreg, BitConverter.ToUInt32(value.Data.Items.AsSpan()));
                    return state;
                case NftExpr.Cmp test:
                    next.Add(state);
                    return Learned(test, state);
                case NftExpr.MetaSet { Key: NftMetaKey.Mark } write:
                    return state with
                    {
                        Touched = true,
                        Now = constant is { } known && known.Register == write.Sreg ? known.Value : null,
                    };
                case NftExpr.Lookup or NftExpr.Range or NftExpr.Counter
                    or NftExpr.ObjectRef { Type: ObjectTypeCounter }:
                    next.Add(state);
                    return state;
                case NftExpr.Meta or NftExpr.Payload or NftExpr.Ct or NftExpr.Bitwise or NftExpr.ByteOrder
                    or NftExpr.Immediate or NftExpr.LookupData:
                    Forget();
                    next.Add(state); // a load of what is not there ends the rule
                    return state;
                default:
                    table.Object(chain, $"{expr} may do something");
                    return state;
            }
        }

        private void Forget()
        {
            loadedMark = null;
            constant = null;
        }

        private Mark? Learned(NftExpr.Cmp test, Mark state)
        {
            if (test is not { Op: NftCmpOp.Eq, Data.Count: sizeof(uint) } || loadedMark != test.Sreg)
            {
                return state;
            }

            uint value = BitConverter.ToUInt32(test.Data.Items.AsSpan());
            return state.Value is { } known && known != value ? null
                : state.Touched ? state with { Now = value } : state with { Was = value };
        }

        private void Decide(NftVerdict verdict, Mark state)
        {
            switch (verdict.Code)
            {
                case NftVerdictCode.Accept: table.Finish(chain, state); break;
                case NftVerdictCode.Return: ends.Add(state); break;
                case NftVerdictCode.Continue or NftVerdictCode.Break: next.Add(state); break;
                case NftVerdictCode.Goto: ends.UnionWith(table.EndsOf(verdict.Chain!, state, depth + 1)); break;
                case NftVerdictCode.Jump: next.UnionWith(table.EndsOf(verdict.Chain!, state, depth + 1)); break;
                default: table.Object(chain, $"a packet may meet {verdict}"); break;
            }
        }
    }
}
