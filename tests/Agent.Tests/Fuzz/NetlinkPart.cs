using System.Buffers.Binary;

namespace Agent.Tests.Fuzz;

/// <summary>A message or an attribute as a tree, which need not be true when it is written.</summary>
internal sealed class NetlinkPart
{
    private const int AttrHeaderBytes = 4;
    private const int MessageHeaderBytes = 16;
    private const int MostDepth = 8;

    /// <summary>Of a message: its header behind the length, and the fixed header. Of an attribute: its type.</summary>
    public byte[] Head { get; set; } = [];

    /// <summary>What an attribute holds; not used where there are parts.</summary>
    public byte[] Payload { get; set; } = [];

    public List<NetlinkPart>? Parts { get; set; }

    /// <summary>Added to the length that is written.</summary>
    public int Lie { get; set; }

    /// <summary>Padded to four bytes.</summary>
    public bool IsAligned { get; set; } = true;

    private bool IsMessage { get; init; }

    public ushort Type
    {
        get => BinaryPrimitives.ReadUInt16LittleEndian(Head);
        set => BinaryPrimitives.WriteUInt16LittleEndian(Head, value);
    }

    /// <returns>Null: these are not messages, back to back.</returns>
    public static List<NetlinkPart>? Messages(byte[] datagram, int fixedBytes)
    {
        var messages = new List<NetlinkPart>();
        for (int at = 0; at < datagram.Length;)
        {
            int rest = datagram.Length - at;
            uint length = rest < MessageHeaderBytes ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(datagram.AsSpan(at));
            if (length < MessageHeaderBytes + fixedBytes || length > rest)
            {
                return null;
            }

            byte[] bytes = datagram[at..(at + (int)length)];
            byte[] body = bytes[(MessageHeaderBytes + fixedBytes)..];
            messages.Add(new NetlinkPart
            {
                IsMessage = true,
                Head = bytes[4..(MessageHeaderBytes + fixedBytes)],
                Payload = body,
                Parts = Attrs(body, 0),
            });
            at += Math.Min(rest, ((int)length + 3) & ~3);
        }

        return messages;
    }

    public static byte[] Write(IEnumerable<NetlinkPart> parts)
    {
        using var bytes = new MemoryStream();
        foreach (NetlinkPart part in parts)
        {
            bytes.Write(part.Bytes());
        }

        return bytes.ToArray();
    }

    public NetlinkPart Copy() => new()
    {
        IsMessage = IsMessage,
        Head = [.. Head],
        Payload = [.. Payload],
        Parts = Parts?.ConvertAll(part => part.Copy()),
        Lie = Lie,
        IsAligned = IsAligned,
    };

    /// <summary>This one and all below.</summary>
    public IEnumerable<NetlinkPart> All() => (Parts ?? []).SelectMany(part => part.All()).Prepend(this);

    private byte[] Bytes()
    {
        byte[] body = Parts is null ? Payload : Write(Parts);
        int size = IsMessage ? sizeof(uint) : sizeof(ushort);
        int length = size + Head.Length + body.Length;
        byte[] bytes = new byte[IsAligned ? (length + 3) & ~3 : length];
        if (IsMessage)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, unchecked((uint)(length + Lie)));
        }
        else
        {
            BinaryPrimitives.WriteUInt16LittleEndian(bytes, unchecked((ushort)(length + Lie)));
        }

        Head.CopyTo(bytes, size);
        body.CopyTo(bytes, size + Head.Length);
        return bytes;
    }

    // What reads as attributes from end to end is taken for some: kernels do not always set the flag of nests.
    private static List<NetlinkPart>? Attrs(byte[] bytes, int depth)
    {
        var parts = new List<NetlinkPart>();
        for (int at = 0; at < bytes.Length;)
        {
            int rest = bytes.Length - at;
            int length = rest < AttrHeaderBytes ? 0 : BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(at));
            if (length < AttrHeaderBytes || length > rest || depth > MostDepth)
            {
                return null;
            }

            byte[] payload = bytes[(at + AttrHeaderBytes)..(at + length)];
            parts.Add(new NetlinkPart
            {
                Head = bytes[(at + 2)..(at + AttrHeaderBytes)],
                Payload = payload,
                Parts = payload.Length == 0 ? null : Attrs(payload, depth + 1),
            });
            at += Math.Min(rest, (length + 3) & ~3);
        }

        return parts;
    }
}
