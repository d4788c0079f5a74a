using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>What a staged policy decides that is no rule of its own: numbers below those of rules.</summary>
internal static class StagedNumbers
{
    public static readonly ImmutableArray<(string Reason, uint Number)> Reasons =
        [(DropReason.Address, 1), (DropReason.Zone, 2), (DropReason.Host, 3), (DropReason.Closed, 4)];
}

/// <summary>What a staged policy would have done with packets that would open a session.</summary>
/// <param name="VnicId">The vNIC; null: counted over all of them, because there are too many to tell apart.</param>
/// <param name="Direction">The vNIC's direction.</param>
/// <param name="Verdict">What it would have done.</param>
/// <param name="DecidedBy">
/// "sg-web/sgr-1", "inner:sg-web", "metadata:...", "platform:...", "default", or a reason beside the rules: "address",
/// "zone", "host", "closed".
/// </param>
/// <param name="All">All that came, but for those with a packet mark of others.</param>
/// <param name="Passed">What the policy in force let pass; with any mark, since it takes them away.</param>
/// <param name="Opened">Sessions that these opened.</param>
public sealed record StagedCount(
    string? VnicId, Direction Direction, Verdict Verdict, string DecidedBy,
    PacketCount All, PacketCount Passed, ulong Opened);

/// <summary>
/// A policy that is looked at before it is enforced: tables of its own, which count what it would do, and do nothing.
/// </summary>
/// <remarks>
/// It judges by the maps that the same compilation gives the enforcing table. Left out are what is no rule's business
/// (state, guards, limits, idle times, which VPC has a zone) and sessions that are there already: those are read from
/// the kernel's table. That it does nothing is not taken from here: <c>Bystander</c> proves it of what was read back.
/// </remarks>
public sealed class StagedRuleset
{
    /// <summary>Counting elements that a staged policy may have: some 30 MB of the kernel's memory.</summary>
    public const int MaxCounters = 300_000;

    private const int SetsPerDirection = 3;

    private readonly Dictionary<(string Device, bool From, uint Decision), Meaning> meanings = [];

    private StagedRuleset(CompiledRuleset staged, PolicySnapshot live, int maxCounters)
    {
        CompileRequest request = staged.Request;
        Table = TableOf(request.Settings);
        string[] gone = Gone(request, live);
        Name(staged, live, gone);
        ByVnic = SetsPerDirection * meanings.Count <= maxCounters;
        NftFamily[] families = RulesetCompiler.Judges(request, NftFamily.Bridge)
            ? [NftFamily.Inet, NftFamily.Bridge] : [NftFamily.Inet];
        Ruleset = new Ruleset(families.Select(family => TableIn(family, staged, live, gone)).ToValueArray());
    }

    /// <summary>Name of a staged policy's tables.</summary>
    public static string TableOf(CompilerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return settings.Table + "_staged";
    }

    public string Table { get; }

    public Ruleset Ruleset { get; }

    /// <summary>Whether counts tell vNICs apart.</summary>
    public bool ByVnic { get; }

    /// <param name="staged">The policy that is looked at, compiled.</param>
    /// <param name="live">The policy that is in force: what it has and the other has not would be closed.</param>
    /// <param name="maxCounters">Counting elements; if more are needed, vNICs are not told apart.</param>
    public static StagedRuleset Of(CompiledRuleset staged, PolicySnapshot live, int maxCounters = MaxCounters)
    {
        ArgumentNullException.ThrowIfNull(staged);
        ArgumentNullException.ThrowIfNull(live);
        return new StagedRuleset(staged, live, maxCounters);
    }

    /// <summary>What was counted; without what never happened.</summary>
    /// <param name="read">The counters of a family's table.</param>
    /// <returns>Most packets first.</returns>
    public ImmutableArray<StagedCount> Counts(IReadOnlyList<CounterReadings> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        var found = new Dictionary<(string? Vnic, Direction, Verdict, string), StagedCount>();
        foreach (bool from in (bool[])[true, false])
        {
            Add(StagedChains.CountSet(StagedPhase.All, from), (row, count) => row with { All = Sum(row.All, count) });
            Add(StagedChains.CountSet(StagedPhase.Passed, from),
                (row, count) => row with { Passed = Sum(row.Passed, count) });
            Add(StagedChains.OpenedSet(from), (row, count) => row with { Opened = row.Opened + count.Packets });

            void Add(string set, Func<StagedCount, PacketCount, StagedCount> add)
            {
                foreach ((Meaning meaning, PacketCount count) in Readings(read, set, from))
                {
                    Direction way = from ? Direction.Egress : Direction.Ingress;
                    (string? Vnic, Direction, Verdict, string) key =
                        (meaning.VnicId, way, meaning.Verdict, meaning.DecidedBy);
                    found[key] = add(found.GetValueOrDefault(key) ?? new StagedCount(
                        meaning.VnicId, way, meaning.Verdict, meaning.DecidedBy, default, default, 0), count);
                }
            }
        }

        return
        [
            .. found.Values.OrderByDescending(row => row.All.Packets)
                .ThenBy(row => row.VnicId, StringComparer.Ordinal)
                .ThenBy(row => row.Direction)
                .ThenBy(row => row.DecidedBy, StringComparer.Ordinal),
        ];
    }

