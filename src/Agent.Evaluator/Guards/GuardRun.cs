using Agent.Nftables;

namespace Agent.Evaluator.Guards;

/// <summary>What became of a frame at a device.</summary>
/// <param name="Accepted">It goes on.</param>
/// <param name="Counters">Kinds of the counters that counted it, in order, with a space behind each.</param>
/// <param name="IsMarked">Its packet mark was written.</param>
/// <param name="Unknown">Why nobody knows; null: it is known.</param>
internal readonly record struct GuardOutcome(
    bool Accepted, string Counters = "", bool IsMarked = false, string? Unknown = null);

/// <summary>Outcomes by number, so that they are leaves.</summary>
internal sealed class GuardOutcomes
{
    private readonly List<GuardOutcome> list = [];
    private readonly Dictionary<GuardOutcome, int> numbers = [];

    public GuardOutcome this[int number] => list[number];

    public int Of(GuardOutcome outcome)
    {
        if (!numbers.TryGetValue(outcome, out int number))
        {
            numbers.Add(outcome, number = list.Count);
            list.Add(outcome);
        }

        return number;
    }
}

/// <summary>The base chains of a device at ingress, for all frames of a shape at once.</summary>
/// <remarks>
/// First everything that a frame may reach is read as steps; then it is run from its end to its begin.
/// </remarks>
internal sealed class GuardRun
{
    private readonly FrameDiagrams diagrams;
    private readonly GuardOutcomes outcomes;
    private readonly List<Base> bases = [];

    /// <summary>What stands for a counter in an outcome.</summary>
    public required Func<string, string> KindOf { get; init; }

    /// <summary>A base chain, and the chains that it leads to.</summary>
    private sealed record Base(string Start, Dictionary<string, List<IReadOnlyList<GuardStep>>?> Chains);

    /// <param name="chains">Base chains in the order in which they run, each with its table.</param>
    /// <param name="shape">The frames.</param>
    /// <param name="device">The device.</param>
    /// <param name="uses">Takes note of what is read.</param>
    /// <param name="diagrams">Where results live.</param>
    /// <param name="outcomes">Numbers of the leaves.</param>
    public GuardRun(
        IEnumerable<(GuardTable Table, string Chain)> chains, FrameShape shape, string device, GuardUses uses,
        FrameDiagrams diagrams, GuardOutcomes outcomes)
    {
        this.diagrams = diagrams;
        this.outcomes = outcomes;
        foreach ((GuardTable table, string chain) in chains)
        {
            var read = new Base(chain, new Dictionary<string, List<IReadOnlyList<GuardStep>>?>(StringComparer.Ordinal));
            Read(new GuardReader(table, shape, device, uses), table, uses, read, chain);
            bases.Add(read);
        }
    }

    /// <summary>All conditions in it.</summary>
    public IEnumerable<FrameTest> Tests() => bases.SelectMany(one => one.Chains.Values)
        .SelectMany(rules => rules ?? []).SelectMany(steps => steps).OfType<GuardStep.Ask>().Select(ask => ask.Test);

    /// <returns>Leaves are numbers of outcomes.</returns>
    public FrameDiagram Of(FrameFields fields)
    {
        FrameDiagram result = Leaf(new GuardOutcome(Accepted: true));
        foreach (Base one in Enumerable.Reverse(bases))
        {
            result = new Walk(this, fields, one, result).Chain(one.Start, result);
        }

        return result;
    }

    private static void Read(GuardReader reader, GuardTable table, GuardUses uses, Base into, string name)
    {
        if (into.Chains.ContainsKey(name))
        {
            return;
        }

        into.Chains.Add(name, null);
        if (uses.Chain(table, name) is not NftChain chain)
        {
            return;
        }

        List<IReadOnlyList<GuardStep>> rules = [];
        foreach (NftRule rule in chain.Rules)
        {
            IReadOnlyList<GuardStep> steps = reader.Read(rule);
            rules.Add(steps);
            if (steps is [.., GuardStep.Give { Verdict.Chain: string target }])
            {
                Read(reader, table, uses, into, target);
            }

            if (steps is [GuardStep.Give { Verdict.Code: not (NftVerdictCode.Jump or NftVerdictCode.Continue) }])
            {
                break; // nothing comes to what is behind it
            }
        }

        into.Chains[name] = rules;
    }

