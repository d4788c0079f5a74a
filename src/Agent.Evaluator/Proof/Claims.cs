using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>Runs a hook, or the rest of one.</summary>
internal delegate PacketFunction HookPart(Circumstances circumstances, PacketMark mark, Mentioned mentioned);

/// <summary>Compares what a ruleset does with what it should do, route by route.</summary>
internal sealed class Claims
{
    public static readonly IpFamily[] Families = [IpFamily.V4, IpFamily.V6];

    private readonly PolicyOracle oracle;
    private readonly ProofFacts facts;
    private readonly ProofCache cache;
    private readonly Confirmation confirmation;
    private readonly Differences differences;
    private readonly bool isQuick;

    /// <summary>With symbols: what is not as it should be is thrown, for others to look into.</summary>
    public Claims(Claims of, HookRun hooks, Expectation expectation)
    {
        oracle = of.oracle;
        facts = of.facts;
        cache = of.cache;
        confirmation = of.confirmation;
        differences = of.differences;
        Expectation = expectation;
        Hooks = hooks;
        isQuick = true;
    }

    public Claims(
        Ruleset ruleset, PolicyOracle oracle, ProofFacts facts, ProofCache cache, Confirmation confirmation)
    {
        this.oracle = oracle;
        this.facts = facts;
        this.cache = cache;
        Hooks = new HookRun(ruleset, cache);
        Expectation = new Expectation(oracle, facts, cache.Functions, cache.FormOf);
        this.confirmation = confirmation;
        differences = new Differences(cache.Functions);
    }

    public HookRun Hooks { get; }

    public Expectation Expectation { get; }

    public Stop StopOf(int leaf) => cache.Outcomes.StopOf(cache.Outcomes[leaf]);

    /// <summary>A route in all situations.</summary>
    /// <returns>Null: as it should be.</returns>
    public VnicProof? Check(Route route) => Worst(
        Situation.All.SelectMany(situation => Families, (situation, family) => (situation, family)),
        at => Check(route, at.situation, at.family, Hooks.Whole));

    /// <summary>A counterexample says more than "unknown", whichever comes first.</summary>
    public static VnicProof? Worst<T>(IEnumerable<T> items, Func<T, VnicProof?> check)
    {
        VnicProof? unknown = null;
        foreach (T item in items)
        {
            VnicProof? fault = check(item);
            if (fault is VnicProof.Refuted)
            {
                return fault;
            }

            unknown ??= fault;
        }

        return unknown;
    }

    /// <summary>One situation and family; and each mark and epoch that the program names.</summary>
    /// <param name="route">The packets' way.</param>
    /// <param name="situation">What conntrack says of them.</param>
    /// <param name="family">Their family.</param>
    /// <param name="run">The hook, or the rest of it.</param>
    /// <param name="stopped">Takes note of where the program waits for an interface.</param>
    public VnicProof? Check(
        Route route, Situation situation, IpFamily family, HookPart run, ICollection<Stop>? stopped = null)
    {
        Circumstances circumstances = CircumstancesOf(route, situation, family);
        run = route.Legs.IsEmpty ? run : (at, start, mentions) => Hooks.Along(route.Legs, at, start, mentions);
        PacketMark mark = route.TrustedMark is uint trusted ? PacketMark.Of(trusted) : PacketMark.Original;
        var mentioned = new Mentioned();
        VnicProof? fault = Compare(new Question(route, situation, circumstances, mark), run, mentioned, stopped);
        bool mayBeLive = situation.State == CtState.New; // elsewhere it is a situation of its own
        foreach (uint epoch in mentioned.Epochs.Where(epoch => epoch != facts.Epoch || mayBeLive))
        {
            fault ??= Compare(
                new Question(route, situation, circumstances with { Epoch = epoch }, mark), run, new Mentioned(),
                stopped);
        }

        bool mayBeTrusted = route is { Receiver: not null, Sender: null, IsBehindSender: false };
        foreach (uint value in mentioned.Marks.Where(
            value => !facts.HookMarks.Contains(value) && (value & facts.PassedBits) == 0
                && (!mayBeTrusted || !oracle.Settings.TrustedMarks.Contains(value))))
        {
            fault ??= Compare(
                new Question(route, situation, circumstances, PacketMark.Of(value)), run, new Mentioned(), stopped);
        }

        return fault;
    }

