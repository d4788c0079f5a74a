using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>Where an address stands for a policy: what is covered by the same of its tags.</summary>
/// <param name="Key">Names it within the program.</param>
/// <param name="Tags">Those of the policy's tags that cover it; none: any other address.</param>
/// <param name="AddressClasses">The VPC's address classes that stand here.</param>
internal sealed record RunPlace(
    string Key, ImmutableHashSet<string> Tags, IReadOnlyList<uint> AddressClasses);

/// <summary>The runs that packets of one protocol pass, one after the other, until one decides.</summary>
/// <param name="Protocol">Whose ports its rules name; null: every other protocol, which is a field itself.</param>
/// <param name="Runs">Of each, no two boxes meet.</param>
internal sealed record RunList(byte? Protocol, IReadOnlyList<IReadOnlyList<RunBox>> Runs)
{
    /// <summary>Some box is not of every own address.</summary>
    public bool HasOwn(IpFamily family) => Runs.Any(run => run.Any(box =>
        box.Own.First != 0 || box.Own.Last != IpPrefix.Ceiling(family)));

    /// <summary>Some box is not of every source port.</summary>
    public bool HasSource => Runs.Any(run => run.Any(box => box.Source != RunBox.AllPorts));
}

/// <summary>
/// What one profile decides in one direction and family, if a table for each class of addresses would be too much:
/// its rules as boxes over place, own address, protocol and ports, in a size that is linear in the rules.
/// </summary>
/// <remarks>
/// A run is made of boxes of which no two meet, so that their order does not matter, nor their verdict: the box that a
/// packet is in carries the decision. A rule goes into the last run that has something that it meets, less what that
/// run decides already, if that leaves few pieces; otherwise into the next one. So of all rules that match a packet
/// the strongest one is met first, and a packet is looked up as often as there are runs, at most, which are never more
/// than rules.
///
/// Places are numbered so that what a prefix covers is one interval: prefixes nest, and places are numbered in the
/// order of that tree. Numbers therefore move when a place appears, unlike those of classes; the map that gives them
/// out is named by the numbering, and whoever exchanges it moves the epoch (<see cref="Restriction"/>).
/// </remarks>
internal sealed class RunProgram
{
    private readonly Dictionary<uint, int> placeOfClass;

    private RunProgram(
        IpFamily family, uint firstNumber, IReadOnlyList<RunPlace> places,
        IReadOnlyList<(RankedRule Rule, uint Number)> rules, IReadOnlyList<RunList> lists, bool isTooLarge)
    {
        Family = family;
        FirstNumber = firstNumber;
        Places = places;
        Rules = rules;
        Lists = lists;
        IsTooLarge = isTooLarge;
        Numbering = string.Join('\n', places.Select(place => place.Key).Prepend($"{firstNumber}"));
        placeOfClass = places.SelectMany((place, at) => place.AddressClasses.Select(number => (number, at)))
            .ToDictionary(pair => pair.number, pair => pair.at);
    }

    public IpFamily Family { get; }

    /// <summary>The packet mark of the first place; the others follow.</summary>
    public uint FirstNumber { get; }

    /// <summary>In the order of their numbers; the first is any other address.</summary>
    public IReadOnlyList<RunPlace> Places { get; }

    /// <summary>Equal if and only if every place has the same number.</summary>
    public string Numbering { get; }

    /// <summary>All rules that can match the family, in evaluation order, with their numbers.</summary>
    public IReadOnlyList<(RankedRule Rule, uint Number)> Rules { get; }

    public IReadOnlyList<RunList> Lists { get; }

    /// <summary>It takes more boxes than the limit; <see cref="Lists"/> are not all.</summary>
    public bool IsTooLarge { get; }

    public int Boxes => Lists.Sum(list => list.Runs.Sum(run => run.Count));

    /// <summary>Lookups that a packet takes at most before it is decided.</summary>
    public int Lookups => Lists.Select(list => list.Runs.Count).DefaultIfEmpty(0).Max();

    public uint NumberOf(int place) => FirstNumber + (uint)place;

    /// <summary>The place of an address class; 0 is any other address.</summary>
    public int PlaceOf(uint addressClass) => placeOfClass.GetValueOrDefault(addressClass);

    /// <summary>Rules that match addresses of a place, for some own address.</summary>
    public IEnumerable<(RankedRule Rule, uint Number)> RulesAt(int place) => Rules.Where(ranked =>
        ranked.Rule.Remote.Tag is not string tag || Places[place].Tags.Contains(tag));

