using System.Net;

namespace Agent.Netlink.Conntrack;

/// <summary>Messages of ctnetlink.</summary>
/// <remarks>
/// <code>
/// nfgenmsg (4)  family u8 | version u8 | resource be16      then attributes, integers in network order
/// TUPLE_ORIG, TUPLE_REPLY: IP (source, destination) | PROTO (number, ports or ICMP id, type, code)
/// </code>
/// linux/netfilter/nfnetlink_conntrack.h.
/// </remarks>
internal static class FlowCodec
{
    internal const int HeaderBytes = 4;

    /// <summary>Asks for every flow that fits.</summary>
    /// <remarks>Linux before 6.8 ignores the zone: what comes back is compared again.</remarks>
    internal static void WriteDump(NlWriter writer, uint sequence, FlowFilter filter)
    {
        NlMark message = Begin(writer, IpctnlMsgCt.Get, NlmF.Dump, sequence, family: 0);
        if (filter.MarkMask != 0)
        {
            writer.PutU32Be(Cta.Mark, filter.MarkValue);
            writer.PutU32Be(Cta.MarkMask, filter.MarkMask);
        }

        if (filter.Zone is ushort zone)
        {
            writer.PutU16Be(Cta.Zone, zone);
        }

        writer.EndMessage(message);
    }

    /// <summary>
    /// Sets bits of one flow's mark; the others stay (net/netfilter/nf_conntrack_netlink.c, ctnetlink_change_mark).
    /// </summary>
    internal static void WriteMark(NlWriter writer, uint sequence, Flow flow, uint mask, uint value)
    {
        NlMark message = Begin(writer, IpctnlMsgCt.New, NlmF.None, sequence, FamilyOf(flow));
        WriteTuple(writer, Cta.TupleOrig, flow.Original);
        writer.PutU16Be(Cta.Zone, flow.Zone);
        writer.PutU32Be(Cta.Mark, value);
        writer.PutU32Be(Cta.MarkMask, mask);
        writer.EndMessage(message);
    }

    /// <summary>Takes a flow out of the table.</summary>
    internal static void WriteDelete(NlWriter writer, uint sequence, Flow flow)
    {
        NlMark message = Begin(writer, IpctnlMsgCt.Delete, NlmF.None, sequence, FamilyOf(flow));
        WriteTuple(writer, Cta.TupleOrig, flow.Original);
        writer.PutU16Be(Cta.Zone, flow.Zone);
        writer.EndMessage(message);
    }

    /// <summary>Puts a flow into the table; the kernel answers, EEXIST if it is there.</summary>
    /// <remarks>
    /// Without sequence numbers: the kernel takes them from the next segment of each side (net/netfilter/
    /// nf_conntrack_proto_tcp.c, tcp_in_window, of a sender whose td_maxwin is 0).
    /// </remarks>
    internal static void WriteNew(NlWriter writer, uint sequence, Flow flow)
    {
        NlMark message = Begin(
            writer, IpctnlMsgCt.New, NlmF.Create | NlmF.Excl | NlmF.Ack, sequence, FamilyOf(flow));
        WriteTuple(writer, Cta.TupleOrig, flow.Original);
        WriteTuple(writer, Cta.TupleReply, flow.Reply);
        writer.PutU16Be(Cta.Zone, flow.Zone);
        writer.PutU32Be(Cta.Timeout, flow.TimeoutSeconds);
        writer.PutU32Be(Cta.Status, flow.Status);
        writer.PutU32Be(Cta.Mark, flow.Mark);
        if (flow.Tcp is { } tcp)
        {
            NlMark info = writer.BeginNest(Cta.ProtoInfo);
            NlMark protocol = writer.BeginNest(CtaProtoInfo.Tcp);
            writer.PutU8(CtaProtoInfo.TcpState, tcp.State);
            writer.PutU8(CtaProtoInfo.TcpWscaleOriginal, tcp.Original.WindowScale);
            writer.PutU8(CtaProtoInfo.TcpWscaleReply, tcp.Reply.WindowScale);
            writer.PutBytes(CtaProtoInfo.TcpFlagsOriginal, [tcp.Original.Flags, 0xff]); // struct nf_ct_tcp_flags
            writer.PutBytes(CtaProtoInfo.TcpFlagsReply, [tcp.Reply.Flags, 0xff]);
            writer.EndNest(protocol);
            writer.EndNest(info);
        }

        writer.EndMessage(message);
    }

