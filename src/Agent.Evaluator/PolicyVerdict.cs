using System.Collections.Immutable;
using Agent.Policy;

namespace Agent.Evaluator;

/// <summary>Which row of semantics.md section 1 decided.</summary>
public enum VerdictReason : byte
{
    /// <summary>Step 0: the source is not an address of the vNIC (semantics.md 5.4).</summary>
    Spoof = 1,

    /// <summary>Step 0: the destination is not an address of the vNIC (semantics.md 5.4).</summary>
    NotOwnAddress,

    /// <summary>Step 0: a TCP port that the platform blocks outbound (semantics.md 5.3).</summary>
    PlatformBlock,

    /// <summary>Step 1: the metadata server, outbound.</summary>
    Metadata,

    /// <summary>Step 1: traffic that the fabric marked as its own, inbound.</summary>
    TrustedMark,

    /// <summary>Step 3: both ends share a basic group whose inner access is accept.</summary>
    Inner,

    /// <summary>Step 4: the first matching rule of the pooled list.</summary>
    Rule,

    /// <summary>Step 5: no rule matched; the group type decides.</summary>
    Default,

    /// <summary>A group of the vNIC is not in the snapshot, or it has none: closed both ways.</summary>
    NoPolicy,
}

/// <summary>The first field of a rule that did not fit the packet, in the order of comparison.</summary>
public enum Mismatch : byte
{
    Family = 1,
    Protocol,
    Remote,
    DestinationPort,
    SourcePort,
    OwnSide,
}

/// <summary>A rule that was looked at before the deciding one.</summary>
public sealed record ConsideredRule(string GroupId, GroupRule Rule, Mismatch Why);

/// <summary>The answer for one vNIC, one direction and one packet that opens or re-opens a session.</summary>
/// <param name="Verdict">Accept or drop.</param>
/// <param name="Reason">The step that decided.</param>
/// <param name="GroupId">The group of the deciding rule or inner access; null for other reasons.</param>
/// <param name="Rule">The deciding rule; null for other reasons.</param>
/// <param name="Considered">Rules that were looked at and did not match, in order.</param>
public sealed record PolicyVerdict(
    Verdict Verdict,
    VerdictReason Reason,
    string? GroupId,
    GroupRule? Rule,
    ImmutableArray<ConsideredRule> Considered)
{
    public bool Accepted => Verdict == Verdict.Accept;

    public override string ToString() => Reason switch
    {
        VerdictReason.Rule => $"{Verdict} by rule {Rule!.Id} of {GroupId}",
        VerdictReason.Inner => $"{Verdict} by inner access of {GroupId}",
        _ => $"{Verdict} by {Reason}",
    };
}
