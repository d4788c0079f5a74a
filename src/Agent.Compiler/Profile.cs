using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>vNICs of one VPC with the same groups share everything but their interface (datapath.md 4).</summary>
/// <param name="VpcId">The VPC.</param>
/// <param name="GroupIds">Sorted, distinct.</param>
internal sealed record Profile(string VpcId, ImmutableArray<string> GroupIds)
{
    /// <summary>Names the profile: nothing but what identifies it, so that a change of rules keeps the name.</summary>
    public string Key { get; } = $"{VpcId}|{string.Join(',', GroupIds)}";

    /// <summary>"p_" and ten hex digits.</summary>
    public const int NameLength = 12;

    private static readonly ConditionalWeakTable<Vnic, Profile> Known = [];
    private string? name;

    public string Name => name ??= "p_" + StableHash.Name(Key);

    public bool Equals(Profile? other) => other is not null && Key == other.Key;

    public override int GetHashCode() => Key.GetHashCode(StringComparison.Ordinal);

    /// <remarks>Asked for every vNIC with each change, and always the same of one object.</remarks>
    public static Profile Of(Vnic vnic) => Known.GetValue(vnic, static one =>
        new Profile(one.VpcId, [.. one.GroupIds.Distinct().Order(StringComparer.Ordinal)]));

    /// <summary>The type's default (semantics.md section 1, step 5).</summary>
    public Verdict Default(PolicySnapshot policy, Direction direction) =>
        direction == Direction.Egress && policy.Groups[GroupIds[0]].Type == GroupType.Basic
            ? Verdict.Accept : Verdict.Drop;

    /// <summary>
    /// Every row that is looked at, strongest first: what no rule can override, then the groups' rules.
    /// </summary>
    public ImmutableArray<RankedRule> Rank(PolicySnapshot policy, PolicySettings settings, Direction direction)
    {
        List<RankedRule> fixedRows = direction == Direction.Egress ? FixedEgress(settings) : [];
        if (direction == Direction.Ingress || settings.EgressInner == EgressInner.InnerFirst)
        {
            fixedRows.AddRange(Inner(policy));
        }

        IEnumerable<RankedRule> rules = GroupIds
            .SelectMany(id => policy.Groups[id].Rules.Select(rule => (Group: id, Rule: rule)))
            .Where(pair => pair.Rule.Direction == direction)
            .OrderBy(pair => pair.Rule.Priority)
            .ThenByDescending(pair => pair.Rule.Verdict)
            .ThenBy(pair => pair.Group, StringComparer.Ordinal)
            .ThenBy(pair => pair.Rule.Id, StringComparer.Ordinal)
            .Select(pair => Resolve(policy, pair.Group, pair.Rule));
        return Prune(fixedRows, [.. rules], Default(policy, direction));
    }

    private static List<RankedRule> FixedEgress(PolicySettings settings)
    {
        var rows = new List<RankedRule>();
        foreach (ushort port in settings.PlatformBlockedTcpPorts)
        {
            rows.Add(new RankedRule(
                $"platform:tcp/{port}", Verdict.Drop, IpProtocol.Tcp, new RemoteTag(null, V4: true, V6: true),
                [new PortRange(port, port)], PortRange.All, Own: null));
        }

        foreach (IpPrefix address in settings.MetadataAddresses)
        {
            rows.Add(new RankedRule(
                $"metadata:{address}", Verdict.Accept, Protocol: null, TagOf(new Remote.Cidr(address)),
                [], PortRange.All, Own: null));
        }

        return rows;
    }

    private IEnumerable<RankedRule> Inner(PolicySnapshot policy) => GroupIds
        .Where(id => policy.Groups[id] is { Type: GroupType.Basic, InnerAccess: Verdict.Accept })
        .Select(id => new RankedRule(
            $"inner:{id}", Verdict.Accept, Protocol: null, TagOf(new Remote.Group(id)), [], PortRange.All, Own: null));

    private static RankedRule Resolve(PolicySnapshot policy, string group, GroupRule rule)
    {
        ImmutableArray<PortRange> destination = [];
        if (rule.DestinationPorts is PortRange range)
        {
            destination = range == PortRange.All ? [] : [range];
        }
        else if (rule.PortListId is string list)
        {
            destination = policy.PortLists[list].Entries;
        }

        return new RankedRule(
            $"{group}/{rule.Id}", rule.Verdict, rule.Protocol, TagOf(rule.Remote), destination,
            rule.SourcePorts ?? PortRange.All, rule.OwnSide)
        {
            MatchesNothing = rule.PortListId is not null && rule.DestinationPorts is null && destination.IsEmpty,
        };
    }

    private static RemoteTag TagOf(Remote remote) => remote switch
    {
        Remote.Cidr { Prefix.IsUniversal: true } cidr =>
            new RemoteTag(null, cidr.Prefix.Family == IpFamily.V4, cidr.Prefix.Family == IpFamily.V6),
        Remote.Cidr cidr =>
            new RemoteTag($"c:{cidr.Prefix}", cidr.Prefix.Family == IpFamily.V4, cidr.Prefix.Family == IpFamily.V6),
        Remote.PrefixList list => new RemoteTag($"l:{list.Id}", V4: true, V6: true),
        Remote.Group other => new RemoteTag($"g:{other.Id}", V4: true, V6: true),
        _ => throw new ArgumentOutOfRangeException(nameof(remote), remote, "unknown remote"),
    };

    // A fixed row that changes no verdict is left out, so that a policy without rules needs no look at addresses.
    // A rule that changes no verdict stays: people count its hits.
    private static ImmutableArray<RankedRule> Prune(
        List<RankedRule> fixedRows, ImmutableArray<RankedRule> rules, Verdict fallback)
    {
        ImmutableArray<RankedRule> rows = [.. rules.Where(rule => !rule.MatchesNothing)];
        for (int i = fixedRows.Count - 1; i >= 0; i--)
        {
            RankedRule row = fixedRows[i];
            if (row.Verdict != fallback || rows.Any(later => later.Verdict != row.Verdict))
            {
                rows = rows.Insert(0, row);
            }
        }

        return rows;
    }
}