    /// <summary>Every packet of the vNIC is tracked in the zone of its VPC, and nothing is dropped before.</summary>
    public VnicProof? Zone(string device, ushort? zone, NftFamily table = NftFamily.Inet)
    {
        Route arriving = new($"{device} -> conntrack", NftHook.Prerouting, Interfaces.Of(device), Interfaces.None)
        {
            Table = table,
        };
        Route leaving = new($"host -> conntrack -> {device}", NftHook.Output, Interfaces.None, Interfaces.Of(device));

        // What this host sends to a bridge has been tracked when it gets there.
        Route[] ways = table == NftFamily.Bridge ? [arriving] : [arriving, leaving];
        return Worst(ways.SelectMany(way => Families, (way, family) => (way, family)), at =>
        {
            Circumstances before = CircumstancesOf(at.way, Situation.NotTracked, at.family) with
            {
                BeforeConntrack = true,
            };
            var question = new Question(at.way, Situation.NotTracked, before, PacketMark.Original);
            PacketFunction observed = Hooks.Whole(before, PacketMark.Original, new Mentioned());
            PacketFunction fates = cache.Functions.Map(observed, leaf => cache.Outcomes[leaf] switch
            {
                { Kind: OutcomeKind.Accepted, Mark.IsOriginal: true } accepted =>
                    (int)((accepted.Zone ?? 0) == (zone ?? 0) ? PacketFate.Passed : PacketFate.WrongZone),
                _ => FateOf(question, leaf),
            });
            return Judge(question, fates, cache.Functions.Of((int)PacketFate.Passed), zone ?? 0);
        });
    }

    /// <summary>Frames that are no IP: what becomes of them depends on no byte behind the link-layer header.</summary>
    /// <param name="route">Their way, at a bridge.</param>
    /// <param name="situation">One without a session.</param>
    /// <param name="type">Their type; <see cref="Circumstances.OtherType"/>.</param>
    /// <param name="expected">What should become of all of them.</param>
    public VnicProof? CheckFrames(Route route, Situation situation, ushort type, PacketFate expected)
    {
        Circumstances circumstances = CircumstancesOf(route, situation, IpFamily.V4) with { FrameType = type };
        PacketMark start = route.TrustedMark is uint trusted ? PacketMark.Of(trusted) : PacketMark.Original;
        var mentioned = new Mentioned();
        VnicProof? fault = Frames(new Question(route, situation, circumstances, start), expected, mentioned);
        foreach (uint mark in mentioned.Marks.Where(mark => !facts.HookMarks.Contains(mark)
            && (mark & facts.PassedBits) == 0 && !oracle.Settings.TrustedMarks.Contains(mark)))
        {
            fault ??= Frames(
                new Question(route, situation, circumstances, PacketMark.Of(mark)), expected, new Mentioned());
        }

        return fault;
    }

    private VnicProof? Frames(Question question, PacketFate expected, Mentioned mentioned)
    {
        PacketFunction outcomes = Hooks.Whole(question.Circumstances, question.Mark, mentioned);
        foreach (int leaf in outcomes.Leaves(cache.Functions.Diagrams, null))
        {
            int fate = FateOf(question, leaf);
            if (fate == (int)expected)
            {
                continue;
            }

            (Counterexample? example, string? disagreement) = fate >= Differences.Unknown
                ? (null, cache.Outcomes.Text(leaf)) : confirmation.OfFrame(question.Concretes().First(), expected);
            return example is not null ? new VnicProof.Refuted(example)
                : new VnicProof.Unknown($"{question.Route.Name}, frames: {disagreement}");
        }

        return null;
    }

    private Circumstances CircumstancesOf(Route route, Situation situation, IpFamily family) =>
        Circumstances.Of(route.Table, route.Hook, family, situation, route.Zone, facts) with
        {
            FrameTo = route.FrameTo,
            PassedBits = facts.PassedBits,
            In = route.In,
            Out = route.Out,
        };

