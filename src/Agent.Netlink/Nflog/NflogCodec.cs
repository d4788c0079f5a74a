namespace Agent.Netlink.Nflog;

/// <summary>Messages of nfnetlink_log.</summary>
/// <remarks>
/// <code>
/// nfgenmsg (4)    family u8 | version u8 | group be16        then attributes, integers in network order
/// PACKET_HDR (4)  hw_protocol be16 | hook u8 | pad u8
/// TIMESTAMP (16)  seconds be64 | microseconds be64
/// CFG_MODE (6)    copy_range be32 | copy_mode u8 | pad u8
/// </code>
/// linux/netfilter/nfnetlink_log.h.
/// </remarks>
internal static class NflogCodec
{
    internal const int HeaderBytes = 4;
    private const byte NfprotoBridge = 7;

    /// <summary>linux/time.h: what a TIMESTAMP may hold at most; beyond is no time of day.</summary>
    private const ulong SecondsMax = 253_402_300_799;

    /// <summary>Binds the group to the socket. A group that somebody has bound is refused.</summary>
    internal static void WriteBind(NlWriter writer, uint sequence, ushort group)
    {
        NlMark message = BeginConfig(writer, sequence, group);
        writer.PutU8(NfulaCfg.Cmd, Nfulnl.CfgCmdBind);
        writer.EndMessage(message);
    }

    internal static void WriteSettings(NlWriter writer, uint sequence, ushort group, NflogSettings settings)
    {
        NlMark message = BeginConfig(writer, sequence, group);
        Span<byte> mode = stackalloc byte[6];
        mode.Clear();
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(mode, settings.CopyBytes);
        mode[4] = Nfulnl.CopyPacket;
        writer.PutBytes(NfulaCfg.Mode, mode);
        writer.PutU32Be(NfulaCfg.Nlbufsiz, settings.BatchBytes);
        writer.PutU32Be(NfulaCfg.Timeout, (uint)(settings.Delay.TotalMilliseconds / 10));
        writer.PutU32Be(NfulaCfg.Qthresh, settings.BatchPackets);
        writer.PutU16Be(NfulaCfg.Flags, Nfulnl.CfgFSeq);
        writer.EndMessage(message);
    }

    /// <exception cref="NetlinkFormatException">No kernel would send it.</exception>
    internal static LoggedPacket Read(NlMessage message)
    {
        byte family = message.Payload.IsEmpty ? (byte)0 : message.Payload[0];
        var packet = new LoggedPacket { Family = family };
        uint physicalIn = 0;
        uint physicalOut = 0;
        ReadOnlySpan<byte> link = default;
        foreach (NlAttr attr in message.Attrs(HeaderBytes))
        {
            switch (attr.Type)
            {
                case Nfula.PacketHdr: packet = WithHeader(packet, attr.Payload); break;
                case Nfula.Mark: packet = packet with { Mark = attr.U32Be() }; break;
                case Nfula.Timestamp: packet = packet with { Time = TimeOf(attr.Payload) }; break;
                case Nfula.IfindexIndev: packet = packet with { In = attr.U32Be() }; break;
                case Nfula.IfindexOutdev: packet = packet with { Out = attr.U32Be() }; break;
                case Nfula.IfindexPhysindev: physicalIn = attr.U32Be(); break;
                case Nfula.IfindexPhysoutdev: physicalOut = attr.U32Be(); break;
                case Nfula.Payload: packet = packet with { Network = attr.Payload.ToArray() }; break;
                case Nfula.Prefix: packet = packet with { Prefix = attr.Text() }; break;
                case Nfula.Seq: packet = packet with { Sequence = attr.U32Be() }; break;
                case Nfula.Hwheader: link = link.IsEmpty ? attr.Payload : link; break;
                case Nfula.L2hdr: link = attr.Payload; break;
                case Nfula.Vlan: packet = packet with { VlanTag = TagOf(attr.Nested) }; break;
                default: break; // conntrack, owner: not asked for
            }
        }

        // What is one device in the other families is two for a bridge with br_netfilter: the bridge and its port.
        bool bridge = family == NfprotoBridge;
        return packet with
        {
            In = bridge && physicalIn != 0 ? physicalIn : packet.In,
            Out = bridge && physicalOut != 0 ? physicalOut : packet.Out,
            Link = link.ToArray(),
        };
    }

    private static NlMark BeginConfig(NlWriter writer, uint sequence, ushort group)
    {
        NlMark message = writer.BeginMessage(
            Nfnl.SubsysUlog << 8 | NfulnlMsg.Config, NlmF.Request | NlmF.Ack, sequence);
        writer.PutRaw([0, 0, (byte)(group >> 8), (byte)(group & 0xff)]);
        return message;
    }

    private static LoggedPacket WithHeader(LoggedPacket packet, ReadOnlySpan<byte> header)
    {
        if (header.Length < 3)
        {
            NetlinkFormatException.ThrowTruncated("packet header", 3, header.Length);
        }

        return packet with { EtherType = (ushort)(header[0] << 8 | header[1]), Hook = header[2] };
    }

    private static DateTimeOffset? TimeOf(ReadOnlySpan<byte> time)
    {
        if (time.Length < 16)
        {
            NetlinkFormatException.ThrowTruncated("timestamp", 16, time.Length);
        }

        ulong seconds = System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(time);
        ulong micros = System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(time[8..]);
        return seconds == 0 || seconds > SecondsMax || micros >= 1_000_000 ? null
            : DateTimeOffset.FromUnixTimeSeconds((long)seconds).AddMicroseconds(micros);
    }

    private static ushort? TagOf(NlAttrs nested)
    {
        foreach (NlAttr attr in nested)
        {
            if (attr.Type == NfulaVlan.Tci)
            {
                return attr.U16Be();
            }
        }

        return null;
    }
}
