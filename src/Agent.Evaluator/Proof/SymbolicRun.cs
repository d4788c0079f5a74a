using System.Globalization;
using Agent.Evaluator.Forms;
using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Runs chains for all packets of a family at once, under fixed circumstances.</summary>
/// <remarks>
/// The state of a run is a <see cref="PacketFunction"/> whose leaves are <see cref="Outcome"/>s: what the program has
/// made of each packet so far. A rule takes each leaf that still runs to a function of the packet. So the work follows
/// the number of outcomes and of diagrams, that is of policy classes, not of addresses. Control flow here, expressions
/// in the other part.
/// </remarks>
internal sealed partial class SymbolicRun
{
    /// <summary>More than the kernel's stack takes (NFT_JUMP_STACK_SIZE 16), with gotos in between.</summary>
    private const int DepthMax = 64;

    private readonly ChainSource table;
    private readonly PacketFunctions functions;
    private readonly Outcomes outcomes;
    private readonly LeafFilter running;
    private readonly Circumstances circumstances;
    private readonly Context context;
    private Comparison comparison;
    private Mentioned mentioned;
    private List<AskedOfSet>? asked;
    private ((ChainNode, string?, Outcome, bool, Mentioned) At, PacketFunction Result)? together;
    private int depth;

    /// <summary>Chains that verdict maps led to, by name: a result depends on them, besides where it began.</summary>
    public List<(string Name, ChainNode? Chain)> Reached { get; } = [];

    /// <param name="table">The table that holds the chains.</param>
    /// <param name="functions">Where results live.</param>
    /// <param name="outcomes">Numbers of the leaves.</param>
    /// <param name="running">Leaves that run; shared, so that it remembers.</param>
    /// <param name="circumstances">What is fixed.</param>
    /// <param name="mentioned">Takes note of what unknown marks were taken not to be.</param>
    public SymbolicRun(
        ChainSource table, PacketFunctions functions, Outcomes outcomes, LeafFilter running,
        Circumstances circumstances, Mentioned mentioned)
    {
        this.table = table;
        this.functions = functions;
        this.outcomes = outcomes;
        this.running = running;
        this.circumstances = circumstances;
        context = outcomes.ContextOf(circumstances);
        this.mentioned = mentioned;
        comparison = new Comparison(functions, circumstances, mentioned);
    }

    /// <summary>A base chain, or the rest of one.</summary>
    /// <param name="chain">Where it is.</param>
    /// <param name="rule">The first rule.</param>
    /// <param name="start">What was made of every packet before.</param>
    /// <returns>Accepted, dropped, stopped or unknown; nothing else.</returns>
    public PacketFunction Base(ChainNode chain, int rule, Outcome start)
    {
        if (chain.Chain.Hook?.Unexpected is string strange)
        {
            return Unknown($"base chain {chain.Chain.Name}: {strange}");
        }

        PacketFunction result = Chain(chain, rule, start, liveBehind: true);
        bool drops = chain.Chain.Hook is { PolicyDrop: true };
        return functions.Map(result, leaf => outcomes[leaf] switch
        {
            { Kind: OutcomeKind.Returned } returned => outcomes.Of(drops
                ? returned with { Kind = OutcomeKind.Dropped, Mark = PacketMark.Of(0) }
                : returned with { Kind = OutcomeKind.Accepted }),
            { Kind: OutcomeKind.Stopped } stop when outcomes.StopOf(stop).IsInJump =>
                outcomes.Unknown($"chain {outcomes.StopOf(stop).Chain.Chain.Name} asks for an interface inside a jump"),
            _ => leaf,
        });
    }

    /// <summary>
    /// What a closed chain does with packets that bring a mark, whatever the devices, if nobody reads it behind.
    /// </summary>
    public Summary Closed(ChainNode chain, PacketMark mark) =>
        SummaryOf(chain, Outcome.Start(mark), liveBehind: false);

