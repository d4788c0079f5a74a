using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>
/// What a profile is compiled from, but for the addresses behind the tags. The same object as long as that is the same.
/// </summary>
internal sealed class ProfileSource
{
    private readonly SecurityGroup[] groups;

    private ProfileSource(PolicySnapshot policy, SecurityGroup[] groups, Profile profile, PolicySettings settings)
    {
        Policy = policy;
        this.groups = groups;
        Ingress = profile.Rank(policy, settings, Direction.Ingress);
        Egress = profile.Rank(policy, settings, Direction.Egress);
        Tags = Ingress.Concat(Egress).Select(rule => rule.Remote.Tag).OfType<string>()
            .ToImmutableHashSet(StringComparer.Ordinal);
        IngressDefault = profile.Default(policy, Direction.Ingress);
        EgressDefault = profile.Default(policy, Direction.Egress);
    }

    /// <summary>Where the rules come from.</summary>
    public PolicySnapshot Policy { get; }

    public ImmutableArray<RankedRule> Ingress { get; }

    public ImmutableArray<RankedRule> Egress { get; }

    public Verdict IngressDefault { get; }

    public Verdict EgressDefault { get; }

    /// <summary>Everything whose addresses matter.</summary>
    public ImmutableHashSet<string> Tags { get; }

    /// <summary>
    /// Ranks the profile's rules, or takes the earlier source if nothing that it was made of has changed.
    /// </summary>
    public static ProfileSource Of(
        Profile profile, PolicySnapshot policy, PolicySettings settings, CompiledProfile? earlier)
    {
        SecurityGroup[] groups = [.. profile.GroupIds.Select(id => policy.Groups[id])];
        return earlier is not null && earlier.Source.IsSame(policy, groups) ? earlier.Source
            : new ProfileSource(policy, groups, profile, settings);
    }

    // Objects that a delta did not touch are the same objects.
    private bool IsSame(PolicySnapshot policy, SecurityGroup[] others)
    {
        for (int i = 0; i < groups.Length; i++)
        {
            if (groups[i].Rules != others[i].Rules || groups[i].Type != others[i].Type
                || groups[i].InnerAccess != others[i].InnerAccess)
            {
                return false;
            }
        }

        return ReferenceEquals(Policy.PortLists, policy.PortLists);
    }
}

/// <summary>One profile's share of the ruleset.</summary>
internal sealed class CompiledProfile
{
    private CompiledProfile(ProfileSource source, PolicyProgram ingress, PolicyProgram egress)
    {
        Source = source;
        Ingress = ingress;
        Egress = egress;
    }

    public ProfileSource Source { get; }

    public PolicyProgram Ingress { get; }

    public PolicyProgram Egress { get; }

    public required ImmutableArray<NftSet> Sets { get; init; }

    public required ImmutableArray<NftChain> Chains { get; init; }

    /// <summary>Why the profile cannot be enforced, or null.</summary>
    public string? TooLarge { get; private init; }

    public static CompiledProfile Of(
        Profile profile, ProfileSource source, AddressClasses classes, CompilerSettings settings)
    {
        PolicyProgram ingress = PolicyProgram.Of(source.Ingress, source.IngressDefault, classes.Classes);
        PolicyProgram egress = PolicyProgram.Of(source.Egress, source.EgressDefault, classes.Classes);
        string name = profile.Name;
        var into = new PolicyEmitter(ingress, name + "_in", classes, settings);
        var outOf = new PolicyEmitter(egress, name + "_out", classes, settings);
        string stale = DropReason.Stale;
        return new CompiledProfile(source, ingress, egress)
        {
            TooLarge = Excess(into, settings) ?? Excess(outOf, settings),
            Sets = [.. into.Maps(), .. outOf.Maps()],
            Chains =
            [
                .. into.Chains($"{name}_in", remoteIsSource: true, mirrored: false,
                    Datapath.DropTo(DropReason.Default), Datapath.DropTo(DropReason.Rule)),
                .. into.Chains($"{name}_in_reply", remoteIsSource: false, mirrored: true,
                    Datapath.DropFrom(stale), Datapath.DropFrom(stale)),
                .. outOf.Chains($"{name}_out", remoteIsSource: false, mirrored: false,
                    Datapath.DropFrom(DropReason.Default), Datapath.DropFrom(DropReason.Rule)),
                .. outOf.Chains($"{name}_out_reply", remoteIsSource: true, mirrored: true,
                    Datapath.DropTo(stale), Datapath.DropTo(stale)),
            ],
        };
    }

    private static string? Excess(PolicyEmitter emitter, CompilerSettings settings)
    {
        (int cells, int ranges) = emitter.Size;
        return cells > settings.MaxCells ? $"policy needs {cells} map elements, limit {settings.MaxCells}"
            : ranges > settings.MaxRangeCells
                ? $"policy needs {ranges} port range elements, limit {settings.MaxRangeCells}"
            : null;
    }
}