    private VnicProof? Compare(Question question, HookPart run, Mentioned mentioned, ICollection<Stop>? stopped)
    {
        bool opens = question.Situation is { State: CtState.New or CtState.Related, Confirmed: false };
        Circumstances circumstances = question.Circumstances;
        try
        {
            PacketFunction expected = Expectation.Of(question.Route, question.Situation, circumstances.Family);
            PacketFunction observed = Observed(
                question, run(circumstances with { LimitExceeded = opens ? false : null }, question.Mark, mentioned),
                stopped);
            VnicProof? fault = Judge(question, observed, expected);
            if (fault is not null || !opens)
            {
                return fault;
            }

            // At the limit more may be dropped, and nothing else may change.
            PacketFunction limited = Observed(
                question, run(circumstances with { LimitExceeded = true }, question.Mark, mentioned), stopped);
            return Judge(
                question with { LimitExceeded = true },
                cache.Functions.Bind(limited, null, fate => (PacketFate)fate == PacketFate.Dropped
                    ? expected : cache.Functions.Of(fate)),
                expected);
        }
        catch (TooManyAtomsException) when (!isQuick)
        {
            return new VnicProof.Unknown($"{question.Route.Name}: too many kinds of addresses");
        }
    }

    private PacketFunction Observed(Question question, PacketFunction outcomes, ICollection<Stop>? stopped) =>
        cache.Functions.Map(outcomes, leaf =>
        {
            if (stopped is null || cache.Outcomes[leaf].Kind != OutcomeKind.Stopped)
            {
                return FateOf(question, leaf);
            }

            Stop stop = StopOf(leaf);
            if (isQuick && stop.Chain.IsTemplate)
            {
                throw new NotQuickException(); // it says nothing to another vNIC
            }

            stopped.Add(stop);
            return Expectation.ReachesReceiver;
        });

    /// <returns>A fate, or from <see cref="Differences.Unknown"/> on an outcome that is none.</returns>
    private int FateOf(Question question, int leaf)
    {
        Outcome outcome = cache.Outcomes[leaf];
        Circumstances at = question.Circumstances;
        uint ours = facts.EpochMask;
        bool foreign = !at.HasEntry || ((outcome.CtKept & ~ours) == ~ours && (outcome.CtXor & ~ours) == 0);
        bool left = (outcome.CtKept & ours) == ours && (outcome.CtXor & ours) == 0;
        bool isKnown = left || (outcome.CtKept & ours) == 0;
        uint? epoch = left ? at.Epoch : outcome.CtXor & ours;
        switch (outcome.Kind)
        {
            case OutcomeKind.Accepted when isKnown:
                bool tidy = outcome.Mark.IsOriginal || outcome.Mark == question.Mark
                    || (question.Route.IsOurs && outcome.Mark == PacketMark.Of(0));
                return (int)(!foreign ? PacketFate.ForeignBitsChanged
                    : !tidy ? PacketFate.MarkLeftBehind
                    : at.HasEntry && epoch == facts.Epoch ? PacketFate.Admitted
                    : at.HasEntry && !left ? PacketFate.ForeignBitsChanged
                    : PacketFate.Passed);
            case OutcomeKind.Dropped:
                return (int)(left && foreign ? PacketFate.Dropped : PacketFate.DroppedButMarked);
            default:
                return Differences.Unknown + leaf;
        }
    }

    private VnicProof? Judge(Question question, PacketFunction observed, PacketFunction expected, ushort? zone = null)
    {
        string? unknown = null;
        string? unconfirmed = null;
        foreach (Difference difference in differences.Between(
            observed, expected, question.Situation, question.Circumstances.Family))
        {
            if (isQuick)
            {
                throw new NotQuickException();
            }

            if (difference.Observed >= Differences.Unknown)
            {
                unknown ??= cache.Outcomes.Text(difference.Observed - Differences.Unknown);
                continue;
            }

            foreach (Question concrete in question.Concretes())
            {
                (Counterexample? example, string? disagreement) = confirmation.Of(concrete, difference, zone);
                if (example is not null)
                {
                    return new VnicProof.Refuted(example);
                }

                unconfirmed ??= disagreement;
            }
        }

        string? reason = unknown ?? unconfirmed;
        return reason is null ? null
            : new VnicProof.Unknown($"{question.Route.Name}, {question.Situation.Name}: {reason}");
    }
}

/// <summary>A proof with symbols does not come out: it is done without, which says what is wrong.</summary>
internal sealed class NotQuickException : Exception;
