using System.Collections.Immutable;
using System.Globalization;

namespace Agent.Policy;

/// <summary>semantics.md 9.1.</summary>
public enum EgressInner : byte
{
    CustomFirst,
    InnerFirst,
}

/// <summary>A service of the host itself that guests may use.</summary>
/// <param name="Protocol">IANA number.</param>
/// <param name="Port">Destination port; null for protocols without ports.</param>
/// <param name="Address">
/// At this address of the host only; null: at any, of either family that the protocol has.
/// </param>
public readonly record struct HostService(byte Protocol, ushort? Port, IpPrefix? Address)
{
    /// <summary>Reads "udp/53", "tcp/8775@169.254.169.254", "icmp".</summary>
    public static HostService? Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] ends = text.Split('@');
        string[] parts = ends[0].Split('/');
        IpPrefix? address = null;
        if (ends.Length > 2 || parts.Length > 2)
        {
            return null;
        }

        if (ends.Length == 2)
        {
            if (!IpPrefix.TryParse(ends[1], out IpPrefix host, out _) || !host.IsHost)
            {
                return null;
            }

            address = host;
        }

        byte? protocol = parts[0] switch
        {
            "tcp" => IpProtocol.Tcp,
            "udp" => IpProtocol.Udp,
            "icmp" when address is not { Family: IpFamily.V6 } => IpProtocol.Icmp,
            "icmpv6" when address is not { Family: IpFamily.V4 } => IpProtocol.Icmpv6,
            _ => null,
        };
        if (protocol is not byte number || IpProtocol.HasPorts(number) != (parts.Length == 2))
        {
            return null;
        }

        ushort port = 0;
        bool valid = parts.Length == 1
            || (ushort.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out port) && port > 0);
        return valid ? new HostService(number, parts.Length == 2 ? port : null, address) : null;
    }

    public override string ToString()
    {
        string name = Protocol switch
        {
            IpProtocol.Tcp => "tcp",
            IpProtocol.Udp => "udp",
            IpProtocol.Icmp => "icmp",
            _ => "icmpv6",
        };
        return $"{name}{(Port is ushort port ? $"/{port}" : "")}{(Address is IpPrefix address ? $"@{address}" : "")}";
    }
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

    /// <summary>
    /// DHCP and DHCPv6 servers (or relays) beyond this host that guests may ask, and whose answers reach them, whatever
    /// their rules say (semantics.md 9.5). Broadcasts always may be asked, and so may the host.
    /// </summary>
    public ImmutableArray<IpPrefix> DhcpServers { get; init; } = [];

    /// <summary>Destination TCP ports that no guest may reach (semantics.md 5.3, E16).</summary>
    public ImmutableArray<ushort> PlatformBlockedTcpPorts { get; init; } = [25];

    /// <summary>
    /// What guests may ask of the host itself, if their own egress rules let them. Everything else there is closed to
    /// them, but for DHCP and the metadata addresses.
    /// </summary>
    public ImmutableArray<HostService> HostServices { get; init; } = [];
}
