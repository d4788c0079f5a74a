using System.Collections.Immutable;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;
using Agent.Policy;

namespace Agent.Evaluator.Differences;

/// <summary>A line, and the vNICs of which it is true.</summary>
/// <param name="Vnics">Ids, ascending.</param>
/// <param name="Line">What changes.</param>
internal sealed record ChangedTraffic(ImmutableArray<string> Vnics, DifferenceLine Line);

/// <summary>
/// The packets whose verdict differs between two policies, all of them, as few lines as can be found.
/// </summary>
/// <remarks>
/// A verdict is <see cref="PolicyOracle.Judge"/>'s, without trusted marks; a vNIC that a policy does not have drops
/// everything. Left out are packets from the unspecified address (a guest without an address yet): the datapath lets
/// that infrastructure pass whatever the policy says. vNICs of the same groups are compared once.
/// </remarks>
internal sealed class PolicyDifference
{
    private static readonly IpFamily[] Families = [IpFamily.V4, IpFamily.V6];

    private readonly PolicyForms forms = new();
    private readonly PolicyOracle before;
    private readonly PolicyOracle after;
    private readonly ChangedInputs changed;
    private readonly Dictionary<(bool After, string Groups, Direction, IpFamily), PolicyForm> known = [];
    private readonly Dictionary<(AddressTermKind, string, IpFamily), AddressTerm[]> terms = [];

    private PolicyDifference(PolicySnapshot before, PolicySnapshot after, PolicySettings settings)
    {
        this.before = new PolicyOracle(before, settings);
        this.after = new PolicyOracle(after, settings);
        changed = new ChangedInputs(this.before, this.after);
    }

    /// <summary>Lines of many vNICs first; of the same vNICs together, what is taken away first.</summary>
    public static ImmutableArray<ChangedTraffic> Between(
        PolicySnapshot before, PolicySnapshot after, PolicySettings settings)
    {
        var difference = new PolicyDifference(before, after, settings);
        var lines = new Dictionary<string, (DifferenceLine Line, List<string> Vnics)>(StringComparer.Ordinal);
        foreach ((string[] vnics, IEnumerable<DifferenceLine> changes) in difference.Alike())
        {
            foreach (DifferenceLine line in Joined(changes))
            {
                if (!lines.TryGetValue(line.Key, out (DifferenceLine, List<string> Vnics) entry))
                {
                    lines.Add(line.Key, entry = (line, []));
                }

                entry.Vnics.AddRange(vnics);
            }
        }

        return [.. lines.Values
            .Select(entry => new ChangedTraffic([.. entry.Vnics.Order(StringComparer.Ordinal)], entry.Line))
            .OrderByDescending(change => change.Vnics.Length)
            .ThenBy(change => string.Join(',', change.Vnics), StringComparer.Ordinal)
            .ThenBy(change => change.Line.Before)
            .ThenBy(change => change.Line.Direction)
            .ThenBy(change => change.Line.Traffic, StringComparer.Ordinal)];
    }

    // vNICs between which nothing tells apart that a line could say.
    private IEnumerable<(string[] Vnics, IEnumerable<DifferenceLine> Lines)> Alike()
    {
        var alike = new Dictionary<string, List<(string Id, Vnic? Before, Vnic? After)>>(StringComparer.Ordinal);
        foreach (string id in before.Snapshot.Vnics.Keys.Union(after.Snapshot.Vnics.Keys))
        {
            Vnic? was = before.Snapshot.Vnics.GetValueOrDefault(id);
            Vnic? now = after.Snapshot.Vnics.GetValueOrDefault(id);
            bool sameOwn = was is not null && now is not null && SameOwn(was, now);
            if (sameOwn && GroupsOf(was!) == GroupsOf(now!) && !now!.GroupIds.Any(changed.Group))
            {
                continue;
            }

            bool alone = (was is not null && now is not null && !sameOwn)
                || AsksOwn(before, was) || AsksOwn(after, now);
            string key = alone ? $"vnic {id}"
                : $"{Shape(was)} then {Shape(now)} {HasV4(was ?? now!)}";
            if (!alike.TryGetValue(key, out List<(string, Vnic?, Vnic?)>? same))
            {
                alike.Add(key, same = []);
            }

            same.Add((id, was, now));
        }

        foreach (List<(string Id, Vnic? Before, Vnic? After)> same in alike.Values)
        {
            yield return ([.. same.Select(one => one.Id)], Lines(same[0].Before, same[0].After));
        }
    }

