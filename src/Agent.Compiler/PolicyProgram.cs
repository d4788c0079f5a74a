using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// What one profile decides in one direction: a decision table per class of addresses. Pure policy, no nftables.
/// </summary>
internal sealed class PolicyProgram
{
    private readonly Dictionary<string, uint> policyClasses;
    private readonly Dictionary<uint, ClassProgram> byAddressClass;

    private PolicyProgram(
        Verdict fallback, IReadOnlyDictionary<uint, string> ruleKeys, IReadOnlyList<ClassProgram> classes,
        Dictionary<string, uint> policyClasses)
    {
        Fallback = fallback;
        RuleKeys = ruleKeys;
        Classes = classes;
        this.policyClasses = policyClasses;
        byAddressClass = classes
            .SelectMany(part => part.AddressClasses.Select(number => (number, part)))
            .ToDictionary(pair => pair.number, pair => pair.part);
    }

    public Verdict Fallback { get; }

    /// <summary>Rule number to rule key: "sg-web/sgr-1".</summary>
    public IReadOnlyDictionary<uint, string> RuleKeys { get; }

    /// <summary>
    /// One per distinct set of the rules' tags; the two with no tags ("any other address") come first.
    /// </summary>
    public IReadOnlyList<ClassProgram> Classes { get; }

    /// <summary>What is decided for an address class, or null where it is like any other address.</summary>
    public ClassProgram? Find(uint addressClass) => byAddressClass.GetValueOrDefault(addressClass);

    /// <summary>Whether addresses matter: something differs from "any other address" of the family.</summary>
    public bool NeedsAddresses => Classes.Count > 2;

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
    public static PolicyProgram Of(
        ImmutableArray<RankedRule> rules, Verdict fallback, IReadOnlyList<AddressClass> classes)
    {
        Dictionary<string, uint> numbers = StableHash.Number(
            rules.Select(rule => rule.Key), Decision.FirstNumber, Decision.NumberLimit);
        (RankedRule Rule, uint Number)[] numbered = [.. rules.Select(rule => (rule, numbers[rule.Key]))];
        HashSet<string> tags = [.. rules.Select(rule => rule.Remote.Tag).OfType<string>()];

        var programs = new List<ClassProgram>
        {
            ProgramOf(numbered, IpFamily.V4, [], [], fallback),
            ProgramOf(numbered, IpFamily.V6, [], [], fallback),
        };
        foreach (IGrouping<string, AddressClass> same in classes
            .Where(address => address.Tags.Any(tags.Contains))
            .GroupBy(address => $"{(int)address.Family}|{string.Join('|', address.Tags.Where(tags.Contains))}")
            .OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            AddressClass first = same.First();
            ClassProgram program = ProgramOf(
                numbered, first.Family, [.. first.Tags.Where(tags.Contains)], [.. same.Select(a => a.Number).Order()],
                fallback);
            ClassProgram rest = programs[first.Family == IpFamily.V4 ? 0 : 1];
            if (!program.Table.Equals(rest.Table) || !program.Owns.SequenceEqual(rest.Owns))
            {
                programs.Add(program);
            }
        }

        return new PolicyProgram(
            fallback, numbers.ToDictionary(pair => pair.Value, pair => pair.Key), programs, NumberClasses(programs));
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
        (RankedRule Rule, uint Number)[] rules, IpFamily family, IReadOnlyList<string> tags,
        IReadOnlyList<uint> addressClasses, Verdict fallback)
    {
        (RankedRule Rule, uint Number)[] matching =
        [
            .. rules.Where(ranked => ranked.Rule.Covers(family)
                && (ranked.Rule.Remote.Tag is null || tags.Contains(ranked.Rule.Remote.Tag))),
        ];
        string key = $"{(int)family}|{string.Join('|', tags)}";
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
