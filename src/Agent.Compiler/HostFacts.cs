using System.Collections.Immutable;
using Agent.Nftables;

namespace Agent.Compiler;

/// <summary>What stands in the bridge family.</summary>
public enum BridgeLayer : byte
{
    /// <summary>Nothing: the kernel has no nf_tables there.</summary>
    None,

    /// <summary>Frames from and to vNICs are dropped.</summary>
    Closed,

    /// <summary>vNICs that are bridge ports are judged there as routed ones are in the inet family.</summary>
    Open,
}

/// <summary>What the compiler may know of the host. Everything else that it needs is in the policy.</summary>
public sealed record HostFacts
{
    public static readonly HostFacts Default = new();

    /// <summary>
    /// netdev chains may name devices that do not exist yet, and attach when they appear (Linux 6.16).
    /// </summary>
    public bool NetdevHooksByName { get; init; } = true;

    /// <summary>Devices that exist now; without <see cref="NetdevHooksByName"/> only these can be guarded.</summary>
    public ImmutableSortedSet<string> PresentInterfaces { get; init; } = [];

    /// <summary>
    /// Protocols for which the kernel takes conntrack timeout objects; of <see cref="SessionTimes.Protocols"/>.
    /// </summary>
    public ImmutableArray<byte> TimeoutProtocols { get; init; } = SessionTimes.Protocols;

    /// <summary>The kernel has <c>ct count</c>.</summary>
    public bool SessionLimits { get; init; } = true;

    /// <summary>Families in which the kernel sends packets to an nflog group.</summary>
    public ImmutableArray<NftFamily> LogFamilies { get; init; } =
        [NftFamily.Inet, NftFamily.Netdev, NftFamily.Bridge];

    public BridgeLayer Bridge { get; init; }

    /// <summary>Why bridge ports cannot be enforced, if they cannot.</summary>
    public string BridgeObstacle { get; init; } = "";

    /// <summary>Names of the bridge devices: what is routed to one of them is judged again behind it.</summary>
    public ImmutableSortedSet<string> Bridges { get; init; } = [];

    /// <summary>Devices that are ports of a bridge now.</summary>
    public ImmutableSortedSet<string> BridgePorts { get; init; } = [];
}

/// <summary>How the datapath is laid out, and its documented switches.</summary>
public sealed record CompilerSettings
{
    public static readonly CompilerSettings Default = new();

    /// <summary>Table name, in every family.</summary>
    public string Table { get; init; } = "sg_agent";

    /// <summary>
    /// Interfaces that are closed unless a policy names them: exact names, or prefixes that end in '*'.
    /// </summary>
    public ImmutableArray<string> ManagedInterfaces { get; init; } = ["tap*", "vnet*"];

    /// <summary>Bits of the conntrack mark that carry the policy epoch. Other bits are never changed.</summary>
    public uint EpochMask { get; init; } = 0xffff0000;

    /// <summary>vNICs may be in <see cref="CompileRequest.Adopting"/>.</summary>
    public bool AdoptsSessions { get; init; }

    /// <summary>
    /// Conntrack zones that listed VPCs get; both inclusive, not 0. The upper half by default: other users of zones
    /// count from 1 upwards.
    /// </summary>
    public ushort ZoneFirst { get; init; } = 0x8000;

    public ushort ZoneLast { get; init; } = 0xffff;

    /// <summary>
    /// Sessions that a vNIC may have at a time, unless its own <see cref="Policy.Vnic.MaxSessions"/> says otherwise; 0:
    /// no limit. A sixteenth of the kernel's default table; more costs too much at the limit (ARCHITECTURE.md).
    /// </summary>
    public int MaxSessionsPerVnic { get; init; } = 16_384;

    /// <summary>nflog group at which dropped packets are reported.</summary>
    public ushort LogGroup { get; init; } = 1789;

    /// <summary>Dropped packets that are reported a second, per vNIC and table; 0: none are.</summary>
    public uint DropRate { get; init; } = 10;

    /// <summary>Dropped packets that are reported at once.</summary>
    public uint DropBurst { get; init; } = 20;

    /// <summary>Accepted packets that open a session and are reported a second, per vNIC and direction.</summary>
    public uint FlowRate { get; init; } = 100;

    /// <summary>vNICs (by id, or "*") whose accepted sessions are reported.</summary>
    public ImmutableArray<string> FlowVnics { get; init; } = [];

    /// <summary>Rules ("group/rule") whose accepted sessions are reported, on every vNIC.</summary>
    public ImmutableArray<string> FlowRules { get; init; } = [];

    /// <summary>
    /// Whose rules are counted one by one (<see cref="RuleHits"/>): ids of vNICs and of groups, or "all"; empty:
    /// nobody's.
    /// </summary>
    public ImmutableArray<string> RuleHits { get; init; } = [];

    /// <summary>
    /// Rules, over all vNICs, that are counted one by one: each is an element in the kernel, 100 bytes or so, and three
    /// series of metrics.
    /// </summary>
    public int MaxRuleHits { get; init; } = 10_000;

    /// <summary>
    /// Ports that a range may span and still be written as single ports (a hash lookup instead of a range's).
    /// </summary>
    public int ExpandedPorts { get; init; } = 8;

    /// <summary>
    /// A family of a policy that needs more map elements than this, in one direction, is laid out in runs
    /// (<see cref="RunProgram"/>).
    /// </summary>
    public int MaxCells { get; init; } = 1_000_000;

    /// <summary>
    /// Likewise for ranges of ports and of own addresses, whose back end is slower to load (nftables-facts.md 2.2). If
    /// runs need more, the policy is refused for its vNICs.
    /// </summary>
    public int MaxRangeCells { get; init; } = 16_384;
}
