using System.Buffers.Binary;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// Writes a <see cref="PolicyProgram"/> as maps and two chains: a fixed number of lookups, whatever the rules.
/// </summary>
/// <remarks>
/// <code>
/// mark := address class -> @class -> policy class      (or decided already)
///         -> @own4/@own6   (class . own address)        only if a rule names an own side
///         -> runs          of a family for which the tables below are too much (<see cref="RunEmitter"/>)
///         -> @port         (class . protocol . port)    single ports
///         -> @range_...    (class . protocol . ports)   true ranges, and source ports
///         -> @proto        (class . protocol)
///         -> @any          (class)
///         -> the type's default
/// </code>
/// Each step decides (bits of <see cref="Decision"/>) or leaves the mark alone, so the most special answer wins, and
/// steps that a policy does not need are not written. Interval maps are named by their content: they are never edited
/// in place (nftables-facts.md 2.2, 2.3). Every element counts its packets: that is the hit counter of its rule.
/// </remarks>
internal sealed class PolicyEmitter
{
    private readonly PolicyProgram program;
    private readonly CompilerSettings settings;
    private readonly string name;
    private readonly AddressClasses addresses;
    private readonly Dictionary<uint, DecisionTable> tables = [];
    private readonly RunEmitter[] runs;

    private NftSet? classMap;
    private readonly List<(IpFamily Family, NftSet Map)> ownMaps = [];
    private NftSet? portMap;
    private NftSet? rangeMap;
    private bool rangeHasSource;
    private NftSet? protocolMap;
    private NftSet? anyMap;

    public PolicyEmitter(PolicyProgram program, string name, AddressClasses addresses, CompilerSettings settings)
    {
        this.program = program;
        this.name = name;
        this.addresses = addresses;
        this.settings = settings;
        runs = [.. program.Runs.Select(one => new RunEmitter(one, name))];
        BuildClassMaps();
        BuildCellMaps();
    }

    public IEnumerable<NftSet> Maps() =>
        ((NftSet?[])[classMap, .. ownMaps.Select(own => own.Map), portMap, rangeMap, protocolMap, anyMap])
            .OfType<NftSet>().Concat(runs.SelectMany(one => one.Maps()));

    /// <summary>A cell that is looked up in the interval map, and not port by port.</summary>
    public static bool IsRange(PortCell cell, CompilerSettings settings) => cell.Source != PortRange.All
        || cell.Destination.Last - cell.Destination.First >= settings.ExpandedPorts;

    /// <summary>The chains that judge a packet against this policy; the first one is jumped to.</summary>
    /// <param name="chain">Its name.</param>
    /// <param name="remoteIsSource">The packet comes from the remote side.</param>
    /// <param name="mirrored">The packet is a reply: ports are looked up the other way round.</param>
    /// <param name="dropDefault">Where to go when nothing matched and the default is drop.</param>
    /// <param name="dropRule">Where to go when a row decided drop.</param>
    public IEnumerable<NftChain> Chains(
        string chain, bool remoteIsSource, bool mirrored, string dropDefault, string dropRule)
    {
        List<NftRule> rules = Cells(chain, remoteIsSource, mirrored, dropDefault, dropRule);
        if (program.NeedsAddresses)
        {
            string cells = CellChain(chain);
            yield return new NftChain(chain, Hook: null,
            [
                Exprs.Rule(Exprs.Jump(addresses.ChainName(remoteIsSource))),
                Exprs.Rule(Exprs.MarkFrom(classMap!.Name, Exprs.LoadMark()), Exprs.Goto(cells)),
                .. Rests(dropRule),
                Exprs.Rule(Exprs.Goto(cells)),
            ]);
            yield return new NftChain(cells, Hook: null, rules.ToValueArray());
        }
        else
        {
            yield return new NftChain(chain, Hook: null, [.. Rests(dropRule), .. rules]);
        }

        foreach (NftChain run in runs.Where(one => !one.IsEmpty)
            .SelectMany(one => one.Chains(chain, remoteIsSource, mirrored)))
        {
            yield return run;
        }
    }

    /// <summary>Where the judgement of a chain goes on once the address has its class.</summary>
    public static string CellChain(string chain) => chain + "_cells";