    private PacketFunction Chain(ChainNode chain, int rule, Outcome start, bool liveBehind)
    {
        PacketFunction state = Leaf(start with { Kind = OutcomeKind.Running });
        if (++depth > DepthMax)
        {
            depth--;
            return Unknown("jumps without end");
        }

        for (; rule < chain.Chain.Rules.Count && IsRunning(state); rule++)
        {
            int at = rule;
            if (IsForTails(chain, rule, state))
            {
                state = functions.Bind(state, running, leaf => Tail(chain, at, leaf, liveBehind));
                break;
            }

            state = asked is null && chain.MarkMapOf(rule) is MarkMap look
                ? Mapped(chain, rule, look, state, liveBehind)
                : functions.Bind(state, running, leaf => Rule(chain, at, leaf, liveBehind));
        }

        depth--;
        return functions.Bind(state, running, leaf => Returned(outcomes[leaf], liveBehind));
    }

    // There are as many marks as kinds of addresses in the VPC, and most changes leave each what it was.
    private PacketFunction Mapped(ChainNode chain, int rule, MarkMap look, PacketFunction state, bool liveBehind)
    {
        int[] leaves = state.Leaves(functions.Diagrams, running);
        ChainNode? next = look.Target is null ? null : chain.Chains[look.Target];
        if (look.Map.MarkedOf(next, liveBehind, context.Number, leaves) is not MarkedLeaves known)
        {
            (PacketFunction[] results, Mentioned mentions) = Apart(
                () => leaves.Select(leaf => Rule(chain, rule, leaf, liveBehind)).ToArray());
            known = new MarkedLeaves(leaves, results, mentions);

            // A stop names the chain, and what verdict maps lead to may change.
            if ((look.Target is null || next is { IsClosed: true }) && !Array.Exists(results, HasStops))
            {
                look.Map.Keep(next, liveBehind, context.Number, known);
            }
        }

        mentioned.Add(known.Mentions);
        return functions.Bind(state, running, known.Results);
    }

    // The kinds of addresses that a policy tells apart go their own ways from here on.
    private bool IsForTails(ChainNode chain, int rule, PacketFunction state) => chain.Tails is not null
        && depth < DepthMax / 4 && !chain.IsPlain(rule)
        && state.Leaves(functions.Diagrams, running).Length >= Tails.OutcomesMin;

    private PacketFunction Tail(ChainNode chain, int rule, int leaf, bool liveBehind)
    {
        Tail? tail = chain.Tails!.Find(rule, leaf, liveBehind, context.Number, chain, circumstances.Family);
        if (tail is null)
        {
            (List<AskedOfSet>? askedBefore, asked) = (asked, []);
            (PacketFunction effect, Mentioned inner) = Apart(
                () => Chain(chain, rule, outcomes[leaf], liveBehind));
            tail = new Tail(new Summary(effect, inner.Marks, inner.Epochs), asked);
            asked = askedBefore;
            if (!HasStops(effect)) // a stop names the chain itself
            {
                chain.Tails.Keep(rule, leaf, liveBehind, context.Number, tail);
            }
        }

        mentioned.Add(tail.Summary);
        asked?.AddRange(tail.Asked);
        return tail.Summary.Effect;
    }

    // What is mentioned meanwhile is noted by itself, to be remembered with the result.
    private (T Result, Mentioned Mentions) Apart<T>(Func<T> run)
    {
        (Mentioned before, mentioned) = (mentioned, new Mentioned());
        comparison = new Comparison(functions, circumstances, mentioned);
        (T, Mentioned) result = (run(), mentioned);
        mentioned = before;
        comparison = new Comparison(functions, circumstances, mentioned);
        return result;
    }

    // A mark that nobody reads any more is one mark: otherwise each rule of a policy would be an outcome of its own.
    private PacketFunction Returned(Outcome state, bool liveBehind) => Leaf(state with
    {
        Kind = OutcomeKind.Returned,
        Mark = liveBehind ? state.Mark : PacketMark.Of(0),
    });