    private IEnumerable<DifferenceLine> Lines(Vnic? was, Vnic? now)
    {
        foreach (Direction direction in (Direction[])[Direction.Ingress, Direction.Egress])
        {
            foreach (IpFamily family in Families)
            {
                VnicSide one = SideOf(isAfter: false, was, direction, family);
                VnicSide other = SideOf(isAfter: true, now, direction, family);
                var names = new AddressNames(family, Vocabulary(one, other, family));
                foreach (DifferenceLine line in FormLines.Of(forms.Diagrams, one, other, direction, family, names))
                {
                    yield return line;
                }
            }
        }
    }

    private VnicSide SideOf(bool isAfter, Vnic? vnic, Direction direction, IpFamily family)
    {
        if (vnic is null)
        {
            return VnicSide.None;
        }

        (bool, string, Direction, IpFamily) key = (isAfter, GroupsOf(vnic), direction, family);
        if (!known.TryGetValue(key, out PolicyForm? form))
        {
            known.Add(key, form = forms.Of(isAfter ? after : before, vnic, direction, family));
        }

        return new VnicSide(form, PolicyOracle.OwnAddressesOf(vnic, family));
    }

    private IEnumerable<AddressTerm> Vocabulary(VnicSide one, VnicSide other, IpFamily family) =>
        (one.Form?.Rows ?? []).Concat(other.Form?.Rows ?? []).Select(row => row.Remote).Distinct()
            .SelectMany(remote => remote switch
            {
                RemoteSide.Group { Id: var id } => Terms(
                    AddressTermKind.Group, id, family, o => o.MembersOf(id), o => o.Snapshot.Groups.ContainsKey(id)),
                RemoteSide.List { Id: var id } => Terms(
                    AddressTermKind.List, id, family, o => o.EntriesOf(id),
                    o => o.Snapshot.PrefixLists.ContainsKey(id)),
                _ => [],
            });

    private AddressTerm[] Terms(
        AddressTermKind kind, string id, IpFamily family, Func<PolicyOracle, Addresses> addresses,
        Func<PolicyOracle, bool> has)
    {
        if (!terms.TryGetValue((kind, id, family), out AddressTerm[]? found))
        {
            AddressSet was = addresses(before).Of(family);
            AddressSet now = addresses(after).Of(family);
            found = was.SameAs(now) || !has(before) || !has(after)
                ? [new AddressTerm(kind, id, AddressTermSide.Both, has(after) ? now : was)]
                : [new AddressTerm(kind, id, AddressTermSide.After, now),
                    new AddressTerm(kind, id, AddressTermSide.Before, was)];
            terms.Add((kind, id, family), found);
        }

        return found;
    }

    // A line of each family that says the same but for the addresses is one line.
    private static IEnumerable<DifferenceLine> Joined(IEnumerable<DifferenceLine> lines) => lines
        .GroupBy(line => (line.Direction, line.Before, Services: $"{string.Join(';', line.Services.Boxes)}"
            + line.Services.AllBut, Own: line.Own?.ToString()))
        .SelectMany(group => group.ToArray() switch
        {
            [var v4, var v6] when v4.Own is null && v4.Remotes[0].Family != v6.Remotes[0].Family =>
                [v4 with
                {
                    Remotes = [v4.Remotes[0], v6.Remotes[0]],
                    DecidedBefore = Union(v4.DecidedBefore, v6.DecidedBefore),
                    DecidedAfter = Union(v4.DecidedAfter, v6.DecidedAfter),
                }],
            var apart => apart,
        });

    private static ImmutableArray<string> Union(ImmutableArray<string> one, ImmutableArray<string> other) =>
        [.. one.Union(other).Order(StringComparer.Ordinal)];

    private static bool SameOwn(Vnic one, Vnic other) => Families.All(family =>
        PolicyOracle.OwnAddressesOf(one, family).SameAs(PolicyOracle.OwnAddressesOf(other, family)));

    // Not of any importance to the lines which addresses there are, only whether there are any.
    private static bool HasV4(Vnic vnic) => !PolicyOracle.OwnAddressesOf(vnic, IpFamily.V4).IsEmpty;

    private static bool AsksOwn(PolicyOracle oracle, Vnic? vnic) => vnic is not null && vnic.GroupIds.Any(id =>
        oracle.Snapshot.Groups.TryGetValue(id, out SecurityGroup? group)
        && group.Rules.Any(rule => rule.OwnSide is not null));

    private static string Shape(Vnic? vnic) => vnic is null ? "none" : GroupsOf(vnic);

    private static string GroupsOf(Vnic vnic) =>
        string.Join(' ', vnic.GroupIds.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal));
}
