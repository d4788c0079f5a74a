using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>
/// What the daemon holds and does, as one immutable value: the loop publishes it, everybody may read it.
/// </summary>
internal sealed record AgentState
{
    public static readonly AgentState Initial = new();

    /// <summary>Grows by one with each publication.</summary>
    public long Version { get; init; }

    public PolicySnapshot Desired { get; init; } = PolicySnapshot.Empty;

    public byte[] DesiredHash { get; init; } = [];

    /// <summary>The revision in force; 0 before the first.</summary>
    public ulong AppliedRevision { get; init; }

    public DateTimeOffset? AppliedAt { get; init; }

    /// <summary>vNICs that do not follow the desired revision, by id.</summary>
    public ImmutableSortedDictionary<string, string> Failed { get; init; } =
        ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>Host devices that exist.</summary>
    public ImmutableSortedSet<string> Interfaces { get; init; } = [];

    public uint Generation { get; init; }

    public uint Epoch { get; init; }

    public ImmutableArray<string> Alarms { get; init; } = [];
}
