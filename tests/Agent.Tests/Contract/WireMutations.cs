using Google.Protobuf;

namespace Agent.Tests.Contract;

/// <summary>What a broken or hostile sender makes of a message's bytes.</summary>
internal static class WireMutations
{
    /// <summary>One to four mutations, one after the other.</summary>
    public static byte[] Of(byte[] message, Random random)
    {
        for (int i = random.Next(1, 5); i > 0; i--)
        {
            message = Once(message, random);
        }

        return message;
    }

    private static byte[] Once(byte[] bytes, Random random)
    {
        int at = random.Next(bytes.Length + 1);
        int end = Math.Min(bytes.Length, at + random.Next(1, 40));
        switch (random.Next(12))
        {
            case 0: return Flipped(bytes, random);
            case 1: return bytes[..at];
            case 2: return bytes[at..];
            case 3: return [.. bytes[..at], .. bytes[end..]];
            case 4: return [.. bytes[..end], .. bytes[at..]]; // said twice
            case 5: return [.. bytes, .. bytes]; // every field again: merged
            case 6: return [.. bytes[..at], .. RandomBytes(random), .. bytes[at..]];
            case 7: return [.. bytes[..at], .. HugeNumber(random), .. bytes[at..]];
            case 8: return [.. bytes[..at], .. Field(random), .. bytes[at..]];
            case 9: return Nested(bytes, random);
            case 10: return [.. bytes, .. Nested(bytes[at..end], random)];
            default: return at == bytes.Length ? bytes : Replaced(bytes, at, (byte)random.Next(256));
        }
    }

    private static byte[] Flipped(byte[] bytes, Random random)
    {
        byte[] flipped = [.. bytes];
        for (int i = random.Next(1, 9); i > 0 && bytes.Length > 0; i--)
        {
            flipped[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        }

        return flipped;
    }

    private static byte[] Replaced(byte[] bytes, int at, byte value)
    {
        byte[] replaced = [.. bytes];
        replaced[at] = value;
        return replaced;
    }

    private static byte[] RandomBytes(Random random)
    {
        byte[] bytes = new byte[random.Next(1, 20)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[] HugeNumber(Random random) =>
        [.. Enumerable.Repeat((byte)0xff, random.Next(1, 12)), (byte)random.Next(0x80)];

    /// <summary>A tag of any wire type, a length that need not be true, and some bytes.</summary>
    private static byte[] Field(Random random)
    {
        using var stream = new MemoryStream();
        using var output = new CodedOutputStream(stream);
        output.WriteTag(random.Next(1, 40), (WireFormat.WireType)random.Next(6));
        output.WriteLength(random.Next(4) == 0 ? int.MaxValue : random.Next(30));
        output.Flush();
        return [.. stream.ToArray(), .. RandomBytes(random)];
    }

    /// <summary>In a field, in a field, ...: up to deeper than any parser goes.</summary>
    private static byte[] Nested(byte[] bytes, Random random)
    {
        for (int depth = random.Next(1, 130); depth > 0 && bytes.Length < 100_000; depth--)
        {
            using var stream = new MemoryStream();
            using var output = new CodedOutputStream(stream);
            output.WriteTag(random.Next(1, 14), WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(bytes));
            output.Flush();
            bytes = stream.ToArray();
        }

        return bytes;
    }
}
