using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// What one profile decides in one direction: a decision table per class of addresses. Pure policy, no nftables.
/// </summary>
internal sealed class PolicyProgram
{
    private readonly Dictionary<string, uint> policyClasses;
    private Dictionary<uint, ClassProgram>? byAddressClass; // only of programs that changes are compared with

    private PolicyProgram(
        Verdict fallback, IReadOnlyDictionary<uint, string> ruleKeys, IReadOnlyList<ClassProgram> classes,
        Dictionary<string, uint> policyClasses, IReadOnlyList<RunProgram> runs)
    {
        Fallback = fallback;
        Runs = runs;
        RuleKeys = ruleKeys;
        Classes = classes;
        this.policyClasses = policyClasses;
    }

    public Verdict Fallback { get; }

    /// <summary>Rule number to rule key: "sg-web/sgr-1".</summary>
    public IReadOnlyDictionary<uint, string> RuleKeys { get; }

    /// <summary>
    /// One per distinct set of the rules' tags; the two with no tags ("any other address") come first. Of a family that
    /// is in <see cref="Runs"/> there is no more than that one, and nothing is decided by it.
    /// </summary>
    public IReadOnlyList<ClassProgram> Classes { get; }

    /// <summary>Families for which tables are too much.</summary>
    public IReadOnlyList<RunProgram> Runs { get; }

    public RunProgram? RunsOf(IpFamily family) => Runs.FirstOrDefault(runs => runs.Family == family);

    /// <summary>The families that have tables.</summary>
    public IEnumerable<ClassProgram> Tabled => Classes.Where(part => RunsOf(part.Family) is null);

    /// <summary>What is decided for an address class, or null where it is like any other address.</summary>
    public ClassProgram? Find(uint addressClass) => (byAddressClass ??= Classes
        .SelectMany(part => part.AddressClasses.Select(number => (number, part)))
        .ToDictionary(pair => pair.number, pair => pair.part)).GetValueOrDefault(addressClass);

    /// <summary>Whether addresses matter: something differs from "any other address" of the family.</summary>
    public bool NeedsAddresses => Classes.Count > 2 || Runs.Any(runs => runs.Places.Count > 1);

    /// <summary>The mark that stands for a table: the decision itself if it is one, otherwise a policy class.</summary>
    public uint MarkOf(string key, DecisionTable table) => table.IsConstant ? table.Other : policyClasses[key];

    /// <summary>The policy class, also where the table is constant.</summary>
    public uint NumberOf(string key) => policyClasses[key];

    /// <summary>Marks that a packet may have when nothing decided: numbers of all policy classes, sorted.</summary>
    public IEnumerable<uint> ClassNumbers => policyClasses.Values.Distinct().Order();

    /// <summary>A class of remote addresses.</summary>
    /// <param name="Key">Names it within the program.</param>
    /// <param name="Family">Family.</param>
    /// <param name="AddressClasses">The address classes it stands for; empty for "any other address".</param>
    /// <param name="Table">What is decided for own addresses that no rule singles out.</param>
    /// <param name="Owns">Own addresses for which something else is decided; disjoint.</param>
    public sealed record ClassProgram(
        string Key, IpFamily Family, IReadOnlyList<uint> AddressClasses, DecisionTable Table,
        IReadOnlyList<OwnProgram> Owns);

    public sealed record OwnProgram(string Key, UInt128 First, UInt128 Last, DecisionTable Table);

