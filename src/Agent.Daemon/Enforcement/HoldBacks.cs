using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Policy;

namespace Agent.Daemon.Enforcement;

/// <summary>Who does not get a change that everybody else gets, and why.</summary>
/// <param name="Profiles">As in <see cref="CompileRequest.HeldBack"/>.</param>
/// <param name="Vnics">vNICs (by id) that are closed.</param>
internal sealed record HoldBacks(
    ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)> Profiles,
    ImmutableDictionary<string, string> Vnics)
{
    public static readonly HoldBacks None = new(
        ImmutableDictionary<string, (PolicySnapshot? Policy, string Reason)>.Empty,
        ImmutableDictionary<string, string>.Empty);

    public bool IsClosed(string profile) => Profiles.TryGetValue(profile, out var held) && held.Policy is null;

    /// <summary>Closes a vNIC. The same object if it is closed already.</summary>
    public HoldBacks Closing(string vnicId, string reason) =>
        Vnics.ContainsKey(vnicId) ? this : this with { Vnics = Vnics.Add(vnicId, reason) };

    /// <summary>
    /// Lets a profile keep the rules that it has; or closes it, if it has none, or if those were not taken either. The
    /// same object if it is closed already.
    /// </summary>
    public HoldBacks HoldingBack(string profile, CompiledRuleset? inForce, string reason)
    {
        bool again = Profiles.TryGetValue(profile, out var held);
        if (again && held.Policy is null)
        {
            return this;
        }

        // The policy that its rules in force come from, which may be older than the last one.
        PolicySnapshot? kept = again ? null : inForce?.PolicyBehind(profile);
        return this with { Profiles = Profiles.SetItem(profile, (kept, reason)) };
    }
}
