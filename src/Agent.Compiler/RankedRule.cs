using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Compiler;

/// <summary>The addresses that a rule speaks of, as the compiler looks them up.</summary>
/// <param name="Tag">"g:sg-a", "l:pl-1", "c:10.0.0.0/8"; null: every address of the families below.</param>
/// <param name="V4">The rule can match IPv4.</param>
/// <param name="V6">The rule can match IPv6.</param>
internal readonly record struct RemoteTag(string? Tag, bool V4, bool V6)
{
    public bool Covers(IpFamily family) => family == IpFamily.V4 ? V4 : V6;
}

/// <summary>
/// One row of the list that decides (semantics.md 4.1), with everything it names resolved but its addresses.
/// </summary>
/// <param name="Key">Names the row: "sg-web/sgr-1", "inner:sg-web", "metadata:...", "platform:25".</param>
/// <param name="Verdict">What it decides.</param>
/// <param name="Protocol">IANA number, or null for all.</param>
/// <param name="Remote">The remote side.</param>
/// <param name="Destination">Destination port ranges; empty is every port (and every protocol without ports).</param>
/// <param name="Source">Source ports.</param>
/// <param name="Own">Own side, or null for every own address.</param>
internal sealed record RankedRule(
    string Key,
    Verdict Verdict,
    byte? Protocol,
    RemoteTag Remote,
    ImmutableArray<PortRange> Destination,
    PortRange Source,
    IpPrefix? Own)
{
    /// <summary>
    /// What a key says: "rule" and which, "inner" and of which group, "metadata" or "platform" and what; any other word
    /// stands for itself.
    /// </summary>
    public static (string Reason, string Subject) Parts(string key)
    {
        int colon = key.IndexOf(':', StringComparison.Ordinal);
        return colon > 0 && key[..colon] is "inner" or "metadata" or "platform" ? (key[..colon], key[(colon + 1)..])
            : key.Contains('/', StringComparison.Ordinal) ? ("rule", key)
            : (key, "");
    }

    /// <summary>Whether the rule can match a packet of the family at all (semantics.md E08, C24).</summary>
    public bool Covers(IpFamily family) =>
        Remote.Covers(family)
        && (Own is null || Own.Value.Family == family)
        && Protocol != (family == IpFamily.V4 ? IpProtocol.Icmpv6 : IpProtocol.Icmp);

    /// <summary>It names an empty port list (semantics.md 3.2).</summary>
    public bool MatchesNothing { get; init; }

    public bool HasPorts => !Destination.IsEmpty || Source != PortRange.All;
}
