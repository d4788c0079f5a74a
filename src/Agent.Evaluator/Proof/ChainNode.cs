using Agent.Nftables;

namespace Agent.Evaluator.Proof;

/// <summary>Circumstances that a chain, or what it leads to, asks for.</summary>
[Flags]
internal enum Reads
{
    None = 0,
    In = 1,
    Out = 2,
    Ct = 4,
    Limit = 8,

    /// <summary>The link-layer header, whose meaning depends on the device.</summary>
    Link = 16,
    All = In | Out | Ct | Limit | Link,
}

/// <summary>What a chain does with every packet, from one outcome on.</summary>
/// <param name="Effect">Leaves are numbers of <see cref="Outcomes"/>.</param>
/// <param name="Marks">Values that an original packet mark was compared with, and taken not to be.</param>
/// <param name="Epochs">Epochs that an unknown one was compared with, and taken not to be.</param>
internal sealed record Summary(PacketFunction Effect, IReadOnlySet<uint> Marks, IReadOnlySet<uint> Epochs);

/// <summary>A chain with everything that it names: equal content is one object, across proofs.</summary>
/// <remarks>
/// A verdict map leads to as many chains as there are vNICs; those are not part of the chain. Such a chain, and one
/// that leads to it, is not <see cref="IsClosed"/>: what it does is found anew in each proof.
/// </remarks>
internal sealed class ChainNode
{
    public required NftChain Chain { get; init; }

    public required IReadOnlyDictionary<string, SetNode?> Sets { get; init; }

    /// <summary>Null: it does not exist, or leads back here.</summary>
    public required IReadOnlyDictionary<string, ChainNode?> Chains { get; init; }

    public required IReadOnlyDictionary<string, NftObject?> Objects { get; init; }

    public required Reads Reads { get; init; }

    public required bool IsClosed { get; init; }

    /// <summary>
    /// It stands for a chain that differs in names, and in conditions that are symbols here (<see cref="Symbols"/>).
    /// </summary>
    public bool IsTemplate { get; init; }

    /// <summary>It stands for a policy's judgement, as long as nobody looks at the packet mark behind it.</summary>
    public bool IsJudge { get; init; }

    /// <summary>A vNIC's own conditions may be in it, or in what it leads to (<see cref="VnicView"/>).</summary>
    public bool MayNeedView { get; private set; }

    /// <summary>What it, and what it leads to, asks of names of interfaces.</summary>
    public required NameTests Names { get; init; }

    public Dictionary<(Outcome Start, Circumstances Circumstances), Summary> Summaries { get; } = [];

    /// <summary>What single rules do, in chains that are not closed.</summary>
    /// <remarks>The keys are numbers of an outcome, and of circumstances as far as the rule asks for them.</remarks>
    public Dictionary<(int Rule, int Start, bool LiveBehind, int Circumstances), Summary> RuleSummaries { get; } = [];

    /// <summary>Null: nothing that is looked up goes on to be worth it.</summary>
    public Tails? Tails { get; init; }

    /// <summary>A rule that costs nothing to run for each of many marks.</summary>
    public bool IsPlain(int rule) => MarkMapOf(rule) is not null || MarkTestOf(rule) is not null;

    /// <summary>What each rule asks for; null: it leads to a chain that is not closed.</summary>
    public required Reads?[] RuleReads { get; init; }

    private readonly Dictionary<(int Rule, bool LiveBehind), bool> liveness = [];
    private MarkMap?[]? markMaps;
    private MarkTest?[]? markTests;

    /// <summary>The test of the packet mark that a rule begins with, if it does.</summary>
    public MarkTest? MarkTestOf(int rule)
    {
        markTests ??= [.. Chain.Rules.Select(one => MarkTest.Of(one))];
        return markTests[rule];
    }

    /// <summary>The map of a rule that looks the packet mark up and writes what it finds.</summary>
    public MarkMap? MarkMapOf(int rule)
    {
        markMaps ??= [.. Chain.Rules.Select(one => MarkMap.Of(one, Sets))];
        return markMaps[rule];
    }

    /// <summary>Whether somebody may still read the packet mark that a packet has before a rule.</summary>
    /// <param name="rule">Index; behind the last one is the end of the chain.</param>
    /// <param name="liveBehind">Whether somebody may who goes on where the chain returns to.</param>
    public bool IsMarkLive(int rule, bool liveBehind)
    {
        if (rule >= Chain.Rules.Count)
        {
            return liveBehind;
        }

        if (!liveness.TryGetValue((rule, liveBehind), out bool live))
        {
            liveness.Add((rule, liveBehind), true); // what leads back here
            liveness[(rule, liveBehind)] = live = FindLiveness(rule, liveBehind);
        }

        return live;
    }

    /// <summary>Once it is complete.</summary>
    public void FindWhetherItNeedsView()
    {
        bool readable = true;
        bool tests = false;
        bool marks = false;
        foreach (NftRule rule in Chain.Rules)
        {
            foreach (NftExpr expr in rule.Exprs)
            {
                readable &= expr is not NftExpr.Opaque;
                tests |= expr is NftExpr.Payload { Base: NftPayloadBase.Network } or NftExpr.Cmp { Data.Count: 16 };
                marks |= expr is NftExpr.MetaSet { Key: NftMetaKey.Mark };
            }
        }

        foreach (ChainNode? target in Chains.Values)
        {
            tests |= target is { MayNeedView: true };
        }

        MayNeedView = readable && Chain.Hook is null && (tests || (marks && Judgements.CouldBe(this)));
    }

    private bool FindLiveness(int rule, bool liveBehind)
    {
        bool certain = true; // every packet gets this far
        foreach (NftExpr expr in Chain.Rules[rule].Exprs)
        {
            switch (expr)
            {
                case NftExpr.Meta { Key: NftMetaKey.Mark }:
                    return true;
                case NftExpr.MetaSet { Key: NftMetaKey.Mark } when certain:
                    return false;
                case NftExpr.Opaque when IsTemplate:
                    certain = false;
                    break;
                case NftExpr.LookupVerdict or NftExpr.Opaque:
                    return true;
                case NftExpr.VerdictIs { Verdict: var verdict }:
                    return IsLiveAt(verdict, rule, liveBehind) || (!certain && IsMarkLive(rule + 1, liveBehind));
                case NftExpr.Immediate or NftExpr.Counter or NftExpr.Log or NftExpr.ObjectRef or NftExpr.MetaSet:
                    break;
                default:
                    certain = false;
                    break;
            }
        }

        return IsMarkLive(rule + 1, liveBehind);
    }

    private bool IsLiveAt(NftVerdict verdict, int rule, bool liveBehind) => verdict.Code switch
    {
        NftVerdictCode.Drop => false,
        NftVerdictCode.Return => liveBehind,
        NftVerdictCode.Goto => Chains.GetValueOrDefault(verdict.Chain!)?.IsMarkLive(0, liveBehind) ?? true,
        NftVerdictCode.Jump =>
            Chains.GetValueOrDefault(verdict.Chain!)?.IsMarkLive(0, IsMarkLive(rule + 1, liveBehind)) ?? true,
        _ => true,
    };
}
