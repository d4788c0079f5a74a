using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Agent.Policy;

namespace Agent.Cli.Support;

/// <summary>
/// Other addresses in place of addresses, such that what was in one prefix stays in one prefix: each bit is turned or
/// not by a keyed hash of the bits in front of it. The first byte of IPv4 and the first two of IPv6 stay, so that
/// private, link-local and multicast addresses can still be told; addresses that mean the same everywhere stay whole.
/// </summary>
internal sealed class AddressShuffle
{
    private static readonly IpPrefix[] Kept =
    [
        IpPrefix.Parse("0.0.0.0/8"), IpPrefix.Parse("127.0.0.0/8"), IpPrefix.Parse("169.254.0.0/16"),
        IpPrefix.Parse("224.0.0.0/3"), IpPrefix.Parse("100.100.100.200/32"), IpPrefix.Parse("::/127"),
        IpPrefix.Parse("ff00::/8"),
    ];

    /// <summary>Gone with the process: nobody can undo it.</summary>
    private readonly byte[] key = RandomNumberGenerator.GetBytes(32);

    private readonly Dictionary<(IpFamily Family, int Length, UInt128 Bits), bool> turns = [];

    /// <summary>The same prefix length over other bits.</summary>
    public IpPrefix Other(IpPrefix prefix)
    {
        if (Array.Exists(Kept, kept => kept.Contains(prefix)))
        {
            return prefix;
        }

        int width = prefix.Width;
        UInt128 bits = prefix.Bits;
        UInt128 other = bits;
        for (int i = prefix.Family == IpFamily.V4 ? 8 : 16; i < prefix.Length; i++)
        {
            if (Turns(prefix.Family, i, bits >> (width - i)))
            {
                other ^= UInt128.One << (width - 1 - i);
            }
        }

        return new IpPrefix(prefix.Family, other, prefix.Length);
    }

    private bool Turns(IpFamily family, int length, UInt128 before)
    {
        if (!turns.TryGetValue((family, length, before), out bool turn))
        {
            Span<byte> text = stackalloc byte[18];
            text[0] = (byte)family;
            text[1] = (byte)length;
            BinaryPrimitives.WriteUInt128BigEndian(text[2..], before);
            Span<byte> hash = stackalloc byte[32];
            HMACSHA256.HashData(key, text, hash);
            turn = (hash[0] & 1) != 0;
            turns.Add((family, length, before), turn);
        }

        return turn;
    }

    /// <summary>An address or prefix as text; null if it is none.</summary>
    public string? Other(string text)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        string address = slash < 0 ? text : text[..slash];
        if (!IPAddress.TryParse(address, out IPAddress? parsed)
            || (parsed.AddressFamily == AddressFamily.InterNetwork && address.Count(c => c == '.') != 3)
            || !IpPrefix.TryParse(text, out IpPrefix prefix, out _))
        {
            return null;
        }

        string other = Other(prefix).ToString();
        return slash >= 0 && !other.Contains('/', StringComparison.Ordinal) ? other + text[slash..] : other;
    }
}
