using System.Text;

namespace Agent.Compiler;

/// <summary>FNV-1a over text, finished by a mixer: the same on every machine and in every version.</summary>
/// <remarks>Names and class numbers are made of it, so that equal policies give equal bytes, whatever came
/// before.</remarks>
internal static class StableHash
{
    public static ulong Of(string text)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte octet in Encoding.UTF8.GetBytes(text))
        {
            unchecked
            {
                hash = (hash ^ octet) * 0x100000001b3;
            }
        }

        return Mix(hash);
    }

    public static ulong Of(ReadOnlySpan<byte> bytes)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte octet in bytes)
        {
            unchecked
            {
                hash = (hash ^ octet) * 0x100000001b3;
            }
        }

        return Mix(hash);
    }

    /// <summary>Ten lower-case hex digits (40 bits).</summary>
    public static string Name(string text) => (Of(text) >> 24).ToString("x10", null);

    public static string Name(ReadOnlySpan<byte> bytes) => (Of(bytes) >> 24).ToString("x10", null);

    /// <summary>Gives each key a number below <paramref name="limit"/> and at least <paramref name="first"/>.</summary>
    /// <remarks>
    /// A number depends on the key alone, save when two keys collide: then the later one in ordinal order moves on.
    /// </remarks>
    public static Dictionary<string, uint> Number(IEnumerable<string> keys, uint first, uint limit)
    {
        var taken = new HashSet<uint>();
        var numbers = new Dictionary<string, uint>(StringComparer.Ordinal);
        foreach (string key in keys.Order(StringComparer.Ordinal))
        {
            uint number = first + (uint)(Of(key) % (limit - first));
            while (!taken.Add(number))
            {
                number = number + 1 < limit ? number + 1 : first;
            }

            numbers.Add(key, number);
        }

        return numbers;
    }

    private static ulong Mix(ulong hash)
    {
        unchecked
        {
            hash ^= hash >> 33;
            hash *= 0xff51afd7ed558ccd;
            hash ^= hash >> 33;
            hash *= 0xc4ceb9fe1a85ec53;
            return hash ^ hash >> 33;
        }
    }
}