    private FrameDiagram Leaf(GuardOutcome outcome) => FrameDiagrams.Leaf(outcomes.Of(outcome));

    /// <summary>One base chain.</summary>
    /// <param name="run">What was read.</param>
    /// <param name="fields">Fields of the frames.</param>
    /// <param name="chains">The chains.</param>
    /// <param name="accepted">What becomes of frames that it accepts.</param>
    private sealed class Walk(GuardRun run, FrameFields fields, Base chains, FrameDiagram accepted)
    {
        private readonly HashSet<string> open = new(StringComparer.Ordinal);

        /// <param name="name">The chain.</param>
        /// <param name="returned">What becomes of frames that come to its end.</param>
        public FrameDiagram Chain(string name, FrameDiagram returned)
        {
            if (!chains.Chains.TryGetValue(name, out List<IReadOnlyList<GuardStep>>? rules) || rules is null
                || !open.Add(name))
            {
                return Unknown($"chain {name} does not exist, or leads back to itself");
            }

            FrameDiagram next = returned;
            for (int rule = rules.Count - 1; rule >= 0; rule--)
            {
                next = Rule(rules[rule], next, returned);
            }

            open.Remove(name);
            return next;
        }

        private FrameDiagram Rule(IReadOnlyList<GuardStep> steps, FrameDiagram next, FrameDiagram returned)
        {
            FrameDiagram result = next;
            for (int i = steps.Count - 1; i >= 0; i--)
            {
                result = steps[i] switch
                {
                    GuardStep.Ask ask => Where(fields, run.diagrams, ask.Test, result, next),
                    GuardStep.End => next,
                    GuardStep.Count count => Changed(
                        result,
                        outcome => outcome with { Counters = $"{run.KindOf(count.Counter)} {outcome.Counters}" }),
                    GuardStep.Mark => Changed(result, outcome => outcome with { IsMarked = true }),
                    GuardStep.Give give => Verdict(give.Verdict, next, returned),
                    GuardStep.Unknown unknown => Unknown(unknown.Reason),
                    _ => throw new System.Diagnostics.UnreachableException(),
                };
            }

            return result;
        }

        private FrameDiagram Verdict(NftVerdict verdict, FrameDiagram next, FrameDiagram returned) =>
            verdict.Code switch
            {
                NftVerdictCode.Accept => accepted,
                NftVerdictCode.Drop => run.Leaf(new GuardOutcome(Accepted: false)),
                NftVerdictCode.Return => returned,
                NftVerdictCode.Goto => Chain(verdict.Chain!, returned),
                NftVerdictCode.Jump => Chain(verdict.Chain!, next),
                _ => Unknown($"verdict {verdict.Code}"),
            };

        private FrameDiagram Changed(FrameDiagram diagram, Func<GuardOutcome, GuardOutcome> change) =>
            run.diagrams.Map(diagram, leaf => run.outcomes[leaf].Unknown is null
                ? run.outcomes.Of(change(run.outcomes[leaf])) : leaf);

        private FrameDiagram Unknown(string reason) => run.Leaf(new GuardOutcome(Accepted: false, Unknown: reason));
    }

    public static FrameDiagram Where(
        FrameFields fields, FrameDiagrams diagrams, FrameTest test, FrameDiagram then, FrameDiagram otherwise)
    {
        (int field, ulong classes) = fields.Of(test);
        return diagrams.Where(field, fields.ClassesOf(field), classes, then, otherwise);
    }
}
