using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Agent.Nftables;

namespace Agent.KernelTests.Nftables;

/// <summary>
/// Keys of elements, from our rows and from nft's JSON, in one form: fields joined by " . ", each first-last.
/// </summary>
internal static class ElementText
{
    public static string Key(NftSet set, byte[] row)
    {
        var fields = new List<string>();
        int at = 0;
        foreach (NftType type in set.Key)
        {
            string first = Field(set, type, row.AsSpan(at));
            fields.Add(
                set.Interval ? $"{first}-{Field(set, type, row.AsSpan(set.KeyBytes + at))}" : $"{first}-{first}");
            at += set.Key.Count == 1 ? 0 : NftSet.PaddedLength(type);
        }

        return string.Join(" . ", fields);
    }

    public static string Key(NftSet set, JsonElement key)
    {
        JsonElement value = Unwrapped(key);
        JsonElement[] fields = value.ValueKind == JsonValueKind.Object
            && value.TryGetProperty("concat", out JsonElement list)
            ? [.. list.EnumerateArray()] : [value];
        return string.Join(" . ", fields.Zip(set.Key, (field, type) => Range(field, type)));
    }

    /// <summary>Elements that count are wrapped together with their counter.</summary>
    private static JsonElement Unwrapped(JsonElement key) =>
        key.ValueKind == JsonValueKind.Object && key.TryGetProperty("elem", out JsonElement inner)
            ? inner.GetProperty("val") : key;

    private static string Range(JsonElement field, NftType type)
    {
        if (field.ValueKind == JsonValueKind.Object && field.TryGetProperty("range", out JsonElement range))
        {
            return $"{Value(range[0], type)}-{Value(range[1], type)}";
        }

        if (field.ValueKind == JsonValueKind.Object && field.TryGetProperty("prefix", out JsonElement prefix))
        {
            return OfPrefix(prefix, type);
        }

        string value = Value(field, type);
        return $"{value}-{value}";
    }

    private static string OfPrefix(JsonElement prefix, NftType type)
    {
        int length = prefix.GetProperty("len").GetInt32();
        JsonElement address = prefix.GetProperty("addr");
        if (type is not (NftType.Ipv4Addr or NftType.Ipv6Addr))
        {
            int bits = type == NftType.InetService ? 16 : 32;
            uint first = uint.Parse(Value(address, type), CultureInfo.InvariantCulture);
            return string.Create(CultureInfo.InvariantCulture, $"{first}-{first + (1u << (bits - length)) - 1}");
        }

        byte[] last = IPAddress.Parse(address.GetString()!).GetAddressBytes();
        for (int bit = length; bit < last.Length * 8; bit++)
        {
            last[bit / 8] |= (byte)(0x80 >> (bit % 8));
        }

        return $"{address.GetString()}-{new IPAddress(last)}";
    }

    private static string Value(JsonElement value, NftType type)
    {
        if (value.ValueKind == JsonValueKind.Number)
        {
            return value.GetUInt32().ToString(CultureInfo.InvariantCulture);
        }

        string text = value.GetString()!;
        return type switch
        {
            NftType.InetProto => Protocol(text),
            NftType.Ipv4Addr or NftType.Ipv6Addr => IPAddress.Parse(text).ToString(),
            _ => text,
        };
    }

    /// <summary>nft prints protocols by the names of /etc/protocols.</summary>
    private static string Protocol(string name) => name switch
    {
        "icmp" => "1",
        "tcp" => "6",
        "udp" => "17",
        "gre" => "47",
        "ipv6-icmp" => "58",
        _ => name,
    };

    private static string Field(NftSet set, NftType type, ReadOnlySpan<byte> bytes) => type switch
    {
        // Interval keys hold marks in wire order; nft takes them for numbers in host order and prints them so.
        NftType.Mark => (set.Interval ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BitConverter.ToUInt32(bytes))
            .ToString(CultureInfo.InvariantCulture),
        NftType.InetProto => bytes[0].ToString(CultureInfo.InvariantCulture),
        NftType.InetService => BinaryPrimitives.ReadUInt16BigEndian(bytes).ToString(CultureInfo.InvariantCulture),
        NftType.IfName => NftElements.GetName(bytes[..16]),
        _ => new IPAddress(bytes[..NftSet.FieldLength(type)]).ToString(),
    };
}