    private bool IsRunning(PacketFunction state)
    {
        foreach (Diagram diagram in state.Diagrams)
        {
            if (running.Of(functions.Diagrams, diagram).Length > 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>A rule, and what was made of the packet when it began.</summary>
    private sealed record Site(ChainNode Chain, int Rule, Outcome Entry, bool LiveBehind)
    {
        public ValueArray<NftExpr> Exprs => Chain.Chain.Rules[Rule].Exprs;

        public bool IsMarkLiveAfter => Chain.IsMarkLive(Rule + 1, LiveBehind);
    }

    // What a chain does that is closed is remembered as a whole; here it pays to remember rules.
    private PacketFunction Rule(ChainNode chain, int rule, int leaf, bool liveBehind)
    {
        // There are as many marks as kinds of addresses: this rule is run once for each.
        if (chain.MarkMapOf(rule) is MarkMap look && outcomes[leaf] is { Mark.IsOriginal: false } state)
        {
            asked?.Add(AskedForMark(rule, look.Map, state.Mark.Value));
            return look.Map.MarkOf(state.Mark.Value) is not uint mark ? functions.Of(leaf)
                : Marked(chain, look.Target, state with { Mark = PacketMark.Of(mark) }, liveBehind);
        }

        if (chain.MarkTestOf(rule) is MarkTest test
            && outcomes[leaf] is { Mark: { IsOriginal: false, Value: var value } } marked)
        {
            if (!test.Holds(value))
            {
                return functions.Of(leaf);
            }

            if (test.Writes is uint written)
            {
                return Together(chain, test.Target, marked with { Mark = PacketMark.Of(written) }, liveBehind);
            }
        }

        return chain.IsClosed || chain.RuleReads[rule] is not Reads reads
            ? Anew(chain, rule, leaf, liveBehind) : Known(chain, rule, reads, leaf, liveBehind);
    }

    // Apart from the rest, as it takes a closure: most rules are run without.
    private PacketFunction Known(ChainNode chain, int rule, Reads reads, int leaf, bool liveBehind)
    {
        var key = (rule, leaf, liveBehind, context.For(reads).Number);
        if (!chain.RuleSummaries.TryGetValue(key, out Summary? summary))
        {
            (PacketFunction effect, Mentioned inner) = Apart(() => Anew(chain, rule, leaf, liveBehind));
            summary = new Summary(effect, inner.Marks, inner.Epochs);
            chain.RuleSummaries.Add(key, summary);
        }

        mentioned.Add(summary);
        return summary.Effect;
    }

    private PacketFunction Anew(ChainNode chain, int rule, int leaf, bool liveBehind) =>
        From(new Site(chain, rule, outcomes[leaf], liveBehind), 0, new SymbolicRegisters(), outcomes[leaf]);

    // Where a policy goes on once an address has its class: what it does is known by the answers of its sets there.
    private PacketFunction Marked(ChainNode chain, string? target, Outcome state, bool liveBehind)
    {
        if (target is null)
        {
            return Leaf(state);
        }

        return chain.Chains[target] is not ChainNode next
            ? Unknown($"chain {target} does not exist, or leads back to itself")
            : asked is null && next.Tails is not null && next.IsMarkLive(0, liveBehind) && depth < DepthMax / 4
                ? Tail(next, 0, outcomes.Of(state), liveBehind) : Call(next, state, liveBehind);
    }

    // Where many marks become one, they go on as one.
    private PacketFunction Together(ChainNode chain, string? target, Outcome state, bool liveBehind)
    {
        var at = (chain, target, state, liveBehind, mentioned);
        if (asked is not null || together is not { } known || known.At != at)
        {
            together = known = (at, Marked(chain, target, state, liveBehind));
        }

        return known.Result;
    }

    private AskedOfSet AskedForMark(int rule, SetNode map, uint mark)
    {
        SymbolicByte[] key = Constants(BitConverter.GetBytes(mark));
        return new AskedOfSet(rule, 1, map, key, map.Find(key, circumstances.Family).Rows);
    }

    private PacketFunction Verdict(Site site, NftVerdict verdict, Outcome state)
    {
        switch (verdict.Code)
        {
            case NftVerdictCode.Accept:
                return Leaf(state with { Kind = OutcomeKind.Accepted });
            case NftVerdictCode.Drop:
                // What becomes of the packet mark with the packet is nobody's business; the entry may live on.
                return Leaf(state with { Kind = OutcomeKind.Dropped, Mark = PacketMark.Of(0) });
            case NftVerdictCode.Return:
                return Returned(state, site.LiveBehind);
            case NftVerdictCode.Jump or NftVerdictCode.Goto:
                ChainNode? target = TargetOf(site, verdict.Chain!);
                return target is null ? Unknown($"chain {verdict.Chain} does not exist, or leads back to itself")
                    : verdict.Code == NftVerdictCode.Jump ? Jump(site, target, state)
                    : Call(target, state, site.LiveBehind);
            default:
                return Unknown(string.Create(CultureInfo.InvariantCulture, $"verdict code {(int)verdict.Code}"));
        }
    }

    private ChainNode? TargetOf(Site site, string name)
    {
        if (site.Chain.Chains.TryGetValue(name, out ChainNode? target))
        {
            return target;
        }

        target = table.ChainOf(name);
        Reached.Add((name, target));
        return target;
    }

    // Many chains jump to one, and each of its outcomes goes on in the same way.
    private PacketFunction Jump(Site site, ChainNode target, Outcome state)
    {
        PacketFunction called = Call(target, state, site.IsMarkLiveAfter);
        return called.Resumed ??= functions.Map(called, leaf => outcomes[leaf].Kind switch
        {
            OutcomeKind.Returned => outcomes.Of(outcomes[leaf] with { Kind = OutcomeKind.Running }),
            OutcomeKind.Stopped => outcomes.Stopped(outcomes.StopOf(outcomes[leaf]) with { IsInJump = true }),
            _ => leaf,
        });
    }

    private PacketFunction Call(ChainNode target, Outcome state, bool liveBehind)
    {
        if (target.IsJudge && (liveBehind || !circumstances.HasEntry))
        {
            return Unknown("a judgement of which more is asked than whether it accepts");
        }

        if (!target.IsMarkLive(0, liveBehind))
        {
            state = state with { Mark = PacketMark.Of(0) }; // one mark for all that nobody reads
        }

        if (!target.IsClosed)
        {
            return Chain(target, 0, state, liveBehind);
        }

        Summary summary = SummaryOf(target, state, liveBehind);
        mentioned.Add(summary);
        return summary.Effect;
    }

    private Summary SummaryOf(ChainNode target, Outcome state, bool liveBehind)
    {
        Summary general = Remembered(target, state, target.Reads & ~(Reads.In | Reads.Out), liveBehind);
        return HasStops(general.Effect) ? Remembered(target, state, target.Reads, liveBehind) : general;
    }

    private Summary Remembered(ChainNode target, Outcome state, Reads reads, bool liveBehind)
    {
        Circumstances asked = context.For(reads).Circumstances;
        Outcome start = liveBehind ? state : state with { Kind = OutcomeKind.Returned }; // tells the two apart
        if (!target.Summaries.TryGetValue((start, asked), out Summary? summary))
        {
            var inner = new Mentioned();
            var run = new SymbolicRun(table, functions, outcomes, running, asked, inner) { depth = depth };
            PacketFunction effect = run.Chain(target, 0, state, liveBehind);
            target.Summaries.Add((start, asked), summary = new Summary(effect, inner.Marks, inner.Epochs));
        }

        return summary;
    }

    private bool HasStops(PacketFunction function)
    {
        foreach (Diagram diagram in function.Diagrams)
        {
            foreach (int leaf in functions.Diagrams.Leaves(diagram))
            {
                if (outcomes[leaf].Kind == OutcomeKind.Stopped)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private PacketFunction Leaf(Outcome outcome) => functions.Of(outcomes.Of(outcome));

    private PacketFunction Unknown(string reason) => functions.Of(outcomes.Unknown(reason));
}
