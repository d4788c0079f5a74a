using System.Collections.Immutable;

namespace Agent.Compiler;

/// <summary>All that a <see cref="HostLayout"/> is made of.</summary>
/// <param name="Request">Settings, host, vNICs, VPCs; of the rest of its policy nothing.</param>
/// <param name="Index">Of the vNICs.</param>
/// <param name="Drops">Of all interfaces.</param>
/// <param name="Zones">Conntrack zones of the listed VPCs.</param>
/// <param name="Open">vNICs (by id) that are not closed.</param>
/// <param name="Counted">vNICs (by id) whose rules are counted.</param>
internal sealed record HostBasis(
    CompileRequest Request, VnicIndex Index, DropCounters Drops, ImmutableSortedDictionary<string, ushort> Zones,
    IReadOnlySet<string> Open, ImmutableSortedSet<string> Counted)
{
    /// <summary>Whether a layout made of the one is what the other would come to.</summary>
    public bool IsSame(HostBasis other) =>
        ReferenceEquals(Index, other.Index) && ReferenceEquals(Drops, other.Drops)
        && ReferenceEquals(Request.Policy.Vpcs, other.Request.Policy.Vpcs)
        && IsLaidOutAs(other)
        && (Request.Settings.FlowRules.IsEmpty || Request.Settings.FlowRate == 0) // decisions would be in it
        && Zones.SequenceEqual(other.Zones)
        && Open.SetEquals(other.Open) && Counted.SetEquals(other.Counted)
        && Request.Adopting.SetEquals(other.Request.Adopting)
        && Request.ClosedVnics.Count == other.Request.ClosedVnics.Count
        && Request.ClosedVnics.Keys.All(other.Request.ClosedVnics.ContainsKey)
        && SameDevices(Request.Host, other.Request.Host);

    /// <summary>Whether a vNIC that is the same has the same chains.</summary>
    public bool IsLaidOutAs(HostBasis other)
    {
        (HostFacts host, HostFacts its) = (Request.Host, other.Request.Host);
        return Request.Settings == other.Request.Settings && Request.PolicySettings == other.Request.PolicySettings
            && Request.Policy.Vpcs.IsEmpty == other.Request.Policy.Vpcs.IsEmpty
            && host.Bridge == its.Bridge && host.SessionLimits == its.SessionLimits
            && host.TimeoutProtocols.AsSpan().SequenceEqual(its.TimeoutProtocols.AsSpan()) && HasLogOf(other);
    }

    /// <summary>Whether the same is reported in the same families.</summary>
    public bool HasLogOf(HostBasis other) => Request.Settings == other.Request.Settings
        && Request.Host.LogFamilies.AsSpan().SequenceEqual(other.Request.Host.LogFamilies.AsSpan());

    private static bool SameDevices(HostFacts host, HostFacts its) =>
        host.NetdevHooksByName == its.NetdevHooksByName
        && (host.NetdevHooksByName || host.PresentInterfaces.SetEquals(its.PresentInterfaces))
        && host.Bridges.SetEquals(its.Bridges);
}