    private List<NftRule> Cells(
        string chain, bool remoteIsSource, bool mirrored, string dropDefault, string dropRule)
    {
        var rules = new List<NftRule>();
        foreach ((IpFamily family, NftSet map) in ownMaps)
        {
            rules.Add(Exprs.Rule(Exprs.Family(family), Exprs.MarkFrom(
                map.Name, Exprs.LoadMarkInWireOrder(), Exprs.LoadAddress(family, source: !remoteIsSource, word: 1))));
        }

        AddChecks(rules, [classMap, .. ownMaps.Select(own => own.Map)], dropRule);
        foreach (RunEmitter one in runs.Where(one => !one.IsEmpty))
        {
            rules.Add(Exprs.Rule(
                Exprs.Family(one.Family), Exprs.Jump(RunEmitter.ChainName(chain, one.Family))));
            AddChecks(rules, one.Maps(), dropRule);
        }

        if (portMap is not null)
        {
            rules.Add(Exprs.Rule(Exprs.MarkFrom(
                portMap.Name, Exprs.LoadMark(), Exprs.LoadL4Proto(1), Exprs.LoadPort(source: mirrored, word: 2))));
            AddChecks(rules, [portMap], dropRule);
        }

        if (rangeMap is not null)
        {
            IEnumerable<NftExpr> source = rangeHasSource ? Exprs.LoadPort(source: !mirrored, word: 3) : [];
            rules.Add(Exprs.Rule(Exprs.MarkFrom(
                rangeMap.Name, Exprs.LoadMarkInWireOrder(), Exprs.LoadL4Proto(1),
                Exprs.LoadPort(source: mirrored, word: 2), source)));
            AddChecks(rules, [rangeMap], dropRule);
        }

        if (protocolMap is not null)
        {
            rules.Add(Exprs.Rule(Exprs.MarkFrom(protocolMap.Name, Exprs.LoadMark(), Exprs.LoadL4Proto(1))));
            AddChecks(rules, [protocolMap], dropRule);
        }

        if (anyMap is not null)
        {
            rules.Add(Exprs.Rule(Exprs.MarkFrom(anyMap.Name, Exprs.LoadMark())));
            AddChecks(rules, [anyMap], dropRule);
        }

        rules.Add(program.Fallback == Verdict.Accept
            ? Exprs.CommentedRule("default: accept", Exprs.Return())
            : Exprs.CommentedRule("default: drop", Exprs.Goto(dropDefault)));
        return rules;
    }

    // Addresses that the policy does not tell from others: only those that no class was found for get here.
    private IEnumerable<NftRule> Rests(string dropRule)
    {
        foreach (PolicyProgram.ClassProgram rest in program.Classes.Take(2))
        {
            uint mark = MarkOf(rest);
            uint both = Decision.AddressClass | Decision.AddressClassV6;
            IEnumerable<NftExpr> then = !Decision.IsDecided(mark) ? []
                : Decision.Accepts(mark) ? Exprs.Return() : Exprs.Goto(dropRule);
            yield return program.NeedsAddresses
                ? Exprs.Rule(
                    Exprs.MarkMasked(both, Decision.Unclassified(rest.Family)), Exprs.MarkSet(mark), then)
                : Exprs.Rule(Exprs.Family(rest.Family), Exprs.MarkSet(mark), then);
        }
    }

    // A decision ends the judgement: accepted returns to the caller, dropped is final. Only what a step can answer is
    // tested for.
    private static void AddChecks(List<NftRule> rules, IEnumerable<NftSet?> maps, string dropRule)
    {
        uint answers = 0;
        foreach (uint mark in maps.OfType<NftSet>().SelectMany(MarksOf))
        {
            answers |= Decision.IsDecided(mark) ? mark : 0;
        }

        if ((answers & Decision.AcceptBit) != 0)
        {
            rules.Add(Exprs.Rule(Exprs.MarkMasked(Decision.AcceptBit, Decision.AcceptBit), Exprs.Return()));
        }

        if ((answers & Decision.DropBit) != 0)
        {
            rules.Add(Exprs.Rule(Exprs.MarkMasked(Decision.DropBit, Decision.DropBit), Exprs.Goto(dropRule)));
        }
    }

