using Agent.Policy;

namespace Agent.Daemon.Drops;

/// <summary>A packet that the kernel has reported, in the policy's terms.</summary>
internal sealed record DropRecord
{
    /// <summary>In place of what cannot be told for certain.</summary>
    public const string Unknown = "unknown";

    public required DateTimeOffset Time { get; init; }

    /// <summary>Empty: the interface is no vNIC's.</summary>
    public required string VnicId { get; init; }

    public required string Interface { get; init; }

    public required Direction Direction { get; init; }

    public required bool IsAccepted { get; init; }

    /// <summary>Of the names that drop chains and guards have, or "accepted".</summary>
    public required string Reason { get; init; }

    /// <summary>"sg-web/sgr-1", "inner:sg-web", "default"; empty: no rule decides such packets.</summary>
    public required string Rule { get; init; }

    public required PacketHeaders Packet { get; init; }

    public required MacAddress? GuestMac { get; init; }

    /// <summary>Null: untagged, or the tag is in the frame's own type.</summary>
    public ushort? VlanId { get; init; }
}
