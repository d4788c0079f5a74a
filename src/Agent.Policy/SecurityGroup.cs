using System.Collections.Immutable;

namespace Agent.Policy;

/// <summary>semantics.md section 2: the type decides the last row of the verdict tables.</summary>
public enum GroupType : byte
{
    /// <summary>API name <c>normal</c>: outbound open, inbound closed by default.</summary>
    Basic = 1,

    /// <summary>API name <c>enterprise</c>: closed both ways by default, never referenced, no inner access.</summary>
    Advanced = 2,
}

/// <summary>As seen from the guest: ingress enters it, egress leaves it.</summary>
public enum Direction : byte
{
    Ingress = 1,
    Egress = 2,
}

/// <summary>What a rule, or an evaluation, decides. Drop is silent (semantics.md section 1).</summary>
public enum Verdict : byte
{
    Accept = 1,
    Drop = 2,
}

/// <summary>IANA protocol numbers that rules name.</summary>
public static class IpProtocol
{
    public const byte Icmp = 1;
    public const byte Tcp = 6;
    public const byte Udp = 17;
    public const byte Gre = 47;
    public const byte Icmpv6 = 58;

    /// <summary>Port ranges mean something for these two only (semantics.md 3.1).</summary>
    public static bool HasPorts(byte protocol) => protocol is Tcp or Udp;
}

/// <summary>An inclusive range of transport ports.</summary>
public readonly record struct PortRange(ushort First, ushort Last)
{
    public static readonly PortRange All = new(0, ushort.MaxValue);

    public bool Contains(ushort port) => port >= First && port <= Last;

    /// <summary>The API's form: <c>first/last</c>.</summary>
    public override string ToString() => $"{First}/{Last}";
}

/// <summary>The remote side that a rule speaks of. Exactly one kind.</summary>
public abstract record Remote
{
    private Remote()
    {
    }

    public sealed record Cidr(IpPrefix Prefix) : Remote
    {
        public override string ToString() => Prefix.ToString();
    }

    public sealed record PrefixList(string Id) : Remote
    {
        public override string ToString() => Id;
    }

    public sealed record Group(string Id) : Remote
    {
        public override string ToString() => Id;
    }
}

/// <summary>One rule of a security group (semantics.md section 3).</summary>
/// <remarks>
/// A packet matches if family, protocol, remote side, and each of destination port, source port and own side that
/// is set match. ICMP is IPv4 only, ICMPv6 is IPv6 only, a CIDR or prefix list is of its own family only.
/// </remarks>
public sealed record GroupRule
{
    public required string Id { get; init; }

    public required Direction Direction { get; init; }

    /// <summary>IANA number; null is ALL.</summary>
    public byte? Protocol { get; init; }

    public Verdict Verdict { get; init; } = Verdict.Accept;

    /// <summary>1 (strongest) to 100.</summary>
    public byte Priority { get; init; } = 1;

    public required Remote Remote { get; init; }

    /// <summary>Null: every port (any protocol), or see <see cref="PortListId"/>. TCP and UDP only.</summary>
    public PortRange? DestinationPorts { get; init; }

    /// <summary>A port list instead of <see cref="DestinationPorts"/>. TCP and UDP only.</summary>
    public string? PortListId { get; init; }

    public PortRange? SourcePorts { get; init; }

    /// <summary>
    /// Own side of a five-tuple rule: the destination on ingress, the source on egress. Null: every own address.
    /// </summary>
    public IpPrefix? OwnSide { get; init; }

    public string Description { get; init; } = "";
}

/// <summary>A security group at a revision. Rules keep the order in which they came; order has no meaning.</summary>
public sealed record SecurityGroup
{
    public required string Id { get; init; }

    public required string VpcId { get; init; }

    public GroupType Type { get; init; } = GroupType.Basic;

    /// <summary>
    /// Whether members may reach members whatever the rules say (semantics.md 2.2). Advanced: always Drop.
    /// </summary>
    public Verdict InnerAccess { get; init; } = Verdict.Accept;

    public ImmutableArray<GroupRule> Rules { get; init; } = [];

    /// <summary>
    /// Addresses and prefixes that the control plane lists. The effective members are these and all addresses and
    /// delegated prefixes of every vNIC of the snapshot that is in the group.
    /// </summary>
    public ImmutableSortedSet<IpPrefix> Members { get; init; } = [];

    public bool ServiceManaged { get; init; }

    public string Name { get; init; } = "";

    public string Description { get; init; } = "";

    public ImmutableSortedDictionary<string, string> Labels { get; init; } =
        ImmutableSortedDictionary<string, string>.Empty;
}

