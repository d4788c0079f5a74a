using Agent.Netlink;

namespace Agent.Daemon;

/// <summary>What the kernel counts about connection tracking, over all CPUs; wraps at 2^32 for each.</summary>
/// <param name="InsertFailed">First packets whose session lost its place to another one.</param>
/// <param name="Drop">Packets dropped because no entry could be made: the table is full, or memory is short.</param>
/// <param name="EarlyDrop">Entries without an answer that were forgotten to make room.</param>
internal sealed record ConntrackStats(long InsertFailed, long Drop, long EarlyDrop)
{
    // linux/netfilter/nfnetlink.h NFNL_SUBSYS_CTNETLINK; nfnetlink_conntrack.h IPCTNL_MSG_CT_GET_STATS_CPU,
    // CTA_STATS_*.
    private const ushort GetStatsCpu = 1 << 8 | 4;
    private const ushort StatsInsertFailed = 9;
    private const ushort StatsDrop = 10;
    private const ushort StatsEarlyDrop = 11;
    private const int FamilyHeaderBytes = 4;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Asks by netlink: the file in /proc is not in every kernel.</summary>
    /// <returns>Null if this kernel does not say.</returns>
    public static ConntrackStats? Read()
    {
        try
        {
            using var socket = new NetlinkSocket(NetlinkProtocol.Netfilter);
            var writer = new NlWriter();
            NlMark message = writer.BeginMessage(GetStatsCpu, NlmF.Request | NlmF.Dump, sequence: 1);
            writer.PutRaw(new byte[FamilyHeaderBytes]);
            writer.EndMessage(message);
            return socket.Send(writer.Written) is null ? Sum(socket) : null;
        }
        catch (NetlinkException)
        {
            return null;
        }
    }

    private static ConntrackStats? Sum(NetlinkSocket socket)
    {
        var sum = new ConntrackStats(0, 0, 0);
        while (socket.Receive(Patience) == ReceiveResult.Datagram)
        {
            foreach (NlMessage message in new NlMessages(socket.Received))
            {
                switch (message.Type)
                {
                    case Nlmsg.Done: return sum;
                    case Nlmsg.Error: return null;
                    default: sum = Add(sum, message.Attrs(FamilyHeaderBytes)); break;
                }
            }
        }

        return null;
    }

    private static ConntrackStats Add(ConntrackStats sum, NlAttrs cpu)
    {
        foreach (NlAttr attr in cpu)
        {
            sum = attr.Type switch
            {
                StatsInsertFailed => sum with { InsertFailed = sum.InsertFailed + attr.U32Be() },
                StatsDrop => sum with { Drop = sum.Drop + attr.U32Be() },
                StatsEarlyDrop => sum with { EarlyDrop = sum.EarlyDrop + attr.U32Be() },
                _ => sum,
            };
        }

        return sum;
    }
}
