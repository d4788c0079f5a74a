using System.Collections.Concurrent;
using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator;

/// <summary>The reference evaluator: semantics.md section 1, step by step, for packets without a session.</summary>
/// <remarks>
/// Deviations and readings: infrastructure traffic (ARP, ND, DHCP; semantics.md 9.5) belongs to the link layer and
/// gets no exemption here, only its unspecified source passes the source check. Steps 2 (sessions) and related errors
/// are the session oracle. Safe for concurrent use: what it remembers depends on the arguments alone.
/// </remarks>
public sealed class PolicyOracle
{
    private const ushort DhcpClientPort = 68;
    private const ushort DhcpServerPort = 67;

    private readonly ConcurrentDictionary<string, Addresses> members = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Addresses> lists = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(Vnic, Direction), ImmutableArray<PooledRule>> pools = new();
    private readonly Lazy<ILookup<string, Vnic>> vnicsByGroup;

    public PolicyOracle(PolicySnapshot snapshot, PolicySettings settings)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        ArgumentNullException.ThrowIfNull(settings);
        Snapshot = snapshot;
        Settings = settings;
        vnicsByGroup = new Lazy<ILookup<string, Vnic>>(() => snapshot.Vnics.Values
            .SelectMany(v => v.GroupIds.Distinct(StringComparer.Ordinal).Select(g => (Group: g, Vnic: v)))
            .ToLookup(x => x.Group, x => x.Vnic, StringComparer.Ordinal));
    }

    public PolicySnapshot Snapshot { get; }

    public PolicySettings Settings { get; }

    /// <summary>All steps for a packet that travels in <paramref name="direction"/> at the vNIC.</summary>
    public PolicyVerdict Judge(Vnic vnic, Direction direction, PacketTuple packet, PacketContext context = default)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        return direction == Direction.Egress && IsSpoofed(vnic, packet)
            ? Decided(Verdict.Drop, VerdictReason.Spoof)
            : direction == Direction.Ingress && !IsFor(vnic, packet)
            ? Decided(Verdict.Drop, VerdictReason.NotOwnAddress)
            : JudgeSession(vnic, direction, packet, context);
    }

    /// <summary>
    /// All steps but the source/destination check. A live session is judged again with the tuple of its original
    /// direction, which the packet in hand may travel against; its own source is checked apart (datapath.md 2).
    /// </summary>
    public PolicyVerdict JudgeSession(
        Vnic vnic, Direction direction, PacketTuple packet, PacketContext context = default)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        if (direction == Direction.Egress && packet.Protocol == IpProtocol.Tcp
            && Settings.PlatformBlockedTcpPorts.Contains(packet.DestinationPort))
        {
            return Decided(Verdict.Drop, VerdictReason.PlatformBlock);
        }

        if (direction == Direction.Egress
            && Settings.MetadataAddresses.Any(p => p.Contains(packet.Family, packet.Destination)))
        {
            return Decided(Verdict.Accept, VerdictReason.Metadata);
        }

        if (direction == Direction.Ingress && Settings.TrustedMarks.Contains(context.Mark))
        {
            return Decided(Verdict.Accept, VerdictReason.TrustedMark);
        }

        if (vnic.GroupIds.IsDefaultOrEmpty || !vnic.GroupIds.All(Snapshot.Groups.ContainsKey))
        {
            return Decided(Verdict.Drop, VerdictReason.NoPolicy);
        }

        return InnerAccess(vnic, direction, packet) ?? CustomRules(vnic, direction, packet);
    }

    /// <summary>
    /// Whether a packet that the guest sends carries a source that is not its own (semantics.md 5.4).
    /// </summary>
    public static bool IsSpoofed(Vnic vnic, PacketTuple packet)
    {
        ArgumentNullException.ThrowIfNull(vnic);
        if (!vnic.SourceDestinationCheck || Owns(vnic, packet.Family, packet.Source))
        {
            return false;
        }

        bool hasNoAddressYet = packet.Source == 0 && packet.Family switch
        {
            IpFamily.V4 => packet is
            { Protocol: IpProtocol.Udp, SourcePort: DhcpClientPort, DestinationPort: DhcpServerPort },
            _ => packet.Protocol == IpProtocol.Icmpv6, // duplicate address detection, router solicitation
        };
        return !hasNoAddressYet;
    }

    /// <summary>Whether a packet that reaches the guest is for it (semantics.md 5.4).</summary>
    internal static bool IsFor(Vnic vnic, PacketTuple packet) =>
        !vnic.SourceDestinationCheck || Owns(vnic, packet.Family, packet.Destination);

    /// <summary>
    /// The address that SLAAC forms from the MAC: fe80::/64 with the modified EUI-64 identifier (RFC 4291).
    /// </summary>
    public static UInt128 LinkLocal(MacAddress mac)
    {
        ulong high = mac.Bits >> 24 ^ 0x02_0000; // the universal/local bit is inverted
        ulong low = mac.Bits & 0xff_ffff;
        return new UInt128(0xfe80_0000_0000_0000, high << 40 | 0xff_fe00_0000 | low);
    }

    /// <summary>Addresses that count as the group's: those listed, and those of the snapshot's vNICs in it.</summary>
    /// <returns>Nothing for a group that is not in the snapshot.</returns>
    internal Addresses MembersOf(string groupId) => members.GetOrAdd(groupId, id =>
        Snapshot.Groups.TryGetValue(id, out SecurityGroup? group)
            ? Addresses.Of(group.Members.Concat(VnicAddressesOf(id)))
            : Addresses.Nothing);

    /// <summary>Addresses that a group has by the snapshot's vNICs in it.</summary>
    internal IEnumerable<IpPrefix> VnicAddressesOf(string groupId) => vnicsByGroup.Value[groupId]
        .SelectMany(v => OrEmpty(v.Addresses).Concat(OrEmpty(v.DelegatedPrefixes)));

    /// <summary>Entries of a prefix list that are of the list's family; nothing for an unknown list.</summary>
    internal Addresses EntriesOf(string listId) => lists.GetOrAdd(listId, id =>
        Snapshot.PrefixLists.TryGetValue(id, out PrefixList? list)
            ? Addresses.Of(list.Entries.Where(e => e.Family == list.Family))
            : Addresses.Nothing);

    /// <summary>
    /// Rules of all groups of the vNIC in one order: priority, drop before accept, group id, rule id.
    /// </summary>
    internal ImmutableArray<PooledRule> RulesOf(Vnic vnic, Direction direction) =>
        pools.GetOrAdd((vnic, direction), key => [.. key.Item1.GroupIds
            .Distinct(StringComparer.Ordinal)
            .Where(Snapshot.Groups.ContainsKey)
            .SelectMany(g => OrEmpty(Snapshot.Groups[g].Rules).Select(r => new PooledRule(g, r)))
            .Where(p => p.Rule.Direction == key.Item2)
            .OrderBy(p => p.Rule.Priority)
            .ThenBy(p => p.Rule.Verdict == Verdict.Drop ? 0 : 1)
            .ThenBy(p => p.GroupId, StringComparer.Ordinal)
            .ThenBy(p => p.Rule.Id, StringComparer.Ordinal)]);

    /// <summary>The last row of the tables of semantics.md 2.1.</summary>
    internal Verdict DefaultOf(Vnic vnic, Direction direction) =>
        direction == Direction.Egress && vnic.GroupIds.All(g => Snapshot.Groups[g].Type == GroupType.Basic)
            ? Verdict.Accept
            : Verdict.Drop;

    /// <summary>Groups whose members reach this vNIC, or are reached by it, whatever the rules say.</summary>
    internal IEnumerable<string> InnerGroupsOf(Vnic vnic, Direction direction) =>
        direction == Direction.Egress && Settings.EgressInner == EgressInner.CustomFirst
            ? []
            : vnic.GroupIds.Where(g => Snapshot.Groups[g] is { Type: GroupType.Basic, InnerAccess: Verdict.Accept })
                .Order(StringComparer.Ordinal);

    /// <summary>Ports that a rule asks of the destination; null when it asks nothing.</summary>
    internal ImmutableArray<PortRange>? DestinationPortsOf(GroupRule rule) =>
        rule.DestinationPorts is { } range ? [range]
        : rule.PortListId is not { } id ? null
        : Snapshot.PortLists.TryGetValue(id, out PortList? list) ? OrEmpty(list.Entries)
        : [];

    /// <summary>Addresses that the vNIC may send from and be sent to; every one, if it is not checked.</summary>
    internal static AddressSet OwnAddressesOf(Vnic vnic, IpFamily family) => !vnic.SourceDestinationCheck
        ? AddressSet.All(family)
        : AddressSet.Of(family, OrEmpty(vnic.Addresses).Concat(OrEmpty(vnic.DelegatedPrefixes))
            .Append(IpPrefix.Host(IpFamily.V6, LinkLocal(vnic.Mac))));

    private static bool Owns(Vnic vnic, IpFamily family, UInt128 address) =>
        OrEmpty(vnic.Addresses).Concat(OrEmpty(vnic.DelegatedPrefixes)).Any(p => p.Contains(family, address))
        || (family == IpFamily.V6 && address == LinkLocal(vnic.Mac));

    private static PolicyVerdict Decided(Verdict verdict, VerdictReason reason) => new(verdict, reason, null, null, []);

    private static ImmutableArray<T> OrEmpty<T>(ImmutableArray<T> items) => items.IsDefault ? [] : items;

    private PolicyVerdict? InnerAccess(Vnic vnic, Direction direction, PacketTuple packet)
    {
        foreach (string group in InnerGroupsOf(vnic, direction))
        {
            if (MembersOf(group).Contains(packet.Family, packet.Remote(direction)))
            {
                return new PolicyVerdict(Verdict.Accept, VerdictReason.Inner, group, null, []);
            }
        }

        return null;
    }

    private PolicyVerdict CustomRules(Vnic vnic, Direction direction, PacketTuple packet)
    {
        ImmutableArray<ConsideredRule>.Builder considered = ImmutableArray.CreateBuilder<ConsideredRule>();
        foreach ((string groupId, GroupRule rule) in RulesOf(vnic, direction))
        {
            if (Compare(rule, direction, packet) is { } mismatch)
            {
                considered.Add(new ConsideredRule(groupId, rule, mismatch));
                continue;
            }

            return new PolicyVerdict(rule.Verdict, VerdictReason.Rule, groupId, rule, considered.ToImmutable());
        }

        return new PolicyVerdict(
            DefaultOf(vnic, direction), VerdictReason.Default, null, null, considered.ToImmutable());
    }

    /// <returns>The first field that does not fit; null if the rule matches.</returns>
    private Mismatch? Compare(GroupRule rule, Direction direction, PacketTuple packet)
    {
        if (!FamilyFits(rule, packet.Family))
        {
            return Mismatch.Family;
        }

        if (rule.Protocol is { } protocol && protocol != packet.Protocol)
        {
            return Mismatch.Protocol;
        }

        if (!RemoteFits(rule.Remote, packet.Family, packet.Remote(direction)))
        {
            return Mismatch.Remote;
        }

        if (IpProtocol.HasPorts(packet.Protocol))
        {
            if (DestinationPortsOf(rule) is { } ports && !ports.Any(r => r.Contains(packet.DestinationPort)))
            {
                return Mismatch.DestinationPort;
            }

            if (rule.SourcePorts is { } sourcePorts && !sourcePorts.Contains(packet.SourcePort))
            {
                return Mismatch.SourcePort;
            }
        }

        return rule.OwnSide is { } own && !own.Contains(packet.Family, packet.Own(direction)) ? Mismatch.OwnSide : null;
    }

    /// <summary>
    /// A CIDR or list speaks of its own family, a group of both; ICMP is v4 and ICMPv6 is v6 (C24, E08).
    /// </summary>
    private bool FamilyFits(GroupRule rule, IpFamily family)
    {
        bool remoteFits = rule.Remote switch
        {
            Remote.Cidr cidr => cidr.Prefix.Family == family,
            Remote.PrefixList list => !Snapshot.PrefixLists.TryGetValue(list.Id, out PrefixList? found)
                || found.Family == family,
            _ => true,
        };
        return remoteFits && rule.Protocol switch
        {
            IpProtocol.Icmp => family == IpFamily.V4,
            IpProtocol.Icmpv6 => family == IpFamily.V6,
            _ => true,
        };
    }

    private bool RemoteFits(Remote remote, IpFamily family, UInt128 address) => remote switch
    {
        Remote.Cidr cidr => cidr.Prefix.Contains(family, address),
        Remote.PrefixList list => EntriesOf(list.Id).Contains(family, address),
        Remote.Group group => MembersOf(group.Id).Contains(family, address),
        _ => throw new System.Diagnostics.UnreachableException(),
    };
}

/// <summary>A rule and the group that brought it to the vNIC.</summary>
internal readonly record struct PooledRule(string GroupId, GroupRule Rule);
