using System.Collections.Immutable;

namespace Agent.Policy;

/// <summary>semantics.md 9.1.</summary>
public enum EgressInner : byte
{
    CustomFirst,
    InnerFirst,
}

/// <summary>
/// Infrastructure that reaches every vNIC whatever its rules say, and the documented switches of section 9.
/// </summary>
/// <remarks>Both judges and the compiler take it, so that they answer the same question.</remarks>
public sealed record PolicySettings
{
    public static readonly PolicySettings Default = new();

    /// <summary>semantics.md 9.1: outbound custom drop against inner accept.</summary>
    public EgressInner EgressInner { get; init; } = EgressInner.CustomFirst;

    /// <summary>Destinations that no egress rule can block (semantics.md 5.3): the metadata server.</summary>
    public ImmutableArray<IpPrefix> MetadataAddresses { get; init; } = [IpPrefix.Parse("100.100.100.200")];

    /// <summary>
    /// Packet marks that the fabric sets on balancer and probe traffic; such ingress is exempt (semantics.md 9.16).
    /// </summary>
    public ImmutableArray<uint> TrustedMarks { get; init; } = [];

    /// <summary>Destination TCP ports that no guest may reach (semantics.md 5.3, E16).</summary>
    public ImmutableArray<ushort> PlatformBlockedTcpPorts { get; init; } = [25];
}
