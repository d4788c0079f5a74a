using System.Runtime.InteropServices;

namespace Agent.Netlink.Route;

/// <summary>RTM_NEWLINK and RTM_DELLINK as values.</summary>
/// <remarks>
/// <code>
/// ifinfomsg (16, host order)  family u8 | pad u8 | type u16 | index s32 | flags u32 | change u32
/// </code>
/// linux/rtnetlink.h. Attributes are in host order.
/// </remarks>
internal static class LinkCodec
{
    internal const int IfinfomsgBytes = 16;

    /// <summary>linux/socket.h AF_BRIDGE: messages about a device as a bridge port, not about the device.</summary>
    private const byte AfBridge = 7;

    internal static void WriteDump(NlWriter writer, uint sequence)
    {
        const uint skipStatistics = 8; // linux/rtnetlink.h RTEXT_FILTER_SKIP_STATS
        NlMark message = writer.BeginMessage(Rtm.GetLink, NlmF.Request | NlmF.Dump, sequence);
        writer.PutRaw(stackalloc byte[IfinfomsgBytes]);
        writer.PutU32Host(Ifla.ExtMask, skipStatistics);
        writer.EndMessage(message);
    }

    /// <returns>Null for messages that say nothing about a device: other types, and AF_BRIDGE.</returns>
    /// <remarks>
    /// A device whose name is no text is as one that is gone: no policy can name it.
    /// A port that leaves its bridge sends RTM_DELLINK with AF_BRIDGE while the device lives on; the change of its
    /// master comes as an ordinary RTM_NEWLINK. Attributes that we do not keep are skipped: nothing is judged by them.
    /// </remarks>
    internal static LinkEvent? Read(NlMessage message)
    {
        if (message.Type is not (Rtm.NewLink or Rtm.DelLink))
        {
            return null;
        }

        NlAttrs attrs = message.Attrs(IfinfomsgBytes);
        ReadOnlySpan<byte> header = message.Payload;
        if (header[0] == AfBridge)
        {
            return null;
        }

        int index = MemoryMarshal.Read<int>(header[4..]);
        foreach (NlAttr attr in attrs)
        {
            if (attr.Type == Ifla.IfName && !attr.IsText)
            {
                return new LinkEvent.Deleted(index, attr.Text());
            }
        }

        LinkState link = ReadAttrs(attrs, index, MemoryMarshal.Read<uint>(header[8..]));
        return message.Type == Rtm.DelLink ? new LinkEvent.Deleted(index, link.Name) : new LinkEvent.Changed(link);
    }

    private static LinkState ReadAttrs(NlAttrs attrs, int index, uint flags)
    {
        string name = "";
        ulong? mac = null;
        var oper = IfOper.Unknown;
        int? master = null;
        string? kind = null;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case Ifla.IfName: name = attr.Text(); break;
                case Ifla.Address when attr.Payload.Length == 6: mac = ReadMac(attr.Payload); break;
                case Ifla.OperState: oper = (IfOper)attr.U8(); break;
                case Ifla.Master: master = unchecked((int)attr.U32Host()); break;
                case Ifla.LinkInfo: kind = ReadKind(attr.Nested); break;
                default: break;
            }
        }

        return new LinkState(
            index, Known(name), mac, (flags & Iff.Up) != 0, (flags & Iff.LowerUp) != 0, oper,
            master == 0 ? null : master,
            kind);
    }

    // It becomes a key of sets: the kernel gives none that is longer (linux/if.h IFNAMSIZ, with its zero).
    private static string Known(string name) => System.Text.Encoding.UTF8.GetByteCount(name) is > 0 and < 16
        ? name : throw new NetlinkFormatException($"a device whose name is '{name}'");

    private static ulong ReadMac(ReadOnlySpan<byte> octets)
    {
        ulong bits = 0;
        foreach (byte octet in octets)
        {
            bits = bits << 8 | octet;
        }

        return bits;
    }

    private static string? ReadKind(NlAttrs attrs)
    {
        foreach (NlAttr attr in attrs)
        {
            if (attr.Type == IflaInfo.Kind)
            {
                return attr.Text();
            }
        }

        return null;
    }
}
