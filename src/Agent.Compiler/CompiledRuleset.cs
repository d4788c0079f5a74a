using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>A ruleset, and how to read it in the policy's terms.</summary>
public sealed class CompiledRuleset
{
    internal CompiledRuleset(
        CompileRequest request,
        Ruleset ruleset,
        IReadOnlyDictionary<string, CompiledProfile> profiles,
        IReadOnlyDictionary<string, AddressClasses> classes,
        IReadOnlyDictionary<string, VnicGuard> guards,
        DropCounters drops)
    {
        Request = request with { Previous = null }; // or every result would keep all before it alive
        Ruleset = ruleset;
        Profiles = profiles;
        Classes = classes;
        Guards = guards;
        Drops = drops;
    }

    public CompileRequest Request { get; }

    public Ruleset Ruleset { get; }

    /// <summary>vNICs (by id) that do not enforce the request's policy, and why.</summary>
    public required ImmutableSortedDictionary<string, string> Failed { get; init; }

    /// <summary>Those of <see cref="Failed"/> that are closed both ways; the others keep older rules.</summary>
    public required ImmutableHashSet<string> Closed { get; init; }

    /// <summary>Conntrack zones of the listed VPCs, by VPC id.</summary>
    public required ImmutableSortedDictionary<string, ushort> Zones { get; init; }

    /// <summary>vNICs (by id) whose rules are counted one by one.</summary>
    public ImmutableSortedSet<string> CountedVnics { get; init; } =
        ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    /// <summary>Rules that opted in and are not counted, because of <see cref="CompilerSettings.MaxRuleHits"/>.
    /// </summary>
    public int UncountedRules { get; init; }

    /// <summary>For the next compilation; null: it has to do without.</summary>
    internal CompilerMemo? Memo { get; init; }

    /// <summary>What counts drops.</summary>
    internal DropCounters Drops { get; }

    /// <summary>vNICs (by id) without a guard: no such device yet, or the kernel refused something of theirs.</summary>
    public ImmutableHashSet<string> Unguarded => [.. Request.Policy.Vnics.Keys.Where(id => !Guards.ContainsKey(id))];

    /// <summary>
    /// Bits of the packet mark by which a hook tells a later one that a sender was judged; 0: there is no later one.
    /// </summary>
    public uint PassedBits => Request.Host.Bridge == BridgeLayer.Open ? Decision.Passed : 0;

    /// <summary>Packet marks by which a hook tells a later one something else.</summary>
    public ImmutableHashSet<uint> HookMarks => Request.Host.Bridge == BridgeLayer.Open
        ? [Decision.HostAnswer, Decision.HostUnserved] : [];

    /// <summary>Per profile name; closed profiles are not in it.</summary>
    internal IReadOnlyDictionary<string, CompiledProfile> Profiles { get; }

    /// <summary>Per VPC id.</summary>
    internal IReadOnlyDictionary<string, AddressClasses> Classes { get; }

    /// <summary>Per vNIC id; only of devices that can be guarded.</summary>
    internal IReadOnlyDictionary<string, VnicGuard> Guards { get; }

    /// <summary>The profile that a vNIC's objects belong to: their names begin with it.</summary>
    public static string ProfileOf(Vnic vnic) => Profile.Of(vnic).Name;

    /// <summary>The policy that a profile's rules come from; null if it has none, or is closed.</summary>
    public PolicySnapshot? PolicyBehind(string profile) => Profiles.GetValueOrDefault(profile)?.Source.Policy;

    /// <summary>The same policy under another epoch: only the fixed chains name it.</summary>
    public CompiledRuleset WithEpoch(uint epoch)
    {
        CompileRequest request = Request with { Epoch = epoch };
        Dictionary<NftFamily, FixedChains> renewed = Ruleset.Tables.Select(table => table.Family)
            .Where(family => RulesetCompiler.Judges(request, family))
            .ToDictionary(
                family => family, family => FixedChains.Of(request, family, Memo?.Fixed.GetValueOrDefault(family)));
        var tables = Ruleset.Tables.Select(table => !renewed.TryGetValue(table.Family, out FixedChains? chains) ? table
            : table with { Chains = ValueArray.Create<NftChain>(chains.Renewed(table.Chains)) });
        return new CompiledRuleset(request, new Ruleset(tables.ToValueArray()), Profiles, Classes, Guards, Drops)
        {
            Failed = Failed,
            Closed = Closed,
            Zones = Zones,
            CountedVnics = CountedVnics,
            UncountedRules = UncountedRules,
            Memo = Memo is null ? null : Memo with { Fixed = renewed },
        };
    }

    /// <summary>A vNIC's rules, egress first, in the order in which they are looked at; none if it is closed.</summary>
    internal IEnumerable<EffectiveRule> RulesOf(Vnic vnic) =>
        Closed.Contains(vnic.Id) || !Profiles.TryGetValue(ProfileOf(vnic), out CompiledProfile? profile) ? []
            : RuleHits.Of(profile, Direction.Egress).Concat(RuleHits.Of(profile, Direction.Ingress));

    /// <summary>Whose object this is, by the names that the compiler gives: a profile, a vNIC, or neither.</summary>
    /// <returns>Profile name, or vNIC id; both null for what all share.</returns>
    public (string? Profile, string? VnicId) OwnerOf(string objectName)
    {
        ArgumentNullException.ThrowIfNull(objectName);
        if (objectName.StartsWith("p_", StringComparison.Ordinal) && objectName.Length >= Profile.NameLength)
        {
            return (objectName[..Profile.NameLength], null);
        }

        foreach (Vnic vnic in Request.Policy.Vnics.Values)
        {
            string name = Names.OfInterface(vnic.InterfaceName);
            if (VnicChains.Owns(name, objectName) || VnicGuard.Owns(vnic, objectName))
            {
                return (null, vnic.Id);
            }
        }

        return (null, null);
    }

    /// <summary>Whether a packet mark is a decision, and not a class of addresses or somebody else's.</summary>
    public static bool IsDecided(uint mark) => Decision.IsDecided(mark);

    /// <summary>
    /// The rule behind a decision that a drop record or an element carries: "sg-web/sgr-1", or "default".
    /// </summary>
    public string? RuleOf(string profile, Direction direction, uint mark)
    {
        if (!Decision.IsDecided(mark) || !Profiles.TryGetValue(profile, out CompiledProfile? pair))
        {
            return null;
        }

        uint number = mark & (Decision.NumberLimit - 1);
        PolicyProgram program = direction == Direction.Ingress ? pair.Ingress : pair.Egress;
        return number == 0 ? "default" : program.RuleKeys.GetValueOrDefault(number);
    }
}
