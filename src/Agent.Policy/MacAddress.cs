using System.Globalization;

namespace Agent.Policy;

/// <summary>A 48-bit Ethernet address in the low bits of <see cref="Bits"/>, first octet highest.</summary>
public readonly record struct MacAddress(ulong Bits)
{
    public bool IsMulticast => (Bits >> 40 & 1) != 0;

    /// <summary>Reads "aa:bb:cc:dd:ee:ff", either case.</summary>
    public static bool TryParse(string? text, out MacAddress mac)
    {
        mac = default;
        if (text is not { Length: 17 })
        {
            return false;
        }

        ulong bits = 0;
        for (int i = 0; i < 17; i += 3)
        {
            if ((i < 15 && text[i + 2] != ':')
                || !byte.TryParse(
                    text.AsSpan(i, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte octet))
            {
                return false;
            }

            bits = bits << 8 | octet;
        }

        mac = new MacAddress(bits);
        return true;
    }

    /// <summary>The six octets in transmission order.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[6];
        for (int i = 0; i < 6; i++)
        {
            bytes[i] = (byte)(Bits >> 8 * (5 - i) & 0xff);
        }

        return bytes;
    }

    public override string ToString() =>
        string.Join(':', ToBytes().Select(b => b.ToString("x2", CultureInfo.InvariantCulture)));
}