    /// <summary>Resolves order, priorities and overlaps.</summary>
    /// <param name="rules">In evaluation order.</param>
    /// <param name="fallback">The type's default.</param>
    /// <param name="classes">The VPC's address classes.</param>
    /// <param name="settings">Limits of the layouts.</param>
    public static PolicyProgram Of(
        ImmutableArray<RankedRule> rules, Verdict fallback, AddressClasses classes, CompilerSettings settings)
    {
        Dictionary<string, uint> numbers = StableHash.Number(
            rules.Select(rule => rule.Key), Decision.FirstNumber, Decision.NumberLimit);
        (RankedRule Rule, uint Number)[] ranked = [.. rules.Select(rule => (rule, numbers[rule.Key]))];
        var numbered = new NumberedRules(ranked);
        (AddressClass Class, TagList Tags)[] named = Named(numbered.Tags, classes);

        var rests = new List<ClassProgram>();
        var others = new List<ClassProgram>();
        var wide = new List<IpFamily>();
        foreach (IpFamily family in (IpFamily[])[IpFamily.V4, IpFamily.V6])
        {
            if (Tables(numbered, family, fallback, named, settings) is List<ClassProgram> programs)
            {
                rests.Add(programs[0]);
                others.AddRange(programs[1..]);
            }
            else
            {
                wide.Add(family);
                rests.Add(new ClassProgram(
                    KeyOf(family, []), family, [], new DecisionTable(Decision.Of(fallback, 0), []), []));
            }
        }

        List<ClassProgram> all = [.. rests, .. others];
        Dictionary<string, uint> policyClasses = NumberClasses(all);
        List<RunProgram> runs = [.. wide.Select(family =>
            RunsOf(family, ranked, RunProgram.PlacesOf(family, named), policyClasses, settings))];
        return new PolicyProgram(
            fallback, numbers.ToDictionary(pair => pair.Value, pair => pair.Key), all, policyClasses, runs);
    }

    public static string KeyOf(IpFamily family, IEnumerable<string> tags) => $"{(int)family}|{string.Join('|', tags)}";

    /// <summary>A family's classes, that of any other address first; null: they are too much.</summary>
    private static List<ClassProgram>? Tables(
        NumberedRules rules, IpFamily family, Verdict fallback, (AddressClass Class, TagList Tags)[] named,
        CompilerSettings settings)
    {
        var budget = new CellBudget(settings);
        ClassProgram rest = ProgramOf(rules, family, [], [], fallback);
        budget.Add(rest, Decision.Of(fallback, 0));
        var programs = new List<ClassProgram> { rest };
        foreach (IGrouping<TagList, (AddressClass Class, TagList Tags)> same in named
            .Where(one => one.Class.Family == family)
            .GroupBy(one => one.Tags)
            .OrderBy(group => KeyOf(family, group.Key.Tags), StringComparer.Ordinal))
        {
            ClassProgram program = ProgramOf(
                rules, family, same.Key.Tags, [.. same.Select(one => one.Class.Number).Order()], fallback);
            if (!program.Table.Equals(rest.Table) || !program.Owns.SequenceEqual(rest.Owns))
            {
                programs.Add(program);
                budget.Add(program, Decision.Of(fallback, 0));
            }

            if (budget.IsExceeded)
            {
                return null;
            }
        }

        return budget.IsExceeded ? null : programs;
    }

    // Numbers of places follow one another, and none is that of a class.
    private static RunProgram RunsOf(
        IpFamily family, (RankedRule Rule, uint Number)[] rules, ImmutableArray<RunPlace> places,
        Dictionary<string, uint> policyClasses, CompilerSettings settings)
    {
        uint first = Decision.FirstNumber;
        foreach (uint taken in policyClasses.Values.Order())
        {
            first = taken >= first && taken < first + (uint)places.Length ? taken + 1 : first;
        }

        RunProgram runs = RunProgram.Of(family, rules, places, first, settings.MaxRangeCells);
        for (int at = 0; at < places.Length; at++)
        {
            policyClasses[places[at].Key] = runs.NumberOf(at);
        }

        return runs;
    }

    // The classes that any of the tags covers, each with those that do, in order. A VPC may have many thousand classes
    // of which one policy names a few.
    private static (AddressClass Class, TagList Tags)[] Named(IEnumerable<string> tags, AddressClasses classes)
    {
        var none = new TagList([]);
        var named = new Dictionary<int, TagList>();
        foreach (string tag in tags.Order(StringComparer.Ordinal))
        {
            foreach (int index in classes.WithTag(tag))
            {
                ref TagList? its = ref CollectionsMarshal.GetValueRefOrAddDefault(named, index, out _);
                its = (its ?? none).With(tag);
            }
        }

        return [.. named.Select(pair => (classes.Classes[pair.Key], pair.Value))];
    }

