using System.Collections.Immutable;
using System.Globalization;
using Agent.Evaluator.Forms;
using Agent.Evaluator.Wording;
using Agent.Policy;
using Agent.V1;
using Direction = Agent.Policy.Direction;
using IpFamily = Agent.Policy.IpFamily;
using Kind = Agent.V1.RuleFinding.Types.Kind;
using SecurityGroup = Agent.Policy.SecurityGroup;
using Vnic = Agent.Policy.Vnic;

namespace Agent.Evaluator.Health;

/// <summary>Which rules of a policy do nothing, and which do more than was probably meant.</summary>
/// <remarks>
/// Judged over every packet, for each set of groups that a vNIC has (a group without vNICs: alone), with the present
/// members and lists, and whatever own addresses vNICs have.
/// </remarks>
public static class RuleHealth
{
    /// <summary>SSH, RDP, VNC, WinRM, and the APIs of Docker, etcd, Kubernetes and its nodes.</summary>
    private static readonly ushort[] ManagementPorts = [22, 2375, 2379, 3389, 5900, 5985, 6443, 10_250];

    /// <summary>The examination of a whole policy.</summary>
    /// <param name="policy">A valid one.</param>
    /// <param name="settings">Of the agent.</param>
    public static Analysis Of(PolicySnapshot policy, PolicySettings settings)
    {
        ArgumentNullException.ThrowIfNull(policy);
        var oracle = new PolicyOracle(policy, settings);
        Profile[] profiles = [.. Profiles(oracle)];
        var names = new VnicNames(policy);
        var cover = new RuleCover(oracle);
        var analysis = new Analysis();
        foreach (SecurityGroup group in policy.Groups.Values)
        {
            Profile[] of = [.. profiles.Where(profile => profile.GroupIds.Contains(group.Id))];
            foreach (GroupRule rule in group.Rules.OrderBy(rule => rule.Id, StringComparer.Ordinal))
            {
                analysis.RulesChecked++;
                analysis.Findings.AddRange(Findings(new RuleName(group.Id, rule.Id), rule, group, of, names, cover));
            }
        }

        analysis.RemovableTogether.AddRange(Removable(policy, profiles).Select(rule => rule.ToString()));
        return analysis;
    }

    /// <summary>vNICs with the same groups.</summary>
    /// <param name="GroupIds">The groups.</param>
    /// <param name="Vnics">Ids, ascending; none for a group that no vNIC is in.</param>
    /// <param name="Forms">Both directions of both families.</param>
    private sealed record Profile(
        ImmutableArray<string> GroupIds, ImmutableArray<string> Vnics, ImmutableArray<HealthForm> Forms);

    private static IEnumerable<Profile> Profiles(PolicyOracle oracle)
    {
        PolicySnapshot policy = oracle.Snapshot;
        var forms = new PolicyForms();
        IEnumerable<Vnic> alone = policy.Groups.Keys.Except(policy.Vnics.Values.SelectMany(vnic => vnic.GroupIds))
            .Select(id => new Vnic
            {
                Id = "",
                InterfaceName = "",
                Mac = default,
                VpcId = policy.Groups[id].VpcId,
                GroupIds = [id],
            });
        return policy.Vnics.Values.Concat(alone)
            .Where(vnic => vnic.GroupIds.All(policy.Groups.ContainsKey))
            .GroupBy(vnic => string.Join(' ', vnic.GroupIds.Distinct().Order(StringComparer.Ordinal)))
            .Select(same => new Profile(
                [.. same.First().GroupIds.Distinct()],
                [.. same.Select(vnic => vnic.Id).Where(id => id.Length > 0).Order(StringComparer.Ordinal)],
                [.. from direction in new[] { Direction.Ingress, Direction.Egress }
                    from family in new[] { IpFamily.V4, IpFamily.V6 }
                    select new HealthForm(forms.Of(oracle, same.First(), direction, family))]));
    }

