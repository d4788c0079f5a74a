using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>A row of the list that decides for a vNIC, in the order in which rows are looked at.</summary>
/// <param name="Direction">The vNIC's direction.</param>
/// <param name="Key">
/// "sg-web/sgr-1", "inner:sg-web", "metadata:...", "platform:..."; "default" for the last one.
/// </param>
/// <param name="Verdict">What it decides.</param>
/// <param name="Marks">Packet marks that say that it decided; none: drops by default are counted elsewhere.</param>
internal sealed record EffectiveRule(Direction Direction, string Key, Verdict Verdict, ImmutableArray<uint> Marks);

/// <summary>
/// Counts packets by the rule that decided, for vNICs that opted in: two hash sets of (interface . packet mark), whose
/// elements count.
/// </summary>
/// <remarks>
/// <code>
/// vnic_X_out: jump to the judgement; back from it: ct direction original, iifname . mark @hits_out
/// vnic_X_in:  likewise                                                   oifname . mark @hits_in
/// drop_from_rule, drop_to_rule:                                          the same lookup, before the drop
/// </code>
/// The lookups end no rule with a verdict: whatever they find, the packet goes on. They are on the slow path only, so
/// a packet of a live session pays nothing; nor does a packet of a vNIC that did not opt in, but for one lookup before
/// it is dropped by a rule. A rule is hit by what it decides: packets that open a session, packets that it drops, and
/// after a change that took something away the next packet of each live session. Drops by default are counted per vNIC
/// anyway (<see cref="DropReason.Default"/>); an accept by default leaves the policy class in the mark, and each class
/// has an element. Elements of one vNIC are its own: a change of a rule touches that rule's alone.
/// </remarks>
internal static class RuleHits
{
    /// <summary>Stands for every vNIC in <see cref="CompilerSettings.RuleHits"/>.</summary>
    public const string All = "all";

    public const string Default = "default";

    /// <summary>An interface's name, and a packet mark.</summary>
    public const int KeyBytes = NftElements.InterfaceBytes + sizeof(uint);

    /// <summary>Counts at the sender, or at the receiver.</summary>
    public static string SetName(bool from) => from ? "hits_out" : "hits_in";

    /// <summary>Behind the judgement of a vNIC that opted in.</summary>
    public static IEnumerable<NftRule> Judged(bool from, bool counted) => !counted ? [] :
        [Exprs.Rule(Exprs.CtDirection(reply: false), Exprs.Counted(from, SetName(from), byInterface: true))];

    /// <summary>Before a drop that a rule decided.</summary>
    public static IEnumerable<NftRule> Dropped(bool from, CompilerSettings settings) => settings.RuleHits.IsEmpty ? []
        : [Exprs.Rule(Exprs.Counted(from, SetName(from), byInterface: true))];

    /// <summary>The vNICs whose rules are counted, in the order of their ids, as far as the limit reaches.</summary>
    /// <param name="policy">The desired state.</param>
    /// <param name="settings">Who opted in, and the limit.</param>
    /// <param name="rulesOf">A vNIC's rules; empty if it is closed.</param>
    /// <param name="cut">Rules that are not counted because of the limit.</param>
    public static ImmutableSortedSet<string> Chosen(
        PolicySnapshot policy, CompilerSettings settings, Func<Vnic, IEnumerable<EffectiveRule>> rulesOf, out int cut)
    {
        ImmutableSortedSet<string>.Builder chosen =
            ImmutableSortedSet.CreateBuilder<string>(StringComparer.Ordinal);
        int room = settings.MaxRuleHits;
        cut = 0;
        foreach (Vnic vnic in policy.Vnics.Values.Where(vnic => OptsIn(vnic, settings)))
        {
            EffectiveRule[] rules = [.. rulesOf(vnic)];
            int elements = rules.Sum(rule => rule.Marks.Length);
            if (elements > room)
            {
                cut += rules.Length;
                continue;
            }

            room -= elements;
            chosen.Add(vnic.Id);
        }

        return chosen.ToImmutable();
    }

    /// <summary>The two sets; none if nobody may opt in.</summary>
    public static IEnumerable<NftSet> Sets(
        CompilerSettings settings, IEnumerable<Vnic> counted, Func<Vnic, IEnumerable<EffectiveRule>> rulesOf)
    {
        if (settings.RuleHits.IsEmpty)
        {
            yield break;
        }

        ValueArray<NftType> key = [NftType.IfName, NftType.Mark];
        Vnic[] vnics = [.. counted];
        foreach (bool from in (bool[])[true, false])
        {
            var rows = new NftElements.Builder(NftElements.RowLength(key, interval: false, NftSetKind.Set));
            foreach (Vnic vnic in vnics)
            {
                foreach (uint mark in rulesOf(vnic).Where(rule => rule.Direction == DirectionOf(from))
                    .SelectMany(rule => rule.Marks))
                {
                    Span<byte> row = rows.Add();
                    NftElements.PutName(row[..NftElements.InterfaceBytes], vnic.InterfaceName);
                    BitConverter.TryWriteBytes(row[NftElements.InterfaceBytes..], mark);
                }
            }

            yield return new NftSet(
                SetName(from), key, Interval: false, NftSetKind.Set, Size: null, Counters: true, rows.Build());
        }
    }

    /// <summary>Whether a set is one of the two, and of which side.</summary>
    public static bool IsSet(string set, out bool from)
    {
        from = set == SetName(from: true);
        return from || set == SetName(from: false);
    }

    /// <summary>Reads the key of an element that counts.</summary>
    public static (string Device, uint Mark) KeyOf(ReadOnlySpan<byte> key) => (
        NftElements.GetName(key[..NftElements.InterfaceBytes]),
        BitConverter.ToUInt32(key[NftElements.InterfaceBytes..]));

    public static Direction DirectionOf(bool from) => from ? Direction.Egress : Direction.Ingress;

    /// <summary>A profile's rows in one direction, in the order in which they are looked at.</summary>
    public static IEnumerable<EffectiveRule> Of(CompiledProfile profile, Direction direction)
    {
        PolicyProgram program = direction == Direction.Egress ? profile.Egress : profile.Ingress;
        Dictionary<string, uint> numbers = program.RuleKeys.ToDictionary(
            pair => pair.Value, pair => pair.Key, StringComparer.Ordinal);
        foreach (RankedRule rule in direction == Direction.Egress ? profile.Source.Egress : profile.Source.Ingress)
        {
            yield return new EffectiveRule(
                direction, rule.Key, rule.Verdict, [Decision.Of(rule.Verdict, numbers[rule.Key])]);
        }

        yield return new EffectiveRule(direction, Default, program.Fallback,
            program.Fallback == Verdict.Accept ? [Decision.Of(Verdict.Accept, 0), .. program.ClassNumbers] : []);
    }

    private static bool OptsIn(Vnic vnic, CompilerSettings settings) => settings.RuleHits.Any(
        name => name == All || name == vnic.Id || vnic.GroupIds.Contains(name));
}
