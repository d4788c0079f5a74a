using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator.Forms;

/// <summary>One row of the list that decides, strongest first; the last is the type's default.</summary>
/// <param name="Verdict">What it decides.</param>
/// <param name="Reason">Which step of semantics.md section 1 it is.</param>
/// <param name="GroupId">The group of a rule or of inner access; otherwise null.</param>
/// <param name="Rule">The rule; null for other reasons.</param>
/// <param name="Remote">The addresses at the other end.</param>
internal sealed record PolicyRow(
    Verdict Verdict, VerdictReason Reason, string? GroupId, GroupRule? Rule, RemoteSide Remote)
{
    /// <summary>IANA number; null: all.</summary>
    public byte? Protocol { get; init; }

    /// <summary>Destination ports, of packets that have them; null: all.</summary>
    public ImmutableArray<PortRange>? Destination { get; init; }

    /// <summary>Source ports, of packets that have them; null: all.</summary>
    public PortRange? Source { get; init; }

    /// <summary>The guest's own address; null: all.</summary>
    public IpPrefix? Own { get; init; }

    public bool Accepts => Verdict == Verdict.Accept;

    /// <summary>The same row in another snapshot, or another row?</summary>
    public (VerdictReason Reason, string? GroupId, string? RuleId) Identity => (Reason, GroupId, Rule?.Id);

    public override string ToString() => Reason switch
    {
        VerdictReason.Rule => $"{Verdict} by rule {Rule!.Id} of {GroupId}",
        VerdictReason.Inner => $"{Verdict} by inner access of {GroupId}",
        _ => $"{Verdict} by {Reason}",
    };

    /// <summary>
    /// The rows for packets of a vNIC's sessions without a trusted mark (PolicyOracle.JudgeSession); only those that
    /// can match the family.
    /// </summary>
    public static ImmutableArray<PolicyRow> Of(PolicyOracle oracle, Vnic vnic, Direction direction, IpFamily family)
    {
        ImmutableArray<PolicyRow>.Builder rows = ImmutableArray.CreateBuilder<PolicyRow>();
        if (direction == Direction.Egress)
        {
            AddFixed(rows, oracle.Settings, family);
        }

        if (vnic.GroupIds.IsDefaultOrEmpty || !vnic.GroupIds.All(oracle.Snapshot.Groups.ContainsKey))
        {
            rows.Add(new PolicyRow(Verdict.Drop, VerdictReason.NoPolicy, null, null, RemoteSide.Everywhere));
            return rows.ToImmutable();
        }

        foreach (string group in oracle.InnerGroupsOf(vnic, direction))
        {
            rows.Add(new PolicyRow(Verdict.Accept, VerdictReason.Inner, group, null, new RemoteSide.Group(group)));
        }

        foreach ((string groupId, GroupRule rule) in oracle.RulesOf(vnic, direction))
        {
            if (FamilyFits(oracle.Snapshot, rule, family))
            {
                rows.Add(Of(oracle, groupId, rule));
            }
        }

        rows.Add(new PolicyRow(
            oracle.DefaultOf(vnic, direction), VerdictReason.Default, null, null, RemoteSide.Everywhere));
        return rows.ToImmutable();
    }

    private static void AddFixed(ImmutableArray<PolicyRow>.Builder rows, PolicySettings settings, IpFamily family)
    {
        if (!settings.PlatformBlockedTcpPorts.IsEmpty)
        {
            rows.Add(new PolicyRow(Verdict.Drop, VerdictReason.PlatformBlock, null, null, RemoteSide.Everywhere)
            {
                Protocol = IpProtocol.Tcp,
                Destination = [.. settings.PlatformBlockedTcpPorts.Select(port => new PortRange(port, port))],
            });
        }

        foreach (IpPrefix address in settings.MetadataAddresses.Where(address => address.Family == family))
        {
            rows.Add(new PolicyRow(
                Verdict.Accept, VerdictReason.Metadata, null, null, new RemoteSide.Prefix(address)));
        }
    }

    private static PolicyRow Of(PolicyOracle oracle, string groupId, GroupRule rule) => new(
        rule.Verdict, VerdictReason.Rule, groupId, rule, RemoteSide.Of(rule.Remote))
    {
        Protocol = rule.Protocol,
        Destination = oracle.DestinationPortsOf(rule),
        Source = rule.SourcePorts,
        Own = rule.OwnSide,
    };

    private static bool FamilyFits(PolicySnapshot snapshot, GroupRule rule, IpFamily family)
    {
        bool remote = rule.Remote switch
        {
            Remote.Cidr cidr => cidr.Prefix.Family == family,
            Remote.PrefixList list => snapshot.PrefixLists.TryGetValue(list.Id, out PrefixList? found)
                && found.Family == family,
            _ => true,
        };
        return remote && rule.Protocol != (family == IpFamily.V4 ? IpProtocol.Icmpv6 : IpProtocol.Icmp)
            && (rule.OwnSide is not { } own || own.Family == family);
    }
}

/// <summary>The addresses that a row asks of the other end.</summary>
internal abstract record RemoteSide
{
    private RemoteSide()
    {
    }

    public static RemoteSide Everywhere { get; } = new Any();

    public sealed record Any : RemoteSide;

    public sealed record Prefix(IpPrefix Value) : RemoteSide;

    public sealed record List(string Id) : RemoteSide;

    public sealed record Group(string Id) : RemoteSide;

    public static RemoteSide Of(Remote remote) => remote switch
    {
        Remote.Cidr { Prefix.IsUniversal: true } => Everywhere,
        Remote.Cidr cidr => new Prefix(cidr.Prefix),
        Remote.PrefixList list => new List(list.Id),
        Remote.Group group => new Group(group.Id),
        _ => throw new System.Diagnostics.UnreachableException(),
    };
}
