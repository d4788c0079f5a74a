using System.Collections.Immutable;
using Agent.Compiler;
using Agent.Nftables;

namespace Agent.Daemon.Enforcement;

/// <summary>The kernel held something else than what had been committed, and what came of it.</summary>
/// <param name="Time">When it was seen.</param>
/// <param name="Objects">What was missing, added or altered; of many, some.</param>
/// <param name="MoreObjects">How many are not named.</param>
internal sealed record Drift(DateTimeOffset Time, ImmutableArray<string> Objects, int MoreObjects)
{
    private const int NamedMax = 20;

    /// <summary>When it was seen, by the clock that nobody sets.</summary>
    public long SeenAt { get; init; }

    /// <summary>From being seen to being undone; null if it could not be.</summary>
    public TimeSpan? Repaired { get; init; }

    /// <summary>
    /// vNICs (by id; empty for traffic of none), and a packet that was treated wrongly while it lasted, or why none is
    /// known. Null: not looked at yet.
    /// </summary>
    public ImmutableArray<(string VnicId, string Packet)>? Packets { get; init; }

    /// <summary>What was found, until it has been looked at; and what should have been there.</summary>
    public (Ruleset Held, CompiledRuleset Wanted)? Evidence { get; init; }

    public static Drift Of(TimeProvider clock, Ruleset held, Holding expected)
    {
        IReadOnlyList<RulesetChange> changes = expected.ChangesIn(held);
        return new Drift(
            clock.GetUtcNow(), [.. changes.Take(NamedMax).Select(change => change.ToString())],
            Math.Max(0, changes.Count - NamedMax))
        {
            SeenAt = clock.GetTimestamp(),
            Evidence = (held, expected.Of),
        };
    }

    /// <summary>The same, with what a proof of the evidence showed.</summary>
    public Drift Explained(ProofResult result) => this with
    {
        Evidence = null,
        Packets =
        [
            .. result.Faults.Select(fault => (fault.VnicId, fault.Reason)),
            .. result.HostFault is string host ? [("", host)] : Array.Empty<(string, string)>(),
        ],
    };

    public override string ToString() =>
        string.Join("; ", Objects) + (MoreObjects > 0 ? $"; and {MoreObjects} more" : "");
}
