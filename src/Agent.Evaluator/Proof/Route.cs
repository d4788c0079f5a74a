using System.Collections.Immutable;
using Agent.Nftables;
using Agent.Policy;

namespace Agent.Evaluator.Proof;

/// <summary>What lies behind the device by which a packet leaves, if it is no vNIC.</summary>
internal enum Beyond : byte
{
    /// <summary>Nothing that is ours.</summary>
    Elsewhere,

    /// <summary>This host.</summary>
    Host,

    /// <summary>A managed interface that the policy does not name, or the uplink of another VPC.</summary>
    Closed,

    /// <summary>A vNIC of the same VPC, which judges next: only the sender's part is asked for.</summary>
    Receiver,
}

/// <summary>Whom a frame at a bridge is for.</summary>
internal enum FrameReceiver : byte
{
    /// <summary>The MAC address of the vNIC that it reaches; of no vNIC, any that is nobody's.</summary>
    Receiver,

    /// <summary>Another one: the bridge floods it.</summary>
    Another,

    /// <summary>All, or a group.</summary>
    Group,
}

/// <summary>The destination of frames.</summary>
/// <param name="Kind">Whom they are for.</param>
/// <param name="Macs">MAC addresses of all vNICs, by their interfaces.</param>
internal sealed record FrameDestination(FrameReceiver Kind, ImmutableDictionary<string, MacAddress> Macs);

/// <summary>One hook on a packet's way.</summary>
internal sealed record Leg(NftFamily Table, NftHook Hook, Interfaces In, Interfaces Out)
{
    /// <summary>A hook before this one has put the session into conntrack's table.</summary>
    public bool IsConfirmed { get; init; }
}

/// <summary>A way through a hook.</summary>
/// <param name="Name">For people.</param>
/// <param name="Hook">forward, input (to this host) or output (from it).</param>
/// <param name="In">Devices it may come from.</param>
/// <param name="Out">Devices it may leave by.</param>
internal sealed record Route(string Name, NftHook Hook, Interfaces In, Interfaces Out)
{
    /// <summary>The family whose chains stand there.</summary>
    public NftFamily Table { get; init; } = NftFamily.Inet;

    /// <summary>The hooks that packets pass; empty: this one.</summary>
    public ImmutableArray<Leg> Legs { get; init; } = [];

    /// <summary>At a bridge: whom frames are for.</summary>
    public FrameDestination? FrameTo { get; init; }

    /// <summary>It does not leave its link: ARP and neighbour discovery may pass.</summary>
    public bool IsLink => Table == NftFamily.Bridge && Legs.IsEmpty;

    /// <summary>
    /// At a bridge: what the host or the bridge itself says has met no conntrack at all, and is "of no session".
    /// </summary>
    public bool IsUntold => IsLink || (FromHost && !Legs.IsEmpty);

    /// <summary>It is routed between a bridge and elsewhere: nothing that concerns one link may pass.</summary>
    public bool LeavesLink => Hook == NftHook.Forward && !Legs.IsEmpty;

    /// <summary>Nothing passes here, live sessions included.</summary>
    public bool IsBarred { get; init; }

    /// <summary>It reaches a guest that it is not for.</summary>
    public bool IsFlooded => FrameTo is { Kind: FrameReceiver.Another }
        && (Receiver is not null || Beyond == Beyond.Receiver);

    /// <summary>The guest that sends.</summary>
    public Vnic? Sender { get; init; }

    /// <summary>The guest that receives.</summary>
    public Vnic? Receiver { get; init; }

    public Beyond Beyond { get; init; }

    /// <summary>It comes from an uplink of a listed VPC that is not the receiver's.</summary>
    public bool IsFromAnotherVpc { get; init; }

    /// <summary>It comes from a managed interface that the policy does not name.</summary>
    public bool FromClosed { get; init; }

    /// <summary>The zone that conntrack finds the packet in, if it finds it.</summary>
    public ushort Zone { get; init; }

    /// <summary>The receiver's sessions are in another zone.</summary>
    public bool IsOfAnotherZone { get; init; }

    /// <summary>The packet came with a mark that the fabric is trusted to set.</summary>
    public uint? TrustedMark { get; init; }

    /// <summary>The packet has passed a sender: only the receiver's part is asked for.</summary>
    public bool IsBehindSender { get; init; }

    /// <summary>Routes of this class with one device on either side, if it has several; of many, some.</summary>
    public ImmutableArray<Route> Examples { get; init; } = [];

    /// <summary>A vNIC takes part.</summary>
    public bool IsOurs => Sender is not null || Receiver is not null || Beyond == Beyond.Receiver;

    public IEnumerable<Route> Concretes() => !Examples.IsEmpty ? Examples
        : [this with { In = First(In), Out = First(Out) }];

    private static Interfaces First(Interfaces devices) => Interfaces.Of(devices.Names[0]);

    public bool FromHost => Hook == NftHook.Output;

    /// <summary>Its sender is judged where it is known to be for this host.</summary>
    public bool IsToHost => Hook == NftHook.Input && Table == NftFamily.Inet && Legs.IsEmpty;
}
