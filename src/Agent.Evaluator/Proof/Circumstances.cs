using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>The device on one side of a hook: none, one, or any of several that the program must treat alike.</summary>
internal sealed record Interfaces
{
    /// <summary>The hook has no such device.</summary>
    public static readonly Interfaces None = new() { Names = [""] };

    /// <summary>Whatever device: the answer may not depend on it.</summary>
    public static readonly Interfaces Any = new() { Names = [] };

    /// <summary>
    /// The program stops where one of them is gone to, even if there is only one: another run goes on from there.
    /// </summary>
    public bool StopsAtGoto { get; init; }

    /// <summary>Empty: every name there may be.</summary>
    public ImmutableArray<string> Names { get; private init; }

    public bool IsAny => Names.IsEmpty;

    /// <summary>The name, if there is only one.</summary>
    public string? Single => Names.Length == 1 && !StopsAtGoto ? Names[0] : null;

    public static Interfaces Of(string name) => new() { Names = [name] };

    public static Interfaces OneOf(IEnumerable<string> names) => new() { Names = [.. names] };

    public bool Equals(Interfaces? other) => other is not null
        && StopsAtGoto == other.StopsAtGoto
        && (Names == other.Names || Names.AsSpan().SequenceEqual(other.Names.AsSpan()));

    public override int GetHashCode() => Names.IsEmpty ? 0 : HashCode.Combine(Names[0], Names.Length);

    public override string ToString() => IsAny ? "any interface" : string.Join(", ", Names);
}

/// <summary>What is fixed while all packets of a family pass a hook.</summary>
internal sealed record Circumstances
{
    public required NftFamily Table { get; init; }

    public required NftHook Hook { get; init; }

    public required IpFamily Family { get; init; }

    public Interfaces In { get; init; } = Interfaces.None;

    public Interfaces Out { get; init; } = Interfaces.None;

    /// <summary>The chain runs before conntrack: a zone may be chosen, and there is nothing else to ask.</summary>
    public bool BeforeConntrack { get; init; }

    public CtState State { get; init; } = CtState.New;

    public bool Reply { get; init; }

    /// <summary>The entry is in the table: an earlier packet of the session passed.</summary>
    public bool Confirmed { get; init; }

    public ushort Zone { get; init; }

    /// <summary>At a bridge: whom frames are for.</summary>
    public FrameDestination? FrameTo { get; init; }

    /// <summary>
    /// At a bridge: the type of frames that are no IP; <see cref="OtherType"/> for any that the program does not name.
    /// Null: IP.
    /// </summary>
    public ushort? FrameType { get; init; }

    public const ushort OtherType = 0;

    /// <summary>Bits that a packet mark has not, unless the program set them.</summary>
    public uint PassedBits { get; init; }

    /// <summary>Bits of the conntrack mark that carry the policy epoch; the others are foreign, and unknown.</summary>
    public uint EpochMask { get; init; }

    /// <summary>
    /// The entry's epoch. Null: some epoch that is not <see cref="LiveEpoch"/>, and no other that the program names.
    /// </summary>
    public uint? Epoch { get; init; }

    public uint LiveEpoch { get; init; }

    /// <summary>What <c>ct count</c> finds. Null: either, and the answer may not depend on it.</summary>
    public bool? LimitExceeded { get; init; }

    /// <summary>What a situation says, with everything else as if it did not matter.</summary>
    public static Circumstances Of(
        NftFamily table, NftHook hook, IpFamily family, Situation situation, ushort zone, ProofFacts facts)
    {
        return new Circumstances
        {
            Table = table,
            Hook = hook,
            Family = family,
            State = situation.State,
            Reply = situation.Reply,
            Confirmed = situation.Confirmed,
            Zone = zone,
            EpochMask = facts.EpochMask,
            LiveEpoch = facts.Epoch,
            Epoch = situation.IsLive ? facts.Epoch : null,
        };
    }

    public bool HasEntry => !BeforeConntrack && State is CtState.New or CtState.Established or CtState.Related;
}
