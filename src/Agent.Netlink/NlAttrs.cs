using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Netlink;

/// <summary>Walks attributes. The last one may lack its padding, as nflog and conntrack send it.</summary>
public readonly ref struct NlAttrs(ReadOnlySpan<byte> bytes)
{
    public ReadOnlySpan<byte> Bytes { get; } = bytes;

    public Enumerator GetEnumerator() => new(Bytes);

    public ref struct Enumerator(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> rest = rest;

        public NlAttr Current { get; private set; }

        /// <exception cref="NetlinkFormatException">A length that is below the header or beyond the list.</exception>
        public bool MoveNext()
        {
            if (rest.IsEmpty)
            {
                return false;
            }

            int length = rest.Length < NlWriter.AttrHeaderBytes ? 0 : MemoryMarshal.Read<ushort>(rest);
            if (length < NlWriter.AttrHeaderBytes || length > rest.Length)
            {
                NetlinkFormatException.ThrowTruncated("attribute", length, rest.Length);
            }

            Current = new NlAttr(rest[..length]);
            rest = rest[Math.Min(length + 3 & ~3, rest.Length)..];
            return true;
        }
    }
}

/// <summary>One attribute. Getters demand the exact size: a u32 of five bytes is an error, not a truncation.</summary>
public readonly ref struct NlAttr
{
    /// <summary>linux/netlink.h NLA_TYPE_MASK: without the nest and byte order flags.</summary>
    private const ushort TypeMask = 0x3fff;

    private readonly ReadOnlySpan<byte> bytes;

    internal NlAttr(ReadOnlySpan<byte> bytes) => this.bytes = bytes;

    public ushort Type => (ushort)(MemoryMarshal.Read<ushort>(bytes[2..]) & TypeMask);

    public ReadOnlySpan<byte> Payload => bytes[NlWriter.AttrHeaderBytes..];

    public NlAttrs Nested => new(Payload);

    public byte U8() => Exactly(1)[0];

    public ushort U16Be() => BinaryPrimitives.ReadUInt16BigEndian(Exactly(2));

    public uint U32Be() => BinaryPrimitives.ReadUInt32BigEndian(Exactly(4));

    public int S32Be() => BinaryPrimitives.ReadInt32BigEndian(Exactly(4));

    public ulong U64Be() => BinaryPrimitives.ReadUInt64BigEndian(Exactly(8));

    public uint U32Host() => MemoryMarshal.Read<uint>(Exactly(4));

    /// <summary>
    /// UTF-8 text; one terminating zero is taken off if present. Names of others need not be UTF-8: what is not stands
    /// as <c>\xe9</c>.
    /// </summary>
    public string Text()
    {
        ReadOnlySpan<byte> text = Unterminated;
        if (text.Contains((byte)0))
        {
            NetlinkFormatException.ThrowText(Type);
        }

        return IsText ? Encoding.UTF8.GetString(text) : Escaped(text);
    }

    /// <summary>It is UTF-8.</summary>
    public bool IsText => System.Text.Unicode.Utf8.IsValid(Unterminated);

    private ReadOnlySpan<byte> Unterminated => Payload is [.. var text, 0] ? text : Payload;

    private static string Escaped(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        while (!bytes.IsEmpty)
        {
            bool isRune = Rune.DecodeFromUtf8(bytes, out Rune rune, out int length) == OperationStatus.Done;
            text.Append(isRune ? rune.ToString() : $"\\x{bytes[0]:x2}");
            bytes = bytes[(isRune ? length : 1)..];
        }

        return text.ToString();
    }

    private ReadOnlySpan<byte> Exactly(int size)
    {
        if (Payload.Length != size)
        {
            NetlinkFormatException.ThrowSize(Type, size, Payload.Length);
        }

        return Payload;
    }
}
