using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Daemon.Enforcement;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Daemon.Counting;

/// <summary>Reads names of interfaces, sets, counters and packet marks in the policy's terms.</summary>
internal sealed class CountNames
{
    private readonly Dictionary<string, CountKey> objects = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Device, bool From, uint Mark), CountKey> rules = [];
    private readonly Dictionary<CountKey, EffectiveRule> known = [];
    private readonly ImmutableSortedDictionary<string, Vnic> vnics;
    private readonly CompiledRuleset? enforced;

    private CountNames(AgentState state)
    {
        (vnics, enforced) = (state.Desired.Vnics, state.Enforced);
        foreach (bool from in (bool[])[true, false])
        {
            objects.Add(Datapath.ClosedCounter(from), new CountKey(
                "", RuleHits.DirectionOf(from), CountKind.Drop, DropReason.Closed));
        }

        foreach (Vnic vnic in vnics.Values)
        {
            foreach (string kind in SpoofKind.All)
            {
                objects[VnicGuard.CounterName(vnic, kind)] =
                    new CountKey(vnic.Id, Direction.Egress, CountKind.Drop, SpoofReason(kind));
            }

            AddDrops(vnic, from: true, DropReason.From);
            AddDrops(vnic, from: false, DropReason.To);
        }

        foreach (string id in enforced?.CountedVnics ?? [])
        {
            Vnic vnic = enforced!.Request.Policy.Vnics[id];
            foreach (EffectiveRule rule in vnics.ContainsKey(id)
                ? enforced.RulesOf(vnic).Where(one => !one.Marks.IsEmpty) : [])
            {
                var key = new CountKey(id, rule.Direction, CountKind.Rule, rule.Key);
                known[key] = rule;
                foreach (uint mark in rule.Marks)
                {
                    rules[(vnic.InterfaceName, rule.Direction == Direction.Egress, mark)] = key;
                }
            }
        }
    }

    /// <summary>vNICs of the desired state, in the order of their ids.</summary>
    public IEnumerable<Vnic> Vnics => vnics.Values;

    /// <summary>Rules that are counted one by one.</summary>
    public IReadOnlyDictionary<CountKey, EffectiveRule> Rules => known;

    /// <summary>Rules that opted in and are not counted, because there are too many.</summary>
    public int UncountedRules => enforced?.UncountedRules ?? 0;

    /// <summary>Of a state; the earlier ones if nothing that they were made of has changed.</summary>
    public static CountNames Of(AgentState state, CountNames? earlier) =>
        earlier is not null && ReferenceEquals(earlier.vnics, state.Desired.Vnics)
        && ReferenceEquals(earlier.enforced, state.Enforced) ? earlier : new CountNames(state);

    public static string SpoofReason(string kind) => $"spoof_{kind}";

    /// <summary>All reasons in a direction, in the order in which they are looked at.</summary>
    public static IEnumerable<string> Reasons(Direction direction) => direction == Direction.Egress
        ? SpoofKind.All.Select(SpoofReason).Concat(DropReason.From) : DropReason.To;

    /// <returns>Null: not a counter of ours, or of a vNIC that is gone.</returns>
    public CountKey? OfObject(string name) => objects.TryGetValue(name, out CountKey key) ? key : null;

    /// <param name="device">The vNIC's interface.</param>
    /// <param name="from">Whether it sends.</param>
    /// <param name="mark">What the rule leaves in the packet mark.</param>
    /// <returns>Null: of a vNIC or a rule that is gone.</returns>
    public CountKey? OfHits(string device, bool from, uint mark) =>
        rules.TryGetValue((device, from, mark), out CountKey key) ? key : null;

    /// <summary>Whether a number is still somebody's.</summary>
    public bool Wants(CountKey key) => key.VnicId.Length == 0
        || (vnics.ContainsKey(key.VnicId) && (key.Kind != CountKind.Rule || known.ContainsKey(key)
            || (enforced is not null && enforced.Closed.Contains(key.VnicId))));

    /// <summary>Rows of a set that an operation adds or removes, as far as they count hits.</summary>
    public IEnumerable<(CountKey Key, CountPlace Place)> Places(NftFamily family, NftSet set, NftElements rows)
    {
        if (!RuleHits.IsSet(set.Name, out bool from))
        {
            yield break;
        }

        for (int i = 0; i < rows.Count; i++)
        {
            (string device, uint mark) = RuleHits.KeyOf(rows[i]);
            if (OfHits(device, from, mark) is { } key)
            {
                yield return (key, new CountPlace(family, device, mark));
            }
        }
    }

    private void AddDrops(Vnic vnic, bool from, IEnumerable<string> reasons)
    {
        foreach (string reason in reasons)
        {
            objects[DropCounters.Name(from, reason, vnic.InterfaceName)] =
                new CountKey(vnic.Id, RuleHits.DirectionOf(from), CountKind.Drop, reason);
        }
    }
}
