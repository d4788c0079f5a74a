using System.Collections.Immutable;
using Agent.Nftables;

namespace Agent.Evaluator;

/// <summary>Conntrack's view of a packet, as <c>ct state</c> tells it. The numbers are NF_CT_STATE_BIT's.</summary>
public enum CtState : byte
{
    /// <summary>No entry and no reason to make one; also what <c>ct state</c> says before conntrack has run.</summary>
    Invalid = 1,
    Established = 2,
    Related = 4,
    New = 8,
    Untracked = 64,
}

/// <summary>
/// The conntrack entry of a packet. For Invalid and Untracked there is none: only the state can be loaded.
/// </summary>
/// <param name="State">The state of this packet.</param>
/// <param name="Reply">It travels against the direction that opened the session.</param>
/// <param name="Mark">The entry's mark.</param>
/// <param name="Zone">The entry's zone.</param>
/// <param name="Status">IPS_* bits (linux/netfilter/nf_conntrack_common.h).</param>
public sealed record CtInput(CtState State, bool Reply = false, uint Mark = 0, ushort Zone = 0, uint Status = 0)
{
    /// <summary>No packet has an entry before conntrack's own hook.</summary>
    public static readonly CtInput None = new(CtState.Invalid);

    public bool HasEntry => State is CtState.New or CtState.Established or CtState.Related;
}

/// <summary>A packet at one hook of one family.</summary>
public sealed record HookInput
{
    public required NftFamily Family { get; init; }

    public required NftHook Hook { get; init; }

    public required PacketBytes Packet { get; init; }

    /// <summary>Empty where the hook has no such device (iifname in output, oifname in prerouting).</summary>
    public string InInterface { get; init; } = "";

    public string OutInterface { get; init; } = "";

    public uint InIndex { get; init; }

    public uint OutIndex { get; init; }

    /// <summary>The packet mark on arrival at the hook.</summary>
    public uint Mark { get; init; }

    /// <summary>As conntrack leaves it. Chains that run before conntrack do not see it.</summary>
    public CtInput Ct { get; init; } = CtInput.None;

    /// <summary>linux/if_packet.h PACKET_*; 0 is "to this host".</summary>
    public byte PacketType { get; init; }

    /// <summary>What <c>ct count</c> finds: whether the limit is exceeded. Null: it may or may not be.</summary>
    public bool? SessionLimitExceeded { get; init; } = false;
}

/// <summary>What the program does with a packet at a hook.</summary>
public enum HookVerdict : byte
{
    /// <summary>No base chain dropped it.</summary>
    Accept = 1,
    Drop = 2,

    /// <summary>
    /// Something was reached that the judge does not model, or that chance decides. Never read it as accept.
    /// </summary>
    Unknown = 3,
}

/// <summary>A rule that the packet matched.</summary>
/// <param name="Table">Table.</param>
/// <param name="Chain">Chain.</param>
/// <param name="Rule">Index in the chain, from 0.</param>
/// <param name="Comment">The rule's comment.</param>
/// <param name="What">The elements that matched, and the verdict if the rule gave one.</param>
public sealed record TraceStep(string Table, string Chain, int Rule, string? Comment, string What)
{
    public override string ToString() =>
        $"{Table} {Chain} #{Rule}{(Comment is null ? "" : $" \"{Comment}\"")}: {What}";
}

/// <summary>What a packet costs at a hook, in parts that the kernel works off one after the other.</summary>
/// <param name="Rules">Rules that were looked at, those that only report or count left out.</param>
/// <param name="Expressions">Their expressions, up to the first one that did not match.</param>
/// <param name="Lookups">Those of them that search a set or a map.</param>
public readonly record struct PathLength(int Rules, int Expressions, int Lookups)
{
    public static PathLength operator +(PathLength one, PathLength other) => new(
        one.Rules + other.Rules, one.Expressions + other.Expressions, one.Lookups + other.Lookups);
}

/// <summary>The answer for one packet at one hook.</summary>
/// <param name="Verdict">What becomes of the packet.</param>
/// <param name="UnknownReason">Set if and only if the verdict is Unknown.</param>
/// <param name="Steps">Matching rules in the order of execution.</param>
/// <param name="Mark">The packet mark behind the hook.</param>
/// <param name="CtMark">The entry's mark behind the hook; 0 if there is no entry.</param>
/// <param name="Zone">The zone that a chain chose before conntrack; null if none did.</param>
/// <param name="NoTrack">A chain took the packet out of connection tracking.</param>
/// <param name="CtTimeout">The last conntrack timeout object that was run for a new session.</param>
public sealed record Trace(
    HookVerdict Verdict,
    string? UnknownReason,
    ImmutableArray<TraceStep> Steps,
    uint Mark,
    uint CtMark,
    ushort? Zone,
    bool NoTrack,
    string? CtTimeout)
{
    /// <summary>What the packet met on its way.</summary>
    public PathLength Length { get; init; }

    /// <summary>The same effect, however it came about.</summary>
    internal bool SameEffect(Trace other) =>
        (Verdict, Mark, CtMark, Zone, NoTrack) == (other.Verdict, other.Mark, other.CtMark, other.Zone, other.NoTrack);

    public override string ToString() => UnknownReason is null
        ? $"{Verdict}: {string.Join("; ", Steps)}"
        : $"{Verdict} ({UnknownReason}): {string.Join("; ", Steps)}";
}