    /// <exception cref="NetlinkFormatException">A flow without addresses or protocol.</exception>
    internal static Flow Read(NlMessage message)
    {
        FlowTuple? original = null;
        FlowTuple? reply = null;
        ushort zone = 0;
        uint mark = 0;
        uint status = 0;
        uint timeout = 0;
        uint id = 0;
        TcpFlow? tcp = null;
        FlowCount? originalCount = null;
        FlowCount? replyCount = null;
        DateTimeOffset? start = null;
        foreach (NlAttr attr in message.Attrs(HeaderBytes))
        {
            switch (attr.Type)
            {
                case Cta.TupleOrig: original = ReadTuple(attr.Nested); break;
                case Cta.TupleReply: reply = ReadTuple(attr.Nested); break;
                case Cta.Zone: zone = attr.U16Be(); break;
                case Cta.Mark: mark = attr.U32Be(); break;
                case Cta.Status: status = attr.U32Be(); break;
                case Cta.Timeout: timeout = attr.U32Be(); break;
                case Cta.Id: id = attr.U32Be(); break;
                case Cta.ProtoInfo: tcp = ReadTcp(attr.Nested); break;
                case Cta.CountersOrig: originalCount = ReadCount(attr.Nested); break;
                case Cta.CountersReply: replyCount = ReadCount(attr.Nested); break;
                case Cta.Timestamp: start = ReadStart(attr.Nested); break;
                default: break; // labels, helpers: not needed here
            }
        }

        return original is not null && reply?.Source.AddressFamily == original.Source.AddressFamily
            ? new Flow(original, reply, zone, mark, status, timeout, id)
            {
                Tcp = tcp,
                OriginalCount = originalCount,
                ReplyCount = replyCount,
                Start = start,
            }
            : throw new NetlinkFormatException("a flow without its tuples");
    }

    private static TcpFlow? ReadTcp(NlAttrs attrs)
    {
        foreach (NlAttr protocol in attrs)
        {
            if (protocol.Type == CtaProtoInfo.Tcp)
            {
                return ReadTcpInfo(protocol.Nested);
            }
        }

        return null;
    }

