using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>A revision that something has got to, and when it did.</summary>
internal sealed record Reached(ulong Revision, DateTimeOffset Time);

/// <summary>How far a vNIC has got.</summary>
/// <param name="Enforced">The newest revision whose rules are in force for it; null: none, or it is closed.</param>
/// <param name="Proved">The newest of which that was proved; null: none, or the last proof failed.</param>
internal sealed record VnicRealisation(Reached? Enforced, Reached? Proved);

/// <summary>How far a group has got.</summary>
/// <param name="Changed">The revision that changed it last; 0: none since the start.</param>
/// <param name="Vnics">vNICs of this host that are in it.</param>
/// <param name="Enforced">The oldest revision among them; 0: none. Of the whole host if there are none.</param>
/// <param name="Proved">Likewise.</param>
internal sealed record GroupRealisation(ulong Changed, int Vnics, ulong Enforced, ulong Proved);

/// <summary>How far the desired state is real on this host, as far as it is known since the start.</summary>
internal sealed record HostRealisation
{
    public static readonly HostRealisation None = new();

    /// <summary>Of every vNIC that does not fail.</summary>
    public Reached? Enforced { get; init; }

    /// <summary>The newest revision of which a proof ended well, for everything.</summary>
    public Reached? Proved { get; init; }

    /// <summary>When the sender made the revision in force, by its own clock; null: it did not say.</summary>
    public DateTimeOffset? IssuedAt { get; init; }

    /// <summary>From then until it was in force, not negative; null: not known.</summary>
    public TimeSpan? EnforcedAfter { get; init; }

    /// <summary>Since when the revision in force is wanted: <see cref="IssuedAt"/>, or when it was accepted.</summary>
    public DateTimeOffset? WantedSince { get; init; }

    /// <summary>By vNIC id.</summary>
    public IReadOnlyDictionary<string, VnicRealisation> Vnics { get; init; } =
        ImmutableDictionary<string, VnicRealisation>.Empty;

    /// <summary>Revisions that changed a group last, by its id.</summary>
    public ImmutableDictionary<string, ulong> GroupChanges { get; init; } = ImmutableDictionary<string, ulong>.Empty;

    public VnicRealisation Of(string vnicId) => Vnics.GetValueOrDefault(vnicId) ?? new VnicRealisation(null, null);

    /// <summary>Every group of a policy, in the order of their ids.</summary>
    public IEnumerable<(string GroupId, GroupRealisation Realisation)> Groups(PolicySnapshot policy)
    {
        ILookup<string, VnicRealisation> members = policy.Vnics.Values
            .SelectMany(vnic => vnic.GroupIds.Select(group => (group, Of(vnic.Id))))
            .ToLookup(pair => pair.group, pair => pair.Item2, StringComparer.Ordinal);
        foreach (string id in policy.Groups.Keys)
        {
            VnicRealisation[] vnics = [.. members[id].DefaultIfEmpty(new VnicRealisation(Enforced, Proved))];
            yield return (id, new GroupRealisation(
                GroupChanges.GetValueOrDefault(id), members[id].Count(),
                vnics.Min(vnic => vnic.Enforced?.Revision ?? 0), vnics.Min(vnic => vnic.Proved?.Revision ?? 0)));
        }
    }
}
