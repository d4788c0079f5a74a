using System.Collections.Immutable;
using System.Globalization;
using Agent.Evaluator.Proof;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Guards;

/// <summary>What proofs of guards may take from those before. Not for concurrent use.</summary>
internal sealed class GuardCache
{
    private const int SizeMax = 400_000;

    private readonly Dictionary<string, (Vnic Vnic, GuardUses Uses, VnicProof? Fault)> proofs =
        new(StringComparer.Ordinal);

    public FrameDiagrams Diagrams { get; private set; } = new();

    public GuardOutcomes Outcomes { get; private set; } = new();

    public void Begin()
    {
        if (Diagrams.Size > SizeMax || proofs.Count > 65_536)
        {
            Diagrams = new FrameDiagrams();
            Outcomes = new GuardOutcomes();
            proofs.Clear();
        }
    }

    public bool TryGet(Vnic vnic, string bases, IReadOnlyDictionary<string, GuardTable> tables, out VnicProof? fault)
    {
        fault = null;
        if (proofs.TryGetValue($"{vnic.Id} {bases}", out var known) && IsSame(known.Vnic, vnic)
            && known.Uses.AreIn(tables))
        {
            fault = known.Fault;
            return true;
        }

        return false;
    }

    public void Put(Vnic vnic, string bases, GuardUses uses, VnicProof? fault) =>
        proofs[$"{vnic.Id} {bases}"] = (vnic, uses, fault);

    private static bool IsSame(Vnic one, Vnic other) => ReferenceEquals(one, other)
        || (one.InterfaceName == other.InterfaceName && one.Mac == other.Mac
            && one.SourceDestinationCheck == other.SourceDestinationCheck
            && one.Addresses.AsSpan().SequenceEqual(other.Addresses.AsSpan())
            && one.DelegatedPrefixes.AsSpan().SequenceEqual(other.DelegatedPrefixes.AsSpan()));
}

/// <summary>What becomes of frames of a shape, and what should; leaves are outcomes.</summary>
internal sealed record GuardFunctions(FrameFields Fields, FrameDiagram Observed, FrameDiagram Expected);

/// <summary>
/// Proves that what a ruleset does at the ingress of a vNIC's device is, for every frame that its guest may send, what
/// <see cref="GuardOracle"/> says: it passes and nothing counts it, or it is dropped and counted by its kind, and its
/// packet mark is left alone.
/// </summary>
/// <remarks>
/// For each <see cref="FrameShape"/>, the guard and the specification become two functions of the bytes that either of
/// them asks for; equal ones are one diagram. A difference is one frame, which both judges of single frames must
/// confirm.
/// </remarks>
internal sealed class GuardProofs
{
    /// <summary>Frames that are tried before a difference counts as not confirmed.</summary>
    private const int FramesMax = 64;

    private readonly Ruleset ruleset;
    private readonly GuardCache cache;
    private readonly Dictionary<string, GuardTable> tables;
    private readonly ILookup<string, (NftTable Table, NftChain Chain)> bases;

    public GuardProofs(Ruleset ruleset, GuardCache cache)
    {
        this.ruleset = ruleset;
        this.cache = cache;
        cache.Begin();
        NftTable[] netdev = [.. ruleset.Tables.Where(table => table.Family == NftFamily.Netdev)];
        tables = netdev.ToDictionary(table => table.Name, table => new GuardTable(table), StringComparer.Ordinal);
        bases = netdev.SelectMany(table => table.Chains.Where(chain => chain.Hook is not null),
                (table, chain) => (Table: table, Chain: chain))
            .ToLookup(at => at.Chain.Hook!.Device ?? "", StringComparer.Ordinal);
    }

    /// <returns>Null: as it should be.</returns>
    public VnicProof? Check(Vnic vnic)
    {
        (NftTable Table, NftChain Chain)[] here = BasesOf(vnic);
        if (Array.Find(here, at => at.Chain.Hook is not { Hook: NftHook.Ingress, Unexpected: null }).Chain is { } other)
        {
            return new VnicProof.Unknown(
                $"{vnic.InterfaceName}: chain {other.Name} stands at another hook than ingress");
        }

        string names = string.Join(
            ' ', here.Select(at => $"{at.Table.Name} {at.Chain.Name} {at.Chain.Hook!.Priority}"));
        if (cache.TryGet(vnic, names, tables, out VnicProof? fault))
        {
            return fault;
        }

        var uses = new GuardUses();
        (GuardTable, string)[] chains = [.. here.Select(at => (tables[at.Table.Name], at.Chain.Name))];
        var expectation = new GuardExpectation(vnic);
        VnicProof? unknown = null;
        foreach (FrameShape shape in FrameShape.All)
        {
            VnicProof? found = Check(vnic, chains, expectation, shape, uses);
            fault ??= found as VnicProof.Refuted;
            unknown ??= found;
        }

        fault ??= unknown;
        cache.Put(vnic, names, uses, fault);
        return fault;
    }

    private VnicProof? Check(
        Vnic vnic, (GuardTable, string)[] chains, GuardExpectation expectation, FrameShape shape, GuardUses uses)
    {
        try
        {
            return FunctionsOf(vnic, chains, expectation, shape, uses) is not { } both || both.Observed == both.Expected
                ? null : Explain(vnic, shape, both.Fields, both.Observed, both.Expected);
        }
        catch (TooManyKindsException many)
        {
            return new VnicProof.Unknown($"{vnic.InterfaceName}, {shape}: {many.Message}");
        }
    }

