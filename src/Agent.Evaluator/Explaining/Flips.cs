using System.Collections.Immutable;
using System.Globalization;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;
using Agent.Policy;

namespace Agent.Evaluator.Explaining;

/// <summary>Changes that would turn a verdict, and what would decide then.</summary>
/// <param name="oracle">The policy.</param>
/// <param name="vnic">Of the policy.</param>
/// <param name="direction">Of the session.</param>
/// <param name="packet">In the session's direction; its own address is one of the vNIC's.</param>
internal sealed class Flips(PolicyOracle oracle, Vnic vnic, Direction direction, PacketTuple packet)
{
    /// <summary>Rules that together stand before another verdict; more of them are no simple change.</summary>
    private const int TogetherMax = 8;

    /// <summary>Priority of the weakest rule (semantics.md 3.1).</summary>
    private const int WeakestPriority = 100;

    private readonly PolicyForms forms = new();
    private readonly ImmutableArray<PolicyRow> rows = PolicyRow.Of(oracle, vnic, direction, packet.Family);

    /// <summary>The form that decides the packet.</summary>
    public PolicyForm Form => forms.Of(oracle, rows, direction, packet.Family);

    /// <summary>In the order of how small they are: a rule removed, a rule added, membership.</summary>
    public IEnumerable<V1.Flip> All()
    {
        PolicyRow decider = Form.At(packet);
        return Removing(decider).Concat(Adding(decider)).Concat(LeavingGroups(decider))
            .Concat(RemoteMembership(decider));
    }

    // The decider, and whatever decides alike behind it.
    private IEnumerable<V1.Flip> Removing(PolicyRow decider)
    {
        var gone = new List<PolicyRow>();
        PolicyRow row = decider;
        while (row.Reason is VerdictReason.Rule or VerdictReason.Inner && gone.Count < TogetherMax)
        {
            gone.Add(row);
            row = Decide([.. rows.Where(other => !gone.Contains(other))]);
            if (row.Accepts != decider.Accepts)
            {
                yield return Flip(string.Join(" and ", gone.Select(one => one.Reason == VerdictReason.Rule
                    ? $"without rule {one.GroupId}/{one.Rule!.Id}" : $"with inner access drop in {one.GroupId}")), row);
                yield break;
            }
        }
    }

    // Priority, then drop before accept: the opposite of a drop must be stronger, the opposite of an accept as strong.
    private IEnumerable<V1.Flip> Adding(PolicyRow decider)
    {
        int weakest = decider.Reason switch
        {
            VerdictReason.Default => WeakestPriority,
            VerdictReason.Rule => decider.Rule!.Priority - (decider.Accepts ? 0 : 1),
            _ => 0,
        };
        if (weakest == 0)
        {
            yield break;
        }

        string verdict = decider.Accepts ? "drop" : "accept";
        string priority = weakest == 1 ? "1" : string.Create(CultureInfo.InvariantCulture, $"1 to {weakest}");
        string groups = string.Join(" or ", vnic.GroupIds);
        yield return new V1.Flip
        {
            Change = $"with {(decider.Accepts ? "a" : "an")} {verdict} rule of priority {priority} for it in {groups}",
            Verdict = decider.Accepts ? V1.Policy.Drop : V1.Policy.Accept,
            DecidedBy = "the new rule",
        };
    }

    private IEnumerable<V1.Flip> LeavingGroups(PolicyRow decider)
    {
        foreach (string group in vnic.GroupIds.Distinct(StringComparer.Ordinal).Where(_ => vnic.GroupIds.Length > 1))
        {
            Vnic left = vnic with { GroupIds = vnic.GroupIds.RemoveAll(id => id == group) };
            if (left.GroupIds.IsEmpty)
            {
                continue;
            }

            var changed = new PolicyOracle(
                oracle.Snapshot with { Vnics = oracle.Snapshot.Vnics.SetItem(vnic.Id, left) }, oracle.Settings);
            PolicyRow row = forms.Of(changed, left, direction, packet.Family).At(packet);
            if (row.Accepts != decider.Accepts)
            {
                yield return Flip($"{vnic.Id} leaving group {group}", row);
            }
        }
    }

    // For one address, membership in a group is nothing but whether the rows that name the group match.
    private IEnumerable<V1.Flip> RemoteMembership(PolicyRow decider)
    {
        UInt128 remote = packet.Remote(direction);
        foreach (string group in rows.Select(row => (row.Remote as RemoteSide.Group)?.Id).OfType<string>()
            .Distinct(StringComparer.Ordinal))
        {
            bool isMember = oracle.MembersOf(group).Contains(packet.Family, remote);
            PolicyRow row = Decide(isMember
                ? [.. rows.Where(one => !Names(one, group))]
                : [.. rows.Select(one => Names(one, group) ? one with { Remote = RemoteSide.Everywhere } : one)]);
            if (row.Accepts != decider.Accepts)
            {
                string address = IpPrefix.AddressOf(packet.Family, remote).ToString();
                yield return Flip($"if {address} were {(isMember ? "not " : "")}a member of {group}", row);
            }
        }
    }

    private static bool Names(PolicyRow row, string group) => row.Remote is RemoteSide.Group other && other.Id == group;

    private PolicyRow Decide(ImmutableArray<PolicyRow> some) =>
        forms.Of(oracle, some, direction, packet.Family).At(packet);

    private static V1.Flip Flip(string change, PolicyRow row) => new()
    {
        Change = change,
        Verdict = row.Accepts ? V1.Policy.Accept : V1.Policy.Drop,
        DecidedBy = RowWords.Of(row),
    };
}