    /// <summary>Packets that the policy was not asked about, because others had marked them.</summary>
    public static PacketCount Marked(IReadOnlyList<CounterReadings> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        return read.Select(one => one.Objects.GetValueOrDefault(StagedChains.MarkedCounter)).Aggregate(Sum);
    }

    private static PacketCount Sum(PacketCount left, PacketCount right) =>
        new(left.Packets + right.Packets, left.Bytes + right.Bytes);

    private IEnumerable<(Meaning Meaning, PacketCount Count)> Readings(
        IReadOnlyList<CounterReadings> read, string set, bool from)
    {
        foreach (ElementReading reading in read.SelectMany(one => one.Sets.GetValueOrDefault(set) ?? []))
        {
            ReadOnlySpan<byte> key = reading.Key.Items.AsSpan();
            string device = ByVnic ? NftElements.GetName(key[..NftElements.InterfaceBytes]) : "";
            if (reading.Count.Packets > 0
                && meanings.TryGetValue((device, from, BitConverter.ToUInt32(key[^4..])), out Meaning? meaning))
            {
                yield return (meaning, reading.Count);
            }
        }
    }

    private sealed record Meaning(string? VnicId, Verdict Verdict, string DecidedBy);

    private static string[] Gone(CompileRequest request, PolicySnapshot live)
    {
        HashSet<string> named = [.. request.Policy.Vnics.Values.Select(vnic => vnic.InterfaceName)];
        return
        [
            .. live.Vnics.Values.Select(vnic => vnic.InterfaceName).Where(name => !named.Contains(name)
                && request.Settings.ManagedInterfaces.Any(pattern => pattern.EndsWith('*')
                    ? name.StartsWith(pattern[..^1], StringComparison.Ordinal) : name == pattern)),
        ];
    }

    private void Name(CompiledRuleset staged, PolicySnapshot live, string[] gone)
    {
        foreach (Vnic vnic in staged.Request.Policy.Vnics.Values)
        {
            foreach (bool from in (bool[])[true, false])
            {
                foreach ((uint decision, string name) in staged.Closed.Contains(vnic.Id)
                    ? Fixed() : Decisions(staged.Profiles[CompiledRuleset.ProfileOf(vnic)], from).Concat(Fixed()))
                {
                    Add(vnic, from, decision, name);
                }
            }
        }

        foreach (Vnic vnic in live.Vnics.Values.Where(vnic => gone.Contains(vnic.InterfaceName)))
        {
            foreach (bool from in (bool[])[true, false])
            {
                (string closed, uint number) = StagedNumbers.Reasons[^1];
                Add(vnic, from, Decision.Of(Verdict.Drop, number), closed);
            }
        }

        void Add(Vnic vnic, bool from, uint decision, string name)
        {
            Verdict verdict = Decision.Accepts(decision) ? Verdict.Accept : Verdict.Drop;
            meanings[(vnic.InterfaceName, from, decision)] = new Meaning(vnic.Id, verdict, name);
            // Where vNICs are not told apart. A rule has the same number in every profile, but for rare clashes.
            meanings.TryAdd(("", from, decision), new Meaning(null, verdict, name));
        }
    }

    private static IEnumerable<(uint Decision, string Name)> Fixed() =>
        StagedNumbers.Reasons.Select(one => (Decision.Of(Verdict.Drop, one.Number), one.Reason));

    private static IEnumerable<(uint Decision, string Name)> Decisions(CompiledProfile profile, bool from)
    {
        PolicyProgram program = from ? profile.Egress : profile.Ingress;
        Dictionary<string, uint> numbers = program.RuleKeys.ToDictionary(pair => pair.Value, pair => pair.Key);
        return (from ? profile.Source.Egress : profile.Source.Ingress)
            .Select(rule => (Decision.Of(rule.Verdict, numbers[rule.Key]), rule.Key))
            .Append((Decision.Of(program.Fallback, 0), DropReason.Default));
    }

