using System.Buffers.Binary;
using System.Text;

namespace Agent.Netlink;

/// <summary>An open nest or message: the offset of its header, so that the buffer may grow under it.</summary>
public readonly record struct NlMark(int Offset);

/// <summary>Messages back to back in one growing buffer.</summary>
/// <remarks>
/// <code>
/// nlmsghdr (16, host order)  len u32 | type u16 | flags u16 | sequence u32 | port id u32
/// nlattr   ( 4, host order)  len u16 (4 + payload, no padding) | type u16 (0x8000: nest)
/// </code>
/// linux/netlink.h. Messages and attributes start on four bytes; padding is zero. Methods take the byte order of the
/// payload in their name.
/// </remarks>
public sealed class NlWriter
{
    public const int MessageHeaderBytes = 16;
    public const int AttrHeaderBytes = 4;

    /// <summary>Longest attribute, its header included: nla_len is 16 bits.</summary>
    public const int AttrBytesMax = ushort.MaxValue;

    internal const ushort NestedFlag = 0x8000;

    private byte[] buffer;
    private int length;

    public NlWriter(int capacity = 4096) => buffer = new byte[capacity];

    /// <summary>Bytes written so far, padding included.</summary>
    public int Length => length;

    public int MessageCount { get; private set; }

    public ReadOnlySpan<byte> Written => buffer.AsSpan(0, length);

    public void Clear()
    {
        length = 0;
        MessageCount = 0;
    }

    public NlMark BeginMessage(ushort type, NlmF flags, uint sequence)
    {
        var mark = new NlMark(length);
        Span<byte> header = Take(MessageHeaderBytes);
        WriteU16(header[4..], type);
        WriteU16(header[6..], (ushort)flags);
        WriteU32(header[8..], sequence);
        MessageCount++;
        return mark;
    }

    public void EndMessage(NlMark message) => WriteU32(buffer.AsSpan(message.Offset), (uint)(length - message.Offset));

    /// <summary>Appends a fixed header as it is, padded to four bytes.</summary>
    public void PutRaw(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Take(bytes.Length));

    public NlMark BeginNest(ushort type)
    {
        var mark = new NlMark(length);
        Span<byte> header = Take(AttrHeaderBytes);
        WriteU16(header[2..], (ushort)(type | NestedFlag));
        return mark;
    }

    /// <exception cref="NetlinkFormatException">The nest is longer than 65,535 bytes.</exception>
    public void EndNest(NlMark nest)
    {
        int size = length - nest.Offset;
        if (size > AttrBytesMax)
        {
            NetlinkFormatException.ThrowTooLong(size);
        }

        WriteU16(buffer.AsSpan(nest.Offset), (ushort)size);
    }

    /// <summary>Takes back everything from the mark on: for an element that no longer fits its list.</summary>
    public void Rewind(NlMark mark)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(mark.Offset, length, nameof(mark));
        length = mark.Offset;
    }

    public void PutU8(ushort type, byte value) => Attr(type, 1)[0] = value;

    public void PutU16Be(ushort type, ushort value) => BinaryPrimitives.WriteUInt16BigEndian(Attr(type, 2), value);

    public void PutU32Be(ushort type, uint value) => BinaryPrimitives.WriteUInt32BigEndian(Attr(type, 4), value);

    public void PutS32Be(ushort type, int value) => BinaryPrimitives.WriteInt32BigEndian(Attr(type, 4), value);

    public void PutU64Be(ushort type, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Attr(type, 8), value);

    public void PutU32Host(ushort type, uint value) => WriteU32(Attr(type, 4), value);

    public void PutBytes(ushort type, ReadOnlySpan<byte> bytes) => bytes.CopyTo(Attr(type, bytes.Length));

    /// <summary>Appends a nest whose payload is already encoded.</summary>
    public void PutNestBytes(ushort type, ReadOnlySpan<byte> payload) =>
        PutBytes((ushort)(type | NestedFlag), payload);

    /// <summary>Appends UTF-8 text and its terminating zero.</summary>
    public void PutText(ushort type, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int bytes = Encoding.UTF8.GetByteCount(text);
        Encoding.UTF8.GetBytes(text, Attr(type, bytes + 1));
    }

    private Span<byte> Attr(ushort type, int payload)
    {
        int size = AttrHeaderBytes + payload;
        if (size > AttrBytesMax)
        {
            NetlinkFormatException.ThrowTooLong(size);
        }

        Span<byte> attr = Take(size);
        WriteU16(attr, (ushort)size);
        WriteU16(attr[2..], type);
        return attr[AttrHeaderBytes..];
    }

    /// <summary>Zeroed bytes, followed by padding to four.</summary>
    private Span<byte> Take(int bytes)
    {
        int padded = bytes + 3 & ~3;
        if (padded > buffer.Length - length)
        {
            Array.Resize(ref buffer, Math.Max(length + padded, (int)Math.Min(buffer.Length * 2L, Array.MaxLength)));
        }

        Span<byte> taken = buffer.AsSpan(length, padded);
        taken.Clear();
        length += padded;
        return taken[..bytes];
    }

    private static void WriteU16(Span<byte> target, ushort value) =>
        System.Runtime.InteropServices.MemoryMarshal.Write(target, in value);

    private static void WriteU32(Span<byte> target, uint value) =>
        System.Runtime.InteropServices.MemoryMarshal.Write(target, in value);
}