    /// <summary>Cuts the addresses of a family by the tags of a policy.</summary>
    /// <param name="family">Family.</param>
    /// <param name="named">The VPC's classes that any of the tags covers, each with those that do, in order.</param>
    public static ImmutableArray<RunPlace> PlacesOf(
        IpFamily family, IEnumerable<(AddressClass Class, TagList Tags)> named)
    {
        var places = named
            .Where(one => one.Class.Family == family)
            .GroupBy(one => one.Tags)
            .Select(same => (Place: new RunPlace(
                PolicyProgram.KeyOf(family, same.Key.Tags), [.. same.Key.Tags],
                [.. same.Select(one => one.Class.Number).Order()]),
                Path: PathOf(same.Key.Tags)))
            .ToList();
        places.Sort((one, other) => ComparePaths(one.Path, other.Path) is var order and not 0
            ? order : string.CompareOrdinal(one.Place.Key, other.Place.Key));
        return [new RunPlace(PolicyProgram.KeyOf(family, []), [], []), .. places.Select(pair => pair.Place)];
    }

    /// <param name="family">Family.</param>
    /// <param name="rules">All rules of the policy in evaluation order, with their numbers.</param>
    /// <param name="places">The family's places.</param>
    /// <param name="firstNumber">The number of the first one.</param>
    /// <param name="boxesMax">More boxes are too many.</param>
    public static RunProgram Of(
        IpFamily family, IReadOnlyList<(RankedRule Rule, uint Number)> rules, ImmutableArray<RunPlace> places,
        uint firstNumber, int boxesMax)
    {
        (RankedRule Rule, uint Number)[] covering = [.. rules.Where(ranked => ranked.Rule.Covers(family))];
        var lists = new List<RunList>();
        int room = boxesMax;
        byte?[] protocols = [.. covering.Where(ranked => ranked.Rule.HasPorts)
            .Select(ranked => ranked.Rule.Protocol).OfType<byte>().Distinct().Order(), null];
        foreach (byte? protocol in protocols)
        {
            var runs = new RunBuilder(room);
            foreach ((RankedRule rule, uint number) in covering)
            {
                bool concerned = rule.Protocol is null
                    || (protocol is null ? !protocols.Contains(rule.Protocol) : rule.Protocol == protocol);
                foreach (RunBox box in concerned ? BoxesOf(protocol, rule, number) : [])
                {
                    if (!runs.Add(box))
                    {
                        return new RunProgram(family, firstNumber, places, covering, lists, isTooLarge: true);
                    }
                }
            }

            room -= runs.Count;
            lists.Add(new RunList(protocol, runs.Runs));
        }

        return new RunProgram(family, firstNumber, places, covering, lists, isTooLarge: false);

        IEnumerable<RunBox> BoxesOf(byte? protocol, RankedRule rule, uint number)
        {
            Interval own = rule.Own is IpPrefix prefix
                ? new Interval(prefix.First, prefix.Last) : new Interval(0, IpPrefix.Ceiling(family));
            IEnumerable<Interval> ports = protocol is not null ? PortsOf(rule.Destination)
                : [rule.Protocol is byte one ? new Interval(one, one) : RunBox.AllProtocols];
            Interval source = protocol is not null ? new(rule.Source.First, rule.Source.Last) : RunBox.AllPorts;
            return ports.SelectMany(port => PlacesIn(rule.Remote.Tag).Select(place => new RunBox(
                new Interval(firstNumber + place.First, firstNumber + place.Last), own, port, source,
                Decision.Of(rule.Verdict, number))));
        }

        IEnumerable<Interval> PlacesIn(string? tag)
        {
            for (int first = 0; first < places.Length; first++)
            {
                int end = first;
                while (end < places.Length && (tag is null || places[end].Tags.Contains(tag)))
                {
                    end++;
                }

                if (end > first)
                {
                    yield return new Interval((UInt128)first, (UInt128)(end - 1));
                    first = end;
                }
            }
        }
    }

    // Disjoint: entries of a list may overlap, and repeat.
    private static List<Interval> PortsOf(ImmutableArray<PortRange> ranges)
    {
        if (ranges.IsEmpty)
        {
            return [RunBox.AllPorts];
        }

        var joined = new List<Interval>();
        foreach (PortRange range in ranges.OrderBy(range => range.First))
        {
            if (joined.Count > 0 && joined[^1].Last + 1 >= range.First)
            {
                joined[^1] = joined[^1] with { Last = UInt128.Max(joined[^1].Last, range.Last) };
            }
            else
            {
                joined.Add(new Interval(range.First, range.Last));
            }
        }

        return joined;
    }

    // The prefixes around an address, the widest first: they nest.
    private static IpPrefix[] PathOf(IEnumerable<string> tags) =>
        [.. tags.Where(tag => tag[0] == 'c').Select(tag => IpPrefix.Parse(tag[2..])).OrderBy(one => one.Length)];

    private static int ComparePaths(IpPrefix[] one, IpPrefix[] other)
    {
        for (int i = 0; i < one.Length && i < other.Length; i++)
        {
            int order = one[i].CompareTo(other[i]);
            if (order != 0)
            {
                return order;
            }
        }

        return one.Length.CompareTo(other.Length);
    }
}
