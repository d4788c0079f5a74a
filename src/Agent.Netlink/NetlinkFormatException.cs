using System.Diagnostics.CodeAnalysis;

namespace Agent.Netlink;

/// <summary>Bytes that no kernel would send, or a message that does not fit netlink's lengths.</summary>
public sealed class NetlinkFormatException(string message) : Exception(message)
{
    [DoesNotReturn]
    internal static void ThrowSize(ushort type, int expected, int actual) =>
        throw new NetlinkFormatException($"attribute {type}: {actual} bytes where {expected} were expected");

    [DoesNotReturn]
    internal static void ThrowTruncated(string what, int length, int available) =>
        throw new NetlinkFormatException($"{what} of {length} bytes in {available}");

    [DoesNotReturn]
    internal static void ThrowTooLong(int length) =>
        throw new NetlinkFormatException($"attribute of {length} bytes; nla_len is 16 bits");

    [DoesNotReturn]
    internal static void ThrowText(ushort type) =>
        throw new NetlinkFormatException($"attribute {type}: text with a zero inside");
}