    private static IEnumerable<RuleFinding> Findings(
        RuleName name, GroupRule rule, SecurityGroup group, Profile[] profiles, VnicNames names, RuleCover cover)
    {
        Profile[] shadowed = [.. profiles.Where(profile => !profile.Forms.Any(form => form.Decides(name)))];
        Profile[] removable = [.. profiles.Except(shadowed)
            .Where(profile => profile.Forms.All(form => form.CanLose(name)))];
        if (shadowed.Length > 0)
        {
            yield return Finding(Kind.Shadowed, shadowed, "it never decides");
        }

        if (removable.Length > 0)
        {
            yield return Finding(Kind.Removable, removable, "without it, every packet has the same verdict");
        }

        if (cover.Of(rule, group.Rules) is GroupRule wide)
        {
            bool isSound = shadowed.Length + removable.Length == profiles.Length;
            yield return Finding(isSound ? Kind.Redundant : Kind.RedundantUnsound, profiles, isSound
                ? $"covered by {wide.Id}" : $"covered by {wide.Id}, yet it decides: do not delete it for that");
        }

        if (Exposure(name, rule, profiles) is string exposure)
        {
            yield return Finding(Kind.Permissive, profiles, exposure);
        }

        string[] losers = [.. profiles.SelectMany(profile => profile.Forms).SelectMany(form => form.TiesOf(name))
            .Select(accept => accept.ToString()).Distinct().Order(StringComparer.Ordinal)];
        if (losers.Length > 0)
        {
            yield return Finding(Kind.TieBreak, profiles,
                $"it wins over {string.Join(", ", losers)} of the same priority only because drop goes first");
        }

        RuleFinding Finding(Kind kind, Profile[] where, string text)
        {
            string[] vnics = [.. where.SelectMany(profile => profile.Vnics).Order(StringComparer.Ordinal)];
            var finding = new RuleFinding
            {
                GroupId = name.GroupId,
                RuleId = name.RuleId,
                Kind = kind,
                Everywhere = where.Length == profiles.Length,
                Vnics = vnics.Length == 0 ? "no vNIC" : names.Of(vnics),
                Text = text,
            };
            finding.VnicIds.AddRange(vnics);
            return finding;
        }
    }

    // Only where it decides: a wide rule behind a narrower one may open nothing.
    private static string? Exposure(RuleName name, GroupRule rule, Profile[] profiles)
    {
        if (rule.Verdict != Verdict.Accept || rule.Direction != Direction.Ingress
            || rule.Remote is not Remote.Cidr { Prefix: { IsUniversal: true, Family: var family } })
        {
            return null;
        }

        string from = family == IpFamily.V4 ? "any IPv4 address" : "any IPv6 address";
        bool everyPort = rule.PortListId is null && rule.SourcePorts is null
            && rule.DestinationPorts is not { First: > 1 } and not { Last: < ushort.MaxValue };
        if (everyPort && profiles.Any(profile => profile.Forms.Any(form => form.Decides(name))))
        {
            return rule.Protocol is null or IpProtocol.Tcp or IpProtocol.Udp ? $"open to {from}, every port" : null;
        }

        string[] ports = [.. ManagementPorts
            .Where(port => profiles.Any(profile => profile.Forms.Any(form =>
                form.Decides(name, new PacketPoint(IpProtocol.Tcp, port, rule.SourcePorts?.First ?? 49_152)))))
            .Select(port => port.ToString(CultureInfo.InvariantCulture))];
        return ports.Length > 0 ? $"management open to {from}: tcp {string.Join(", ", ports)}" : null;
    }

    // One more may become removable by another's removal, so it goes round until none does.
    private static List<RuleName> Removable(PolicySnapshot policy, Profile[] profiles)
    {
        var gone = new List<RuleName>();
        List<(RuleName Name, HealthForm[] Forms)> left = [.. policy.Groups.Values
            .SelectMany(group => group.Rules.Select(rule => (Group: group, Rule: rule)))
            .OrderByDescending(one => one.Rule.Priority)
            .Select(one => (new RuleName(one.Group.Id, one.Rule.Id), profiles
                .Where(profile => profile.GroupIds.Contains(one.Group.Id))
                .SelectMany(profile => profile.Forms).ToArray()))];
        int before;
        do
        {
            before = gone.Count;
            left.RemoveAll(rule =>
            {
                if (!rule.Forms.All(form => form.CanLose(rule.Name)))
                {
                    return false;
                }

                Array.ForEach(rule.Forms, form => form.Lose(rule.Name));
                gone.Add(rule.Name);
                return true;
            });
        }
        while (gone.Count > before);
        return [.. gone.OrderBy(rule => rule.ToString(), StringComparer.Ordinal)];
    }
}