    private static TcpFlow? ReadTcpInfo(NlAttrs attrs)
    {
        byte? state = null;
        TcpSide original = default;
        TcpSide reply = default;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case CtaProtoInfo.TcpState: state = attr.U8(); break;
                case CtaProtoInfo.TcpWscaleOriginal: original = original with { WindowScale = attr.U8() }; break;
                case CtaProtoInfo.TcpWscaleReply: reply = reply with { WindowScale = attr.U8() }; break;
                case CtaProtoInfo.TcpFlagsOriginal: original = original with { Flags = FlagsOf(attr) }; break;
                case CtaProtoInfo.TcpFlagsReply: reply = reply with { Flags = FlagsOf(attr) }; break;
                default: break;
            }
        }

        return state is byte known ? new TcpFlow(known, original, reply) : null;
    }

    private static byte FlagsOf(NlAttr attr) => attr.Payload is [byte flags, ..]
        ? flags : throw new NetlinkFormatException("TCP flags without a byte");

    private static FlowCount ReadCount(NlAttrs attrs)
    {
        ulong packets = 0;
        ulong bytes = 0;
        foreach (NlAttr attr in attrs)
        {
            switch (attr.Type)
            {
                case CtaCounters.Packets: packets = attr.U64Be(); break;
                case CtaCounters.Bytes: bytes = attr.U64Be(); break;
            }
        }

        return new FlowCount(packets, bytes);
    }

    private static DateTimeOffset? ReadStart(NlAttrs attrs)
    {
        foreach (NlAttr attr in attrs)
        {
            if (attr.Type == CtaTimestamp.Start)
            {
                ulong ticks = attr.U64Be() / (ulong)TimeSpan.NanosecondsPerTick;
                return DateTimeOffset.UnixEpoch + TimeSpan.FromTicks((long)ticks);
            }
        }

        return null;
    }

    private static NlMark Begin(NlWriter writer, ushort op, NlmF flags, uint sequence, byte family)
    {
        NlMark mark = writer.BeginMessage((ushort)(Nfnl.SubsysCtnetlink << 8 | op), NlmF.Request | flags, sequence);
        writer.PutRaw([family, 0, 0, 0]);
        return mark;
    }

    private static byte FamilyOf(Flow flow) =>
        flow.Original.Source.GetAddressBytes().Length == 4 ? (byte)2 : (byte)10;

    private static void WriteTuple(NlWriter writer, ushort type, FlowTuple tuple)
    {
        byte[] source = tuple.Source.GetAddressBytes();
        bool v4 = source.Length == 4;
        NlMark nest = writer.BeginNest(type);
        NlMark ip = writer.BeginNest(CtaTuple.Ip);
        writer.PutBytes(v4 ? CtaIp.V4Src : CtaIp.V6Src, source);
        writer.PutBytes(v4 ? CtaIp.V4Dst : CtaIp.V6Dst, tuple.Destination.GetAddressBytes());
        writer.EndNest(ip);
        NlMark proto = writer.BeginNest(CtaTuple.Proto);
        writer.PutU8(CtaProto.Num, tuple.Protocol);
        (ushort id, ushort kind, ushort code) = tuple.Protocol switch
        {
            1 => (CtaProto.IcmpId, CtaProto.IcmpType, CtaProto.IcmpCode),
            58 => (CtaProto.Icmpv6Id, CtaProto.Icmpv6Type, CtaProto.Icmpv6Code),
            _ => ((ushort)0, (ushort)0, (ushort)0),
        };
        if (id != 0)
        {
            writer.PutU16Be(id, tuple.SourcePort);
            writer.PutU8(kind, (byte)(tuple.DestinationPort >> 8));
            writer.PutU8(code, (byte)(tuple.DestinationPort & 0xff));
        }
        else
        {
            writer.PutU16Be(CtaProto.SrcPort, tuple.SourcePort);
            writer.PutU16Be(CtaProto.DstPort, tuple.DestinationPort);
        }

        writer.EndNest(proto);
        writer.EndNest(nest);
    }

    /// <summary>
    /// ICMP, TCP, UDP, DCCP, GRE, ICMPv6, SCTP, UDP-Lite: conntrack tells sessions of others by addresses alone
    /// (nf_conntrack_proto_generic.c).
    /// </summary>
    private static bool HasIdentifiers(byte protocol) => protocol is 1 or 6 or 17 or 33 or 47 or 58 or 132 or 136;

    private static FlowTuple ReadTuple(NlAttrs attrs)
    {
        IPAddress? source = null;
        IPAddress? destination = null;
        byte? protocol = null;
        ushort from = 0;
        int to = 0;
        foreach (NlAttr part in attrs)
        {
            foreach (NlAttr attr in part.Nested)
            {
                switch (part.Type, attr.Type)
                {
                    case (CtaTuple.Ip, CtaIp.V4Src): source = ReadAddress(attr, 4); break;
                    case (CtaTuple.Ip, CtaIp.V6Src): source = ReadAddress(attr, 16); break;
                    case (CtaTuple.Ip, CtaIp.V4Dst): destination = ReadAddress(attr, 4); break;
                    case (CtaTuple.Ip, CtaIp.V6Dst): destination = ReadAddress(attr, 16); break;
                    case (CtaTuple.Proto, CtaProto.Num): protocol = attr.U8(); break;
                    case (CtaTuple.Proto, CtaProto.SrcPort or CtaProto.IcmpId or CtaProto.Icmpv6Id):
                        from = attr.U16Be();
                        break;
                    case (CtaTuple.Proto, CtaProto.DstPort): to = attr.U16Be(); break;
                    case (CtaTuple.Proto, CtaProto.IcmpType or CtaProto.Icmpv6Type): to |= attr.U8() << 8; break;
                    case (CtaTuple.Proto, CtaProto.IcmpCode or CtaProto.Icmpv6Code): to |= attr.U8(); break;
                    default: break; // a zone of one direction only
                }
            }
        }

        return source is not null && destination?.AddressFamily == source.AddressFamily && protocol is byte number
            ? HasIdentifiers(number) ? new FlowTuple(source, destination, number, from, (ushort)to)
                : new FlowTuple(source, destination, number, 0, 0)
            : throw new NetlinkFormatException("a tuple without addresses of one family, or without a protocol");
    }

    private static IPAddress ReadAddress(NlAttr attr, int bytes) => attr.Payload.Length == bytes
        ? new IPAddress(attr.Payload)
        : throw new NetlinkFormatException($"an address of {attr.Payload.Length} bytes");
}
