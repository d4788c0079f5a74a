using System.Net;

namespace Agent.KernelTests.Scenarios;

/// <summary>Who has which address, in one family; a scenario is written once and asked in both.</summary>
/// <remarks>IPv4 addresses are those of semantics.md section 8; each IPv6 one plays the same part.</remarks>
public sealed record AddressPlan
{
    public static readonly AddressPlan V4 = new()
    {
        Family = "IPv4",
        Any = "0.0.0.0/0",
        E1 = "10.0.0.8",
        E1Second = "10.0.0.9",
        E2 = "10.0.0.5",
        E2Second = "10.0.0.6",
        E2Delegated = "10.0.3.3",
        E3 = "10.0.0.7",
        GuestNet = "10.0.0.0/24",
        Ten = "10.1.2.3",
        TenNet = "10.0.0.0/8",
        Seven = "198.51.100.7",
        SevenNet = "198.51.100.0/24",
        Nine = "203.0.113.9",
        NineNet = "203.0.113.0/24",
        Resolver = "8.8.8.8",
        Router = "198.51.100.1",
        Foreign = "192.0.2.66",
    };

    public static readonly AddressPlan V6 = new()
    {
        Family = "IPv6",
        Any = "::/0",
        E1 = "2001:db8:1::8",
        E1Second = "2001:db8:1::9",
        E2 = "2001:db8:1::5",
        E2Second = "2001:db8:1::6",
        E2Delegated = "2001:db8:1:3::3",
        E3 = "2001:db8:1::7",
        GuestNet = "2001:db8:1::/64",
        Ten = "2001:db8:a:1::3",
        TenNet = "2001:db8:a::/48",
        Seven = "2001:db8:64::7",
        SevenNet = "2001:db8:64::/64",
        Nine = "2001:db8:71::9",
        NineNet = "2001:db8:71::/64",
        Resolver = "2001:4860:4860::8888",
        Router = "2001:db8:64::1",
        Foreign = "2001:db8:bad::66",
    };

    // EIPs are IPv4 only; the gateway outside translates them.
    public const string Eip1 = "203.0.113.51";
    public const string Eip2 = "203.0.113.52";
    public const string Metadata = "100.100.100.200";
    public const string CloudDns = "100.100.2.136";
    public const string HealthCheck = "100.64.0.5";

    public required string Family { get; init; }

    public required string Any { get; init; }

    /// <summary>The ENI that most scenarios speak of: primary and secondary address.</summary>
    public required string E1 { get; init; }

    public required string E1Second { get; init; }

    public required string E2 { get; init; }

    public required string E2Second { get; init; }

    /// <summary>An address inside a prefix that is delegated to e2.</summary>
    public required string E2Delegated { get; init; }

    public required string E3 { get; init; }

    public required string GuestNet { get; init; }

    /// <summary>Outside, private, in <see cref="TenNet"/>; a member of no group.</summary>
    public required string Ten { get; init; }

    public required string TenNet { get; init; }

    public required string Seven { get; init; }

    public required string SevenNet { get; init; }

    public required string Nine { get; init; }

    public required string NineNet { get; init; }

    public required string Resolver { get; init; }

    public required string Router { get; init; }

    /// <summary>Nobody's address.</summary>
    public required string Foreign { get; init; }

    public bool IsV4 => Family == "IPv4";

    public static AddressPlan Named(string family) => family == "IPv4" ? V4 : V6;

    /// <summary>The prefix of one address.</summary>
    public static string Host(string address) => $"{address}/{IPAddress.Parse(address).GetAddressBytes().Length * 8}";

    // Questions, expected to pass until they say Dropped().

    public static Question Tcp(string from, string source, string to, string target, int port) =>
        new(ProbeKind.Tcp, from, source, to, target) { Port = port };

    public static Question Udp(string from, string source, string to, string target, int port) =>
        new(ProbeKind.Udp, from, source, to, target) { Port = port };

    public static Question Echo(string from, string source, string to, string target) =>
        new(ProbeKind.Echo, from, source, to, target);

    public static Question Protocol(string from, string source, string to, string target, byte number) =>
        new(ProbeKind.Protocol, from, source, to, target) { Protocol = number };

    /// <summary>A router's "too big" about a live session of the kind, from a guest to an address outside.</summary>
    public Question TooBig(ProbeKind kind, string guest, string source, string target) =>
        new(kind, guest, source, "out", target) { Port = 5000, Router = Router };
}
