using System.Collections.Immutable;
using System.Globalization;

namespace Agent.Evaluator.Proof;

/// <summary>What the ruleset should do with frames of vNICs at a bridge.</summary>
public enum BridgeClaim : byte
{
    /// <summary>The kernel has nothing there.</summary>
    None,

    /// <summary>It drops them.</summary>
    Closed,

    /// <summary>It judges them.</summary>
    Open,
}

/// <summary>What is fixed outside of the policy: how this host's datapath was set up.</summary>
public sealed record ProofFacts
{
    /// <summary>Bits of the conntrack mark that carry the policy epoch.</summary>
    public required uint EpochMask { get; init; }

    /// <summary>The epoch in force, within the mask, not 0.</summary>
    public required uint Epoch { get; init; }

    /// <summary>Conntrack zones of listed VPCs, by VPC id.</summary>
    public ImmutableSortedDictionary<string, ushort> Zones { get; init; } =
        ImmutableSortedDictionary.Create<string, ushort>(StringComparer.Ordinal);

    /// <summary>vNICs (by id) that must be closed.</summary>
    public ImmutableHashSet<string> Closed { get; init; } = [];

    /// <summary>vNICs (by id) that may go on with TCP sessions whose begin nobody saw.</summary>
    public ImmutableHashSet<string> Adopting { get; init; } = [];

    /// <summary>What stands in the bridge family.</summary>
    public BridgeClaim Bridge { get; init; }

    /// <summary>Names of the bridge devices, if ports of bridges are judged.</summary>
    public ImmutableArray<string> Bridges { get; init; } = [];

    /// <summary>
    /// Bits of the packet mark by which one table tells the other what it has judged. Nobody else sets them.
    /// </summary>
    public uint PassedBits { get; init; }

    /// <summary>Packet marks by which one table tells the other something else. Nobody else sets them.</summary>
    public ImmutableHashSet<uint> HookMarks { get; init; } = [];

    /// <summary>
    /// vNICs (by id) that have no guard: their device does not exist, or the kernel refused something of theirs.
    /// </summary>
    public ImmutableHashSet<string> Unguarded { get; init; } = [];

    /// <summary>
    /// Interfaces that are closed unless the policy names them: exact names, or prefixes that end in '*'.
    /// </summary>
    public ImmutableArray<string> ManagedInterfaces { get; init; } = [];
}

/// <summary>What became of the proof for one vNIC.</summary>
public abstract record VnicProof
{
    private VnicProof()
    {
    }

    /// <summary>The ruleset does with every packet of the vNIC what the policy says.</summary>
    public sealed record Proved : VnicProof;

    /// <summary>It does not, and both judges of single packets say so.</summary>
    public sealed record Refuted(Counterexample Example) : VnicProof;

    /// <summary>Nobody knows. Never read it as proved.</summary>
    public sealed record Unknown(string Reason) : VnicProof
    {
        /// <summary>Everything that is ever proved is proved; the reason says what that leaves out.</summary>
        public bool IsBeyond { get; init; }
    }
}

/// <summary>A packet that the ruleset treats otherwise than the policy.</summary>
/// <param name="Path">Where it travels: "tap-one -> up", "host -> tap-one".</param>
/// <param name="Situation">What conntrack says of it.</param>
/// <param name="Packet">Its tuple, as it is on the wire.</param>
/// <param name="Input">The packet and its circumstances, to run it again.</param>
/// <param name="Expected">What should become of it.</param>
/// <param name="Why">What decides, in the policy's words.</param>
/// <param name="Observed">What became of it.</param>
/// <param name="Trace">How.</param>
public sealed record Counterexample(
    string Path, string Situation, PacketTuple Packet, HookInput Input, PacketFate Expected, string Why,
    PacketFate Observed, Trace Trace)
{
    /// <summary>
    /// A frame at the ingress of a guest's device: its shape and its bytes, which need not be a packet. Null: a packet.
    /// </summary>
    public string? Frame { get; init; }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Path}, {Situation}: {Frame ?? Packet.ToString()}: expected {Expected} ({Why}), but {Observed}: {Trace}");
}

/// <summary>What becomes of a packet at a hook, as far as the policy has a say.</summary>
public enum PacketFate
{
    /// <summary>Dropped, and its session's mark is as it was.</summary>
    Dropped,

    /// <summary>Accepted; its session is live.</summary>
    Admitted,

    /// <summary>Accepted; its session, if it has one, is not live.</summary>
    Passed,

    /// <summary>Dropped, but its session's mark was changed: later packets may pass.</summary>
    DroppedButMarked,

    /// <summary>Accepted, but bits of the session's mark that are not ours were changed.</summary>
    ForeignBitsChanged,

    /// <summary>Accepted, but with a packet mark that others may take for theirs.</summary>
    MarkLeftBehind,

    /// <summary>Its session would be looked for in the zone of another VPC.</summary>
    WrongZone,

    /// <summary>A frame of a guest that is treated as it should be, but not counted by its kind.</summary>
    CountedAsAnother,
}

/// <summary>The answer for a ruleset.</summary>
/// <param name="Vnics">By vNIC id.</param>
/// <param name="Host">Traffic of no vNIC, which is left alone; unknown managed interfaces, which are closed.</param>
public sealed record ProofReport(ImmutableSortedDictionary<string, VnicProof> Vnics, VnicProof Host)
{
    public bool IsProved => Host is VnicProof.Proved && Vnics.Values.All(proof => proof is VnicProof.Proved);
}
