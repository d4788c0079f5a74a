using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>What a compilation needs. Equal requests give equal rulesets, byte for byte.</summary>
/// <param name="Policy">The desired state; validated.</param>
/// <param name="PolicySettings">Switches of the semantics.</param>
/// <param name="Settings">Switches of the layout.</param>
/// <param name="Host">What the host has.</param>
/// <param name="Epoch">The policy epoch, within <see cref="CompilerSettings.EpochMask"/>, not 0.</param>
public sealed record CompileRequest(
    PolicySnapshot Policy, PolicySettings PolicySettings, CompilerSettings Settings, HostFacts Host, uint Epoch)
{
    /// <summary>
    /// Profiles (by <see cref="CompiledRuleset.ProfileOf"/>) that must not follow <see cref="Policy"/>: the policy
    /// whose rules they keep, or null to close them. How a refused object of one vNIC stays that vNIC's own problem.
    /// </summary>
    public ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> HeldBack { get; init; } =
        ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty;

    /// <summary>
    /// An earlier result to take unchanged parts from. It makes a compilation cheaper, never different.
    /// </summary>
    public CompiledRuleset? Previous { get; init; }

    /// <summary>
    /// vNICs (by id) that were attached to a running guest just now: TCP sessions of theirs that nobody saw begin are
    /// judged as if they began with the packet at hand.
    /// </summary>
    public ImmutableHashSet<string> Adopting { get; init; } = [];

    /// <summary>Conntrack zones in use, by VPC id; see <see cref="ZoneNumbers"/>.</summary>
    public ImmutableSortedDictionary<string, ushort> KnownZones { get; init; } = ZoneNumbers.None;

    /// <summary>
    /// Names of timeout objects to keep although no vNIC uses them: sessions may. Names that are not ours mean nothing.
    /// </summary>
    public ImmutableSortedSet<string> KeptTimes { get; init; } =
        ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    /// <summary>vNICs (by id) that must be closed, and why.</summary>
    public ImmutableDictionary<string, string> ClosedVnics { get; init; } = ImmutableDictionary<string, string>.Empty;
}
