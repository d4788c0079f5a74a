using System.Collections.Immutable;

namespace Agent.Compiler;

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

    /// <summary>
    /// Ports that a range may span and still be written as single ports (a hash lookup instead of a range's).
    /// </summary>
    public int ExpandedPorts { get; init; } = 8;

    /// <summary>A policy that needs more map elements than this is refused for its vNICs.</summary>
    public int MaxCells { get; init; } = 1_000_000;

    /// <summary>Likewise for port ranges, whose back end is slower to load (nftables-facts.md 2.2).</summary>
    public int MaxRangeCells { get; init; } = 16_384;
}
