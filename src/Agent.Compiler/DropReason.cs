using System.Collections.Immutable;

namespace Agent.Compiler;

/// <summary>Why a packet is dropped: the last part of the names of drop chains and counters.</summary>
internal static class DropReason
{
    public const string Default = "default";
    public const string Rule = "rule";
    public const string Stale = "stale";
    public const string Invalid = "invalid";
    public const string NotSyn = "notsyn";
    public const string Host = "host";
    public const string Closed = "closed";

    /// <summary>The packet was on its way to another VPC.</summary>
    public const string Zone = "zone";

    /// <summary>The vNIC has as many sessions as it may have.</summary>
    public const string Limit = "limit";

    /// <summary>The packet is not from, or not for, one of the vNIC's addresses.</summary>
    public const string Address = "address";

    /// <summary>Reasons counted per interface, by the side on which they occur.</summary>
    public static readonly ImmutableArray<string> From =
        [Default, Rule, Stale, Invalid, NotSyn, Host, Address, Limit];

    public static readonly ImmutableArray<string> To = [Default, Rule, Stale, Invalid, NotSyn, Address, Zone, Limit];
}
