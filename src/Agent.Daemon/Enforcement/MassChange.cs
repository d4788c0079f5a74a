using System.Collections.Immutable;
using System.Globalization;
using Agent.Contract;
using Agent.Daemon.Config;
using Agent.Policy;
using Delta = Agent.V1.Delta;

namespace Agent.Daemon.Enforcement;

/// <summary>How many things of a kind there are before and after a step, and how many of those before are gone.
/// </summary>
/// <param name="Kind">"vNICs", "groups" or "members".</param>
/// <param name="Removed">Of those before.</param>
/// <param name="Before">Before the step.</param>
/// <param name="After">After it: as many others may have come.</param>
/// <param name="IsReason">A step may not remove so many without being confirmed.</param>
internal readonly record struct Removal(string Kind, long Removed, long Before, long After, bool IsReason)
{
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{Removed} of {Before} {Kind} ({100.0 * Removed / Before:0.#} %)");
}

/// <summary>A step that removes so much that it is held until somebody says that it is meant.</summary>
/// <param name="Revision">Of the step.</param>
/// <param name="Removals">Every kind of which something goes: vNICs, groups, members.</param>
/// <param name="Empties">A snapshot without vNICs and groups, where there were some.</param>
internal sealed record MassChange(ulong Revision, ImmutableArray<Removal> Removals, bool Empties)
{
    /// <summary>What becomes of a step that builds on one that is held.</summary>
    public const string Code = "MassChangeHeld";

    /// <summary>"would remove 412 of 500 vNICs (82.4 %) and 3 of 4 groups (75 %)".</summary>
    public string Summary => (Empties ? "would leave no vNIC and no group: it removes " : "would remove ")
        + string.Join(" and ", Removals.Where(removal => removal.IsReason || Empties));

    /// <summary>How to go on.</summary>
    public string Remedy =>
        $"If it is meant, commit it (sgctl staged --commit --revision {Revision}) or send it again with "
        + "confirm_mass_change; otherwise discard it (sgctl staged --discard) or send another state.";

    /// <summary>Looks at a snapshot.</summary>
    /// <returns>Null: it is none.</returns>
    public static MassChange? Of(PolicySnapshot before, PolicySnapshot after, MassChangeConfig bounds)
    {
        bool empties = IsEmpty(after) && !IsEmpty(before);
        return Of(before, after, bounds, empties);
    }

    /// <summary>Looks at a delta. Costs what it touches, unless it may be one.</summary>
    /// <returns>Null: it is none.</returns>
    public static MassChange? Of(PolicySnapshot before, PolicySnapshot after, Delta delta, MassChangeConfig bounds) =>
        MayBe(before, delta, bounds) ? Of(before, after, bounds, empties: false) : null;

    private static MassChange? Of(PolicySnapshot before, PolicySnapshot after, MassChangeConfig bounds, bool empties)
    {
        Removal[] removals =
        [
            Removed("vNICs", before.Vnics.Keys.Count(id => !after.Vnics.ContainsKey(id)), before.Vnics.Count,
                after.Vnics.Count, bounds),
            Removed("groups", before.Groups.Keys.Count(id => !after.Groups.ContainsKey(id)), before.Groups.Count,
                after.Groups.Count, bounds),
            Removed("members", before.Groups.Values.Sum(group => MembersRemoved(group, after)), Members(before),
                Members(after), bounds),
        ];
        return empties || removals.Any(removal => removal.IsReason)
            ? new MassChange(after.Revision, [.. removals.Where(removal => removal.Removed > 0)], empties) : null;
    }

    // Most that it can remove, by what it says: not what it names in vain.
    private static bool MayBe(PolicySnapshot before, Delta delta, MassChangeConfig bounds)
    {
        long members = delta.Members.Sum(change => (long)change.Remove.Count)
            + delta.RemoveGroups.Concat(delta.ReplaceMembersOf)
                .Sum(id => (long)(before.Groups.GetValueOrDefault(id)?.Members.Count ?? 0));
        return IsMass(delta.RemoveVnics.Count, before.Vnics.Count, bounds)
            || IsMass(delta.RemoveGroups.Count, before.Groups.Count, bounds)
            || (members >= bounds.Floor && IsMass(members, Members(before), bounds));
    }

    private static Removal Removed(string kind, long removed, long before, long after, MassChangeConfig bounds) =>
        new(kind, removed, before, after, IsMass(removed, before, bounds));

    private static bool IsMass(long removed, long before, MassChangeConfig bounds) =>
        removed >= bounds.Floor && 100 * removed > bounds.RemovalPercent * before;

    private static long Members(PolicySnapshot policy) =>
        policy.Groups.Values.Sum(group => (long)group.Members.Count);

    private static long MembersRemoved(SecurityGroup before, PolicySnapshot after) =>
        after.Groups.TryGetValue(before.Id, out SecurityGroup? kept)
            ? PolicyContent.Difference(before.Members, kept.Members).LongCount(one => !one.IsAdded)
            : before.Members.Count;

    private static bool IsEmpty(PolicySnapshot policy) => policy.Vnics.IsEmpty && policy.Groups.IsEmpty;
}