    internal static IEnumerable<uint> MarksOf(NftSet map)
    {
        for (int i = 0; i < map.Elements.Count; i++)
        {
            yield return BitConverter.ToUInt32(map.Elements[i][^4..]);
        }
    }

    private uint MarkOf(PolicyProgram.ClassProgram part) => program.RunsOf(part.Family) is not null
        ? program.NumberOf(part.Key) : MarkOf(part.Key, part.Table, part.Owns.Count > 0);

    // A class whose own addresses matter needs a number even if its table is one decision: the own map looks it up.
    private uint MarkOf(string key, DecisionTable table, bool hasOwns)
    {
        uint mark = hasOwns ? program.NumberOf(key) : program.MarkOf(key, table);
        if (!Decision.IsDecided(mark))
        {
            tables[mark] = table;
        }

        return mark;
    }

    private void BuildClassMaps()
    {
        NftElements.Builder classes = Builder([NftType.Mark], interval: false);
        foreach ((uint mark, IReadOnlyList<uint> addresses) in program.Tabled
            .Select(part => (MarkOf(part), part.AddressClasses))
            .Concat(program.Runs.SelectMany(one => one.Places.Select((place, at) =>
                (one.NumberOf(at), place.AddressClasses)))))
        {
            foreach (uint address in addresses)
            {
                Span<byte> row = classes.Add();
                BitConverter.TryWriteBytes(row, address);
                BitConverter.TryWriteBytes(row[4..], mark);
            }
        }

        // Numbers of places move: those of one numbering never mix with those of another.
        string numbering = string.Concat(program.Runs.Select(one => "_" + StableHash.Name(one.Numbering)));
        classMap = program.NeedsAddresses ? Hash("class" + numbering, [NftType.Mark], classes) : null;
        foreach (IpFamily family in (IpFamily[])[IpFamily.V4, IpFamily.V6])
        {
            BuildOwnMap(family);
        }
    }

    private void BuildOwnMap(IpFamily family)
    {
        ValueArray<NftType> key = [NftType.Mark, family == IpFamily.V4 ? NftType.Ipv4Addr : NftType.Ipv6Addr];
        int half = NftSet.KeyLength(key);
        NftElements.Builder rows = Builder(key, interval: true);
        foreach (PolicyProgram.ClassProgram part in program.Tabled.Where(part => part.Family == family))
        {
            foreach (PolicyProgram.OwnProgram own in part.Owns)
            {
                Span<byte> row = rows.Add();
                BinaryPrimitives.WriteUInt32BigEndian(row, program.NumberOf(part.Key));
                BinaryPrimitives.WriteUInt32BigEndian(row[half..], program.NumberOf(part.Key));
                AddressClasses.PutAddress(row[4..half], family, own.First);
                AddressClasses.PutAddress(row[(half + 4)..], family, own.Last);
                BitConverter.TryWriteBytes(row[(2 * half)..], MarkOf(own.Key, own.Table, hasOwns: false));
            }
        }

        if (rows.Count > 0)
        {
            ownMaps.Add((family, Interval($"own{(int)family}", key, rows)));
        }
    }

    private void BuildCellMaps()
    {
        ValueArray<NftType> portKey = [NftType.Mark, NftType.InetProto, NftType.InetService];
        NftElements.Builder ports = Builder(portKey, interval: false);
        NftElements.Builder protocols = Builder([NftType.Mark, NftType.InetProto], interval: false);
        NftElements.Builder any = Builder([NftType.Mark], interval: false);
        var ranges = new List<(uint Mark, byte Protocol, PortCell Cell)>();
        foreach ((uint mark, DecisionTable table) in tables.OrderBy(pair => pair.Key))
        {
            if (table.Other != Decision.Of(program.Fallback, 0))
            {
                Span<byte> row = any.Add();
                BitConverter.TryWriteBytes(row, mark);
                BitConverter.TryWriteBytes(row[4..], table.Other);
            }

            foreach (ProtocolDecision protocol in table.Protocols)
            {
                if (protocol.Decision != table.Other)
                {
                    Span<byte> row = protocols.Add();
                    BitConverter.TryWriteBytes(row, mark);
                    row[4] = protocol.Protocol;
                    BitConverter.TryWriteBytes(row[8..], protocol.Decision);
                }

                AddPorts(mark, protocol, ports, ranges);
            }
        }

        portMap = ports.Count == 0 ? null : Hash("port", portKey, ports);
        protocolMap = protocols.Count == 0 ? null : Hash("proto", [NftType.Mark, NftType.InetProto], protocols);
        anyMap = any.Count == 0 ? null : Hash("any", [NftType.Mark], any);
        BuildRangeMap(ranges);
    }

