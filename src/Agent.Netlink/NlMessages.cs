using System.Runtime.InteropServices;

namespace Agent.Netlink;

/// <summary>Walks the messages of one datagram. A view of the receive buffer: it cannot be stored.</summary>
public readonly ref struct NlMessages(ReadOnlySpan<byte> datagram)
{
    private readonly ReadOnlySpan<byte> datagram = datagram;

    public Enumerator GetEnumerator() => new(datagram);

    public ref struct Enumerator(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> rest = rest;

        public NlMessage Current { get; private set; }

        /// <exception cref="NetlinkFormatException">A length that is below the header or beyond the
        /// datagram.</exception>
        public bool MoveNext()
        {
            if (rest.IsEmpty)
            {
                return false;
            }

            uint length = rest.Length < NlWriter.MessageHeaderBytes ? 0 : MemoryMarshal.Read<uint>(rest);
            if (length < NlWriter.MessageHeaderBytes || length > rest.Length)
            {
                NetlinkFormatException.ThrowTruncated("message", unchecked((int)length), rest.Length);
            }

            Current = new NlMessage(rest[..(int)length]);
            rest = rest[Math.Min((int)(length + 3 & ~3u), rest.Length)..];
            return true;
        }
    }
}

/// <summary>One message: nlmsghdr, and what follows it.</summary>
public readonly ref struct NlMessage
{
    private readonly ReadOnlySpan<byte> bytes;

    internal NlMessage(ReadOnlySpan<byte> bytes) => this.bytes = bytes;

    public ushort Type => MemoryMarshal.Read<ushort>(bytes[4..]);

    public NlmF Flags => (NlmF)MemoryMarshal.Read<ushort>(bytes[6..]);

    public uint Sequence => MemoryMarshal.Read<uint>(bytes[8..]);

    public ReadOnlySpan<byte> Payload => bytes[NlWriter.MessageHeaderBytes..];

    /// <summary>Attributes behind a fixed header.</summary>
    /// <param name="headerBytes">4 for nfgenmsg, 16 for ifinfomsg.</param>
    public NlAttrs Attrs(int headerBytes)
    {
        if (Payload.Length < headerBytes)
        {
            NetlinkFormatException.ThrowTruncated("fixed header", headerBytes, Payload.Length);
        }

        return new NlAttrs(Payload[headerBytes..]);
    }

    /// <summary>The size of the whole message without padding, header included.</summary>
    public int Length => bytes.Length;
}