    /// <summary>The two functions for frames of a shape, for tests.</summary>
    internal GuardFunctions? FunctionsOf(Vnic vnic, FrameShape shape) => FunctionsOf(
        vnic, [.. BasesOf(vnic).Select(at => (tables[at.Table.Name], at.Chain.Name))], new GuardExpectation(vnic),
        shape, new GuardUses());

    private (NftTable Table, NftChain Chain)[] BasesOf(Vnic vnic) => [.. bases[vnic.InterfaceName]
        .OrderBy(at => at.Chain.Hook!.Priority)
        .ThenBy(at => at.Table.Name, StringComparer.Ordinal).ThenBy(at => at.Chain.Name, StringComparer.Ordinal)];

    /// <returns>Null: there are no such frames.</returns>
    private GuardFunctions? FunctionsOf(
        Vnic vnic, (GuardTable, string)[] chains, GuardExpectation expectation, FrameShape shape, GuardUses uses)
    {
        var run = new GuardRun(chains, shape, vnic.InterfaceName, uses, cache.Diagrams, cache.Outcomes)
        {
            KindOf = counter => CountedAs(vnic.InterfaceName, counter),
        };
        ImmutableArray<FrameClause> clauses = expectation.Of(shape);
        var fields = new FrameFields([.. run.Tests(), .. clauses.SelectMany(clause => clause.When.Tests())], shape);
        return fields.IsEmpty ? null : new GuardFunctions(
            fields, run.Of(fields), Expected(clauses, fields));
    }

    private FrameDiagram Expected(ImmutableArray<FrameClause> clauses, FrameFields fields)
    {
        FrameDiagram result = Leaf(null);
        foreach (FrameClause clause in clauses.Reverse())
        {
            result = clause.When.Choose(
                (test, then, otherwise) => GuardRun.Where(fields, cache.Diagrams, test, then, otherwise),
                Leaf(clause.Fault), result);
        }

        return result;
    }

    private FrameDiagram Leaf(FrameFault? fault) => FrameDiagrams.Leaf(cache.Outcomes.Of(OutcomeOf(fault)));

    // The interface's part of a counter's name is no part of the outcome: all guards are one function.
    private static GuardOutcome OutcomeOf(FrameFault? fault) =>
        new(Accepted: fault is null, fault is { } kind ? $"{FrameFaults.PrefixOf(kind)} " : "");

    private static string CountedAs(string interfaceName, string counter)
    {
        foreach (FrameFault fault in Enum.GetValues<FrameFault>())
        {
            string prefix = FrameFaults.PrefixOf(fault);
            if (counter.StartsWith(prefix, StringComparison.Ordinal)
                && CounterNames.IsOf(interfaceName, counter.AsSpan(prefix.Length)))
            {
                return prefix;
            }
        }

        return $"other: {counter}";
    }

    private VnicProof? Explain(
        Vnic vnic, FrameShape shape, FrameFields fields, FrameDiagram observed, FrameDiagram expected)
    {
        FrameDiagram difference = Existing(shape, fields, cache.Diagrams.Difference(observed, expected));
        string? unknown = null;
        string? unconfirmed = null;
        foreach (IReadOnlyList<(int Field, int Class)> path in
            cache.Diagrams.PathsTo(difference, 1).Take(FramesMax))
        {
            FrameSample sample = FrameSample.Of(vnic, shape, fields, path);
            GuardOutcome outcome = cache.Outcomes[cache.Diagrams.At(observed, field => sample.Classes[field])];
            if (outcome.Unknown is not null)
            {
                unknown ??= $"cannot verify: {outcome.Unknown}";
                continue;
            }

            (Counterexample? example, string? disagreement) =
                FrameConfirmation.Of(ruleset, vnic, shape, sample.Bytes);
            if (example is not null)
            {
                return new VnicProof.Refuted(example);
            }

            unconfirmed ??= disagreement;
        }

        string? reason = unknown ?? unconfirmed;
        return reason is null ? null : new VnicProof.Unknown(string.Create(
            CultureInfo.InvariantCulture, $"guard of {vnic.InterfaceName}, {shape}: {reason}"));
    }

    // Without frames that are shorter than their IPv6 header says: those are of another shape.
    private FrameDiagram Existing(FrameShape shape, FrameFields fields, FrameDiagram difference)
    {
        if (!shape.HasPayloadLength || fields.FieldOf(FrameFields.PayloadLength) is not int payload
            || fields.SliceOf(payload) != FrameFields.PayloadLength)
        {
            return difference;
        }

        int size = fields.FieldOf(FrameShape.SizeSlice)!.Value;
        FrameDiagram result = difference;
        for (int one = 0; one < fields.ClassesOf(payload); one++)
        {
            UInt128 least = fields.ValuesOf(payload, one)[0].First + FrameShape.Ipv6Bytes;
            ulong fitting = 0;
            for (int other = 0; other < fields.ClassesOf(size); other++)
            {
                fitting |= fields.ValuesOf(size, other)[^1].Last >= least ? 1ul << other : 0;
            }

            FrameDiagram fits = cache.Diagrams.Where(
                size, fields.ClassesOf(size), fitting, result, FrameDiagrams.Leaf(0));
            result = cache.Diagrams.Where(payload, fields.ClassesOf(payload), 1ul << one, fits, result);
        }

        return result;
    }
}