    private void AddPorts(
        uint mark, ProtocolDecision protocol, NftElements.Builder ports, List<(uint, byte, PortCell)> ranges)
    {
        foreach (PortCell cell in protocol.Cells)
        {
            if (IsRange(cell, settings))
            {
                ranges.Add((mark, protocol.Protocol, cell));
                continue;
            }

            for (int port = cell.Destination.First; port <= cell.Destination.Last; port++)
            {
                Span<byte> row = ports.Add();
                BitConverter.TryWriteBytes(row, mark);
                row[4] = protocol.Protocol;
                BinaryPrimitives.WriteUInt16BigEndian(row[8..], (ushort)port);
                BitConverter.TryWriteBytes(row[12..], cell.Decision);
            }
        }
    }

    private void BuildRangeMap(List<(uint Mark, byte Protocol, PortCell Cell)> ranges)
    {
        if (ranges.Count == 0)
        {
            return;
        }

        rangeHasSource = ranges.Exists(range => range.Cell.Source != PortRange.All);
        ValueArray<NftType> key = rangeHasSource
            ? [NftType.Mark, NftType.InetProto, NftType.InetService, NftType.InetService]
            : [NftType.Mark, NftType.InetProto, NftType.InetService];
        int half = NftSet.KeyLength(key);
        NftElements.Builder rows = Builder(key, interval: true);
        foreach ((uint mark, byte protocol, PortCell cell) in ranges)
        {
            Span<byte> row = rows.Add();
            PutBound(row, mark, protocol, cell.Destination.First, cell.Source.First);
            PutBound(row[half..], mark, protocol, cell.Destination.Last, cell.Source.Last);
            BitConverter.TryWriteBytes(row[(2 * half)..], cell.Decision);
        }

        rangeMap = Interval("range", key, rows);
    }

    private void PutBound(Span<byte> bound, uint mark, byte protocol, ushort destination, ushort source)
    {
        BinaryPrimitives.WriteUInt32BigEndian(bound, mark);
        bound[4] = protocol;
        BinaryPrimitives.WriteUInt16BigEndian(bound[8..], destination);
        if (rangeHasSource)
        {
            BinaryPrimitives.WriteUInt16BigEndian(bound[12..], source);
        }
    }

    private static NftElements.Builder Builder(ValueArray<NftType> key, bool interval) =>
        new(NftElements.RowLength(key, interval, NftSetKind.MarkMap));

    private NftSet Hash(string suffix, ValueArray<NftType> key, NftElements.Builder rows) => new(
        $"{name}_{suffix}", key, Interval: false, NftSetKind.MarkMap, Size: null, Counters: true, rows.Build());

    private NftSet Interval(string suffix, ValueArray<NftType> key, NftElements.Builder rows)
    {
        NftElements elements = rows.Build();
        return new NftSet(
            $"{name}_{suffix}_{ContentName(elements, [])}", key, Interval: true, NftSetKind.MarkMap, Size: null,
            Counters: true, elements);
    }

    /// <param name="elements">What it names.</param>
    /// <param name="key">Told apart as well; empty where there is one kind of key.</param>
    internal static string ContentName(NftElements elements, ValueArray<NftType> key)
    {
        byte[] bytes = new byte[elements.Count * elements.RowBytes + key.Count];
        for (int i = 0; i < elements.Count; i++)
        {
            elements[i].CopyTo(bytes.AsSpan(i * elements.RowBytes));
        }

        for (int i = 0; i < key.Count; i++)
        {
            bytes[^(i + 1)] = (byte)key[i];
        }

        return StableHash.Name(bytes);
    }
}
