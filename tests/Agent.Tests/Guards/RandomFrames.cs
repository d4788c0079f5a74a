using System.Net;
using Agent.Policy;
using Agent.TestNet;

namespace Agent.Tests.Guards;

/// <summary>The table of frames that guests send, and what becomes of them when bytes change.</summary>
internal static class RandomFrames
{
    private static readonly byte[] Tempting =
        [0, 1, 2, 4, 5, 6, 8, 9, 14, 17, 24, 32, 43, 44, 45, 51, 58, 60, 67, 68, 0x60, 0x86, 0xdd, 131, 132, 133, 134,
            135, 136, 137, 143, 255];

    public static IReadOnlyList<GuestFrame> Table(Vnic vnic)
    {
        IPAddress Own(IpFamily family, int index, string other)
        {
            IpPrefix[] own = [.. vnic.Addresses.Concat(vnic.DelegatedPrefixes).Where(a => a.Family == family)];
            return own.Length == 0 ? IPAddress.Parse(other)
                : IpPrefix.AddressOf(family, own[Math.Min(index, own.Length - 1)].Last);
        }

        return GuestFrames.Of(new GuestIdentity(vnic.Mac.ToBytes(), [0x0e, 0, 0, 0, 0, 2])
        {
            V4 = Own(IpFamily.V4, 0, "10.99.0.1"),
            OtherV4 = Own(IpFamily.V4, 1, "10.99.0.2"),
            V6 = Own(IpFamily.V6, 0, "2001:db8:99::1"),
            OtherV6 = Own(IpFamily.V6, 1, "2001:db8:99::2"),
        });
    }

    /// <summary>One to four changes: a byte, a bit, the length, a tag.</summary>
    public static byte[] Changed(Random random, byte[] frame)
    {
        byte[] bytes = [.. frame];
        for (int i = random.Next(1, 5); i > 0; i--)
        {
            int at = random.Next(random.Next(3) == 0 ? bytes.Length : Math.Min(bytes.Length, 90));
            switch (random.Next(6))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1 or 2:
                    bytes[at] = Tempting[random.Next(Tempting.Length)];
                    break;
                case 3:
                    bytes = bytes[..Math.Max(14, at)];
                    break;
                case 4:
                    bytes = [.. bytes, .. new byte[random.Next(1, 24)]];
                    break;
                default:
                    bytes = random.Next(4) > 0 ? WithLength(bytes)
                        : [.. bytes[..12], .. (byte[])[0x81, 0, 0, 0], .. bytes[12..]];
                    break;
            }
        }

        return random.Next(2) == 0 ? WithLength(bytes) : bytes;
    }

    // Says again how long it is, or most changes would only break the header.
    private static byte[] WithLength(byte[] frame)
    {
        int size = frame.Length - 14;
        if (size >= 20 && frame[12] == 8 && frame[13] == 0)
        {
            (frame[16], frame[17]) = ((byte)(size >> 8), (byte)(size & 255));
        }

        if (size >= 40 && frame[12] == 0x86 && frame[13] == 0xdd)
        {
            (frame[18], frame[19]) = ((byte)(size - 40 >> 8), (byte)(size - 40 & 255));
        }

        return frame;
    }
}