    private NftTable TableIn(NftFamily family, CompiledRuleset staged, PolicySnapshot live, string[] gone)
    {
        CompileRequest request = staged.Request;
        PolicySnapshot policy = request.Policy;
        Layer layer = RulesetCompiler.LayerOf(request, family);
        uint[] marks =
        [
            0,
            .. policy.Vnics.Values.Concat(live.Vnics.Values).Where(_ => layer.Bridged)
                .Select(vnic => Decision.PassedFrom(AddressClasses.NameOf(vnic.VpcId))).Distinct().Order(),
        ];
        List<NftChain> chains = [.. staged.Classes.Values.SelectMany(classes => classes.Chains())];
        List<NftSet> sets = [.. staged.Classes.Values.SelectMany(classes => classes.Maps())];
        foreach (IGrouping<string, Vnic> profile in policy.Vnics.Values
            .Where(vnic => !staged.Closed.Contains(vnic.Id)).GroupBy(CompiledRuleset.ProfileOf))
        {
            CompiledProfile compiled = staged.Profiles[profile.Key];
            sets.AddRange(compiled.Sets.Select(set => set with { Counters = false }));
            foreach ((string name, PolicyProgram program) in
                ((string, PolicyProgram)[])[("in", compiled.Ingress), ("out", compiled.Egress)])
            {
                string judge = $"{profile.Key}_{name}";
                string cells = PolicyEmitter.CellChain(judge);
                chains.AddRange(compiled.Chains.Where(chain => chain.Name == judge || chain.Name == cells)
                    .Select(chain => Judging(chain, cells, program)));
                chains.AddRange(compiled.Chains.Where(chain =>
                    chain.Name.StartsWith($"{judge}_run", StringComparison.Ordinal)));
            }

            sets.AddRange(profile.SelectMany(
                vnic => new VnicChains(vnic, request.Settings, request.Host).Sets));
        }

        foreach (StagedPhase phase in (StagedPhase[])[StagedPhase.All, StagedPhase.Passed])
        {
            var its = new StagedChains(staged, new StagedPlace(phase, layer, marks, ByVnic));
            chains.AddRange(its.Chains());
            sets.AddRange(its.Maps(gone));
        }

        sets.Add(Datapath.InterfaceSet(StagedChains.EndSet, policy.Vnics.Values.Select(vnic => vnic.InterfaceName)
            .Concat(policy.Vpcs.Values.SelectMany(vpc => vpc.UplinkInterfaces))));
        sets.AddRange(CountSets());
        return new NftTable(family, Table,
            chains.Select(chain => RulesetCompiler.Shaped(family, chain))
                .OrderBy(chain => chain.Name, StringComparer.Ordinal).ToValueArray(),
            sets.OrderBy(set => set.Name, StringComparer.Ordinal).ToValueArray(),
            [new NftObject.Counter(StagedChains.MarkedCounter)]);
    }

    // A chain that judges, as the enforcing table has it, but its end is a decision in the mark and no more: where that
    // one drops, this one comes back to its caller.
    private static NftChain Judging(NftChain chain, string cells, PolicyProgram program)
    {
        bool goesOn = IsGoto(chain.Rules[^1], cells);
        return chain with
        {
            Rules =
            [
                .. chain.Rules.Take(chain.Rules.Count - 1).Select(rule =>
                    rule.Exprs[^1] is NftExpr.VerdictIs { Verdict.Code: NftVerdictCode.Goto } && !IsGoto(rule, cells)
                        ? rule with { Exprs = [.. rule.Exprs.Take(rule.Exprs.Count - 1), .. Exprs.Return()] } : rule),
                goesOn ? chain.Rules[^1]
                    : Exprs.CommentedRule("default", Exprs.MarkSet(Decision.Of(program.Fallback, 0))),
            ],
        };
    }

    private static bool IsGoto(NftRule rule, string chain) => rule.Exprs[^1] is NftExpr.VerdictIs
    {
        Verdict: { Code: NftVerdictCode.Goto, Chain: string to },
    } && to == chain;

    private IEnumerable<NftSet> CountSets()
    {
        ValueArray<NftType> key = ByVnic ? [NftType.IfName, NftType.Mark] : [NftType.Mark];
        foreach (bool from in (bool[])[true, false])
        {
            var rows = new NftElements.Builder(NftElements.RowLength(key, interval: false, NftSetKind.Set));
            foreach ((string device, _, uint decision) in meanings.Keys
                .Where(label => label.From == from && (label.Device.Length > 0) == ByVnic))
            {
                Span<byte> row = rows.Add();
                if (ByVnic)
                {
                    NftElements.PutName(row[..NftElements.InterfaceBytes], device);
                }

                BitConverter.TryWriteBytes(row[^4..], decision);
            }

            NftElements elements = rows.Build();
            foreach (string name in (string[])
                [
                    StagedChains.CountSet(StagedPhase.All, from), StagedChains.CountSet(StagedPhase.Passed, from),
                    StagedChains.OpenedSet(from),
                ])
            {
                yield return new NftSet(
                    name, key, Interval: false, NftSetKind.Set, Size: null, Counters: true, elements);
            }
        }
    }
}