/// <summary>Prefixes of one family that rules name together (semantics.md 3.2). Empty matches nothing.</summary>
public sealed record PrefixList
{
    public required string Id { get; init; }

    public required IpFamily Family { get; init; }

    /// <summary>What a rule that names this list weighs in the quota.</summary>
    public required int MaxEntries { get; init; }

    public ImmutableSortedSet<IpPrefix> Entries { get; init; } = [];

    public string Name { get; init; } = "";
}

/// <summary>Destination port ranges that TCP and UDP rules name together (semantics.md 3.2).</summary>
public sealed record PortList
{
    public required string Id { get; init; }

    public required int MaxEntries { get; init; }

    public ImmutableArray<PortRange> Entries { get; init; } = [];

    public string Name { get; init; } = "";
}

/// <summary>Idle times of new sessions, in seconds (semantics.md 5.1). A change affects new sessions only.</summary>
public sealed record SessionTimeouts
{
    public static readonly SessionTimeouts Default = new();

    public int TcpEstablishedSeconds { get; init; } = 910;

    public int TcpClosedAndTimeWaitSeconds { get; init; } = 3;

    public int UdpSeconds { get; init; } = 30;
}

/// <summary>A virtual NIC of this host and the groups that guard it.</summary>
public sealed record Vnic
{
    public required string Id { get; init; }

    /// <summary>Name of the host-side device, at most 15 bytes. It need not exist yet.</summary>
    public required string InterfaceName { get; init; }

    public required MacAddress Mac { get; init; }

    public required string VpcId { get; init; }

    /// <summary>Host addresses of both families, primary first.</summary>
    public ImmutableArray<IpPrefix> Addresses { get; init; } = [];

    public ImmutableArray<IpPrefix> DelegatedPrefixes { get; init; } = [];

    /// <summary>At least one; all of one type and of this vNIC's VPC.</summary>
    public required ImmutableArray<string> GroupIds { get; init; }

    public SessionTimeouts Timeouts { get; init; } = SessionTimeouts.Default;

    /// <summary>Sessions that the vNIC may have at a time; 0: no limit; null: the host's setting.</summary>
    public int? MaxSessions { get; init; }

    /// <summary>Off for guests that route: their packets may carry foreign addresses (semantics.md 5.4).</summary>
    public bool SourceDestinationCheck { get; init; } = true;
}

/// <summary>
/// A VPC with a conntrack zone of its own, so that its addresses may be those of another VPC. A VPC that is not listed
/// shares zone 0 with the other unlisted ones and with the host.
/// </summary>
public sealed record Vpc
{
    public required string Id { get; init; }

    /// <summary>Devices over which the VPC's traffic enters and leaves the host; of no other VPC.</summary>
    public ImmutableSortedSet<string> UplinkInterfaces { get; init; } =
        ImmutableSortedSet.Create<string>(StringComparer.Ordinal);
}

/// <summary>
/// The whole desired state at a revision. Immutable; keyed by id, so iteration order is the ids' ordinal order.
/// </summary>
public sealed record PolicySnapshot
{
    public static readonly PolicySnapshot Empty = new();

    /// <summary>Monotonic; 0 is "nothing was ever applied".</summary>
    public ulong Revision { get; init; }

    /// <summary>When its sender made it, by the sender's clock; null: it did not say. No part of the state.</summary>
    public DateTimeOffset? IssuedAt { get; init; }

    public ImmutableSortedDictionary<string, SecurityGroup> Groups { get; init; } = ById<SecurityGroup>();

    public ImmutableSortedDictionary<string, PrefixList> PrefixLists { get; init; } = ById<PrefixList>();

    public ImmutableSortedDictionary<string, PortList> PortLists { get; init; } = ById<PortList>();

    public ImmutableSortedDictionary<string, Vnic> Vnics { get; init; } = ById<Vnic>();

    /// <summary>VPCs with a conntrack zone of their own. A vNIC's VPC need not be in it.</summary>
    public ImmutableSortedDictionary<string, Vpc> Vpcs { get; init; } = ById<Vpc>();

    /// <summary>The vNIC that a person means.</summary>
    /// <param name="name">Its id, or the name of its interface.</param>
    /// <returns>Null: there is none.</returns>
    public Vnic? FindVnic(string name) =>
        Vnics.Values.FirstOrDefault(vnic => vnic.Id == name || vnic.InterfaceName == name);

    private static ImmutableSortedDictionary<string, T> ById<T>() =>
        ImmutableSortedDictionary.Create<string, T>(StringComparer.Ordinal);
}