    /// <summary>Rules with their numbers, in evaluation order, found by what they ask of the remote address.</summary>
    private sealed class NumberedRules
    {
        private readonly (RankedRule Rule, uint Number)[] all;
        private readonly List<int> untagged = [];
        private readonly Dictionary<string, List<int>> tagged = new(StringComparer.Ordinal);

        public NumberedRules((RankedRule Rule, uint Number)[] all)
        {
            this.all = all;
            for (int i = 0; i < all.Length; i++)
            {
                if (all[i].Rule.Remote.Tag is not string tag)
                {
                    untagged.Add(i);
                }
                else if (tagged.TryGetValue(tag, out List<int>? its))
                {
                    its.Add(i);
                }
                else
                {
                    tagged.Add(tag, [i]);
                }
            }
        }

        public IEnumerable<string> Tags => tagged.Keys;

        /// <summary>Those that can match an address of a family that just these tags cover.</summary>
        public (RankedRule Rule, uint Number)[] Matching(IpFamily family, IReadOnlyList<string> tags)
        {
            var places = new List<int>(untagged);
            foreach (string tag in tags)
            {
                places.AddRange(tagged[tag]);
            }

            places.Sort();
            return [.. places.Select(place => all[place]).Where(ranked => ranked.Rule.Covers(family))];
        }
    }

    private static Dictionary<string, uint> NumberClasses(List<ClassProgram> programs)
    {
        IEnumerable<string> named = programs.Skip(2).Select(program => program.Key)
            .Concat(programs.SelectMany(program => program.Owns).Select(own => own.Key));
        Dictionary<string, uint> numbers = StableHash.Number(
            named.Distinct(), Decision.FirstNumber, Decision.NumberLimit);
        numbers[programs[0].Key] = Decision.RestV4;
        numbers[programs[1].Key] = Decision.RestV6;
        return numbers;
    }

    private static ClassProgram ProgramOf(
        NumberedRules rules, IpFamily family, IReadOnlyList<string> tags, IReadOnlyList<uint> addressClasses,
        Verdict fallback)
    {
        (RankedRule Rule, uint Number)[] matching = rules.Matching(family, tags);
        string key = KeyOf(family, tags);
        DecisionTable table = DecisionTable.Of([.. matching.Where(ranked => ranked.Rule.Own is null)], fallback);
        return new ClassProgram(key, family, addressClasses, table, OwnsOf(matching, key, table, fallback));
    }

    private static List<OwnProgram> OwnsOf(
        (RankedRule Rule, uint Number)[] rules, string key, DecisionTable common, Verdict fallback)
    {
        IpPrefix[] prefixes = [.. rules.Select(ranked => ranked.Rule.Own).OfType<IpPrefix>().Distinct().Order()];
        var owns = new List<OwnProgram>();
        foreach (Segment segment in AddressSpace.Cut([.. prefixes.Select((prefix, i) => (prefix, i))]))
        {
            HashSet<IpPrefix> covering = [.. segment.Signature.Tags.Select(tag => prefixes[tag])];
            DecisionTable table = DecisionTable.Of(
                [.. rules.Where(ranked => ranked.Rule.Own is null || covering.Contains(ranked.Rule.Own.Value))],
                fallback);
            if (!table.Equals(common))
            {
                string own = string.Join(',', covering.Order());
                owns.Add(new OwnProgram($"{key}|own:{own}", segment.First, segment.Last, table));
            }
        }

        return owns;
    }
}

/// <summary>Tags that cover a class, in order: of one program, the same tags are the same object.</summary>
/// <param name="tags">The tags.</param>
internal sealed class TagList(ImmutableArray<string> tags)
{
    private Dictionary<string, TagList>? longer;

    public ImmutableArray<string> Tags => tags;

    /// <param name="tag">Comes behind all of these.</param>
    public TagList With(string tag)
    {
        longer ??= new(StringComparer.Ordinal);
        if (!longer.TryGetValue(tag, out TagList? more))
        {
            longer.Add(tag, more = new TagList(tags.Add(tag)));
        }

        return more;
    }
}
