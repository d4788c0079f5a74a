using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Agent.Policy;

/// <summary>
/// The two address families that a rule can speak of (semantics.md E08: one says nothing of the other).
/// </summary>
public enum IpFamily : byte
{
    V4 = 4,
    V6 = 6,
}

/// <summary>An address prefix of one family. IPv4 addresses occupy the low 32 bits of <see cref="Bits"/>.</summary>
/// <remarks>Always canonical: bits behind <see cref="Length"/> are zero. Ordered by family, address, length.</remarks>
public readonly record struct IpPrefix : IComparable<IpPrefix>
{
    public IpPrefix(IpFamily family, UInt128 bits, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, WidthOf(family));
        Family = family;
        Length = (byte)length;
        Bits = bits & Mask(family, length);
    }

    public IpFamily Family { get; }

    public UInt128 Bits { get; }

    /// <summary>Prefix length in bits: 0..32 or 0..128.</summary>
    public byte Length { get; }

    /// <summary>Width of the family's addresses in bits.</summary>
    public int Width => WidthOf(Family);

    public bool IsHost => Length == Width;

    public bool IsUniversal => Length == 0;

    public UInt128 First => Bits;

    public UInt128 Last => Bits | ~Mask(Family, Length) & Ceiling(Family);

    public static int WidthOf(IpFamily family) => family == IpFamily.V4 ? 32 : 128;

    /// <summary>The highest address of the family.</summary>
    public static UInt128 Ceiling(IpFamily family) => family == IpFamily.V4 ? uint.MaxValue : UInt128.MaxValue;

    public static IpPrefix Universal(IpFamily family) => new(family, 0, 0);

    public static IpPrefix Host(IpFamily family, UInt128 address) => new(family, address, WidthOf(family));

    public static IpPrefix Host(IPAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int written);
        return written == 4
            ? Host(IpFamily.V4, BinaryPrimitives.ReadUInt32BigEndian(bytes))
            : Host(IpFamily.V6, BinaryPrimitives.ReadUInt128BigEndian(bytes));
    }

    public bool Contains(IpFamily family, UInt128 address) =>
        family == Family && (address & Mask(Family, Length)) == Bits;

    public bool Contains(IpPrefix other) => other.Length >= Length && Contains(other.Family, other.Bits);

    /// <summary>Reads "address" or "address/length", with host bits allowed (they are cleared).</summary>
    /// <param name="text">No spaces, no scope id, no v4-mapped v6 address.</param>
    /// <param name="prefix">The canonical prefix.</param>
    /// <param name="canonical">False if host bits were set in the text.</param>
    public static bool TryParse(string? text, out IpPrefix prefix, out bool canonical)
    {
        prefix = default;
        canonical = false;
        if (string.IsNullOrEmpty(text) || text.Length > 64 || text.Contains('%', StringComparison.Ordinal))
        {
            return false;
        }

        int slash = text.IndexOf('/', StringComparison.Ordinal);
        string head = slash < 0 ? text : text[..slash];
        if (!TryParseAddress(head, out IPAddress? address))
        {
            return false;
        }

        IpPrefix host = Host(address);
        int length = host.Width;
        if (slash >= 0 && (!TryParseLength(text.AsSpan(slash + 1), out length) || length > host.Width))
        {
            return false;
        }

        prefix = new IpPrefix(host.Family, host.Bits, length);
        canonical = prefix.Bits == host.Bits;
        return true;
    }

    public static IpPrefix Parse(string text) =>
        TryParse(text, out IpPrefix prefix, out _)
            ? prefix : throw new FormatException($"'{text}' is not an address or prefix");

    public IPAddress Address => AddressOf(Family, Bits);

    public static IPAddress AddressOf(IpFamily family, UInt128 bits)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, bits);
        return new IPAddress(family == IpFamily.V4 ? bytes[12..] : bytes);
    }

    public int CompareTo(IpPrefix other)
    {
        int byFamily = ((int)Family).CompareTo((int)other.Family); // of enums it would box both
        int byBits = byFamily != 0 ? byFamily : Bits.CompareTo(other.Bits);
        return byBits != 0 ? byBits : Length.CompareTo(other.Length);
    }

    public override string ToString() => IsHost
        ? Address.ToString()
        : string.Create(CultureInfo.InvariantCulture, $"{Address}/{Length}");

    private static UInt128 Mask(IpFamily family, int length)
    {
        UInt128 ceiling = Ceiling(family);
        int hostBits = WidthOf(family) - length;
        return hostBits == 128 ? 0 : ceiling >> hostBits << hostBits;
    }

    // IPAddress.TryParse also takes "1", "0x7f.1", "010.0.0.1" and "::ffff:1.2.3.4"; a policy must not be ambiguous.
    private static bool TryParseAddress(string text, [NotNullWhen(true)] out IPAddress? address)
    {
        if (!IPAddress.TryParse(text, out address) || address.IsIPv4MappedToIPv6)
        {
            return false;
        }

        return address.AddressFamily == AddressFamily.InterNetworkV6
            ? !text.Contains('[', StringComparison.Ordinal)
            : address.ToString() == text;
    }

    private static bool TryParseLength(ReadOnlySpan<char> text, out int length)
    {
        length = 0;
        return text.Length is > 0 and <= 3
            && (text.Length == 1 || text[0] != '0')
            && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out length);
    }
}
