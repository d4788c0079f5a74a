using System.Buffers.Binary;
using System.Net;
using Agent.Netlink;
using Agent.TestNet;

namespace Agent.KernelTests.Sessions;

/// <summary>One entry of the connection tracking table.</summary>
/// <param name="Protocol">IANA number.</param>
/// <param name="Source">Of the original direction.</param>
/// <param name="Destination">Of the original direction.</param>
/// <param name="SourcePort">0 without ports.</param>
/// <param name="DestinationPort">0 without ports.</param>
/// <param name="Zone">Conntrack zone.</param>
/// <param name="Seconds">Left until the entry goes, if nothing comes.</param>
internal sealed record ConntrackEntry(
    byte Protocol, IPAddress Source, IPAddress Destination, ushort SourcePort, ushort DestinationPort,
    ushort Zone, uint Seconds);

/// <summary>Reads and fills the connection tracking table of a namespace, by ctnetlink.</summary>
internal static class Conntrack
{
    // linux/netfilter/nfnetlink_conntrack.h, IPCTNL_MSG_CT_* and CTA_*.
    private const ushort New = 1 << 8;
    private const ushort Get = 1 << 8 | 1;
    private const ushort TupleOrig = 1;
    private const ushort TupleReply = 2;
    private const ushort Status = 3;
    private const ushort Timeout = 7;
    private const ushort Zone = 18;
    private const ushort TupleIp = 1;
    private const ushort TupleProto = 2;
    private const int FamilyHeaderBytes = 4;

    /// <summary>IPS_SEEN_REPLY, IPS_ASSURED and IPS_CONFIRMED: an entry that the kernel does not push out.</summary>
    private const uint Assured = 0xe;

    /// <summary>Stays below what a socket's send buffer takes at once.</summary>
    private const int EntriesPerSend = 400;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    public static IReadOnlyList<ConntrackEntry> List(NetNamespace place) => place.Run(() =>
    {
        var entries = new List<ConntrackEntry>();
        using var socket = new NetlinkSocket(NetlinkProtocol.Netfilter);
        var writer = new NlWriter();
        NlMark message = writer.BeginMessage(Get, NlmF.Request | NlmF.Dump, 1);
        writer.PutRaw(new byte[FamilyHeaderBytes]);
        writer.EndMessage(message);
        Assert.Null(socket.Send(writer.Written));
        while (true)
        {
            Assert.Equal(ReceiveResult.Datagram, socket.Receive(Patience));
            foreach (NlMessage answer in new NlMessages(socket.Received))
            {
                if (answer.Type == Nlmsg.Done)
                {
                    return entries;
                }

                Assert.NotEqual(Nlmsg.Error, answer.Type);
                entries.Add(Read(answer.Attrs(FamilyHeaderBytes)));
            }
        }
    });

    /// <summary>Makes entries of sessions that are in use, until the table takes no more.</summary>
    /// <returns>How many it holds then.</returns>
    public static int Fill(NetNamespace place) => Fill(place, int.MaxValue);

    /// <summary>The same, of so many sessions: UDP from 11.0.0.0 and the addresses behind it to 198.51.100.7.</summary>
    public static int Fill(NetNamespace place, int count)
    {
        int max = int.Parse(place.ReadSysctl("net/netfilter/nf_conntrack_max"), null);
        int last = Math.Min(count, max + EntriesPerSend);
        place.Run(() =>
        {
            using var socket = new NetlinkSocket(NetlinkProtocol.Netfilter);
            var writer = new NlWriter();
            for (int next = 0; next < last;)
            {
                writer.Clear();
                for (int i = 0; i < EntriesPerSend && next < last; i++)
                {
                    Write(writer, 0x0b000000 + (uint)next++);
                }

                Assert.Null(socket.Send(writer.Written));
                while (socket.Receive(TimeSpan.Zero) == ReceiveResult.Datagram)
                {
                    // Refusals, once it is full.
                }
            }
        });
        return SessionTable.Count(place);
    }

    private static void Write(NlWriter writer, uint source)
    {
        const uint target = 0xc6336407; // 198.51.100.7
        NlMark message = writer.BeginMessage(New, NlmF.Request | NlmF.Create, 1);
        writer.PutRaw([2, 0, 0, 0]); // AF_INET
        WriteTuple(writer, TupleOrig, source, target, 4000, 4001);
        WriteTuple(writer, TupleReply, target, source, 4001, 4000);
        writer.PutU32Be(Timeout, 600);
        writer.PutU32Be(Status, Assured);
        writer.EndMessage(message);
    }

    private static void WriteTuple(NlWriter writer, ushort type, uint source, uint target, ushort from, ushort to)
    {
        NlMark tuple = writer.BeginNest(type);
        NlMark ip = writer.BeginNest(TupleIp);
        writer.PutU32Be(1, source);
        writer.PutU32Be(2, target);
        writer.EndNest(ip);
        NlMark proto = writer.BeginNest(TupleProto);
        writer.PutU8(1, 17);
        writer.PutU16Be(2, from);
        writer.PutU16Be(3, to);
        writer.EndNest(proto);
        writer.EndNest(tuple);
    }

    private static ConntrackEntry Read(NlAttrs attrs)
    {
        var entry = new ConntrackEntry(0, IPAddress.None, IPAddress.None, 0, 0, 0, 0);
        foreach (NlAttr attr in attrs)
        {
            entry = attr.Type switch
            {
                TupleOrig => ReadTuple(entry, attr.Nested),
                Timeout => entry with { Seconds = attr.U32Be() },
                Zone => entry with { Zone = attr.U16Be() },
                _ => entry,
            };
        }

        return entry;
    }

    private static ConntrackEntry ReadTuple(ConntrackEntry entry, NlAttrs tuple)
    {
        foreach (NlAttr part in tuple)
        {
            foreach (NlAttr attr in part.Nested)
            {
                entry = (part.Type, attr.Type) switch
                {
                    (TupleIp, 1 or 3) => entry with { Source = new IPAddress(attr.Payload) },
                    (TupleIp, 2 or 4) => entry with { Destination = new IPAddress(attr.Payload) },
                    (TupleProto, 1) => entry with { Protocol = attr.U8() },
                    (TupleProto, 2) => entry with { SourcePort = BinaryPrimitives.ReadUInt16BigEndian(attr.Payload) },
                    (TupleProto, 3) =>
                        entry with { DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(attr.Payload) },
                    _ => entry,
                };
            }
        }

        return entry;
    }
}
