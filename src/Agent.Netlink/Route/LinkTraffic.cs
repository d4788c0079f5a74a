using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Agent.Netlink.Route;

/// <summary>What a device has carried since it was made. Bytes are of frames, link-layer header included.</summary>
/// <param name="Index">ifindex.</param>
/// <param name="RxPackets">Received by this host: what the guest behind a tap or veth has sent.</param>
/// <param name="TxPackets">Sent by this host: what was delivered to the guest.</param>
/// <param name="RxBytes">Bytes received.</param>
/// <param name="TxBytes">Bytes sent.</param>
public readonly record struct LinkCount(
    int Index, ulong RxPackets, ulong TxPackets, ulong RxBytes, ulong TxBytes);

/// <summary>The kernel's statistics of the devices of this network namespace: one dump, 220 bytes a device.
/// </summary>
/// <remarks>
/// <code>
/// if_stats_msg (12, host order)  family u8 | pad u8 | pad u16 | ifindex u32 | filter_mask u32
/// IFLA_STATS_LINK_64: rtnl_link_stats64, u64 each: rx_packets, tx_packets, rx_bytes, tx_bytes, errors ...
/// </code>
/// linux/if_link.h. RTM_GETSTATS is of Linux 4.7.
/// </remarks>
public static class LinkTraffic
{
    private static int HeaderBytes => 3 * sizeof(uint);

    /// <summary>Every device.</summary>
    /// <exception cref="NetlinkException">The kernel refused, or the list kept changing under the read.</exception>
    public static IReadOnlyList<LinkCount> Read()
    {
        var counts = new List<LinkCount>();
        RouteDump.Read("read link statistics", WriteDump, counts.Clear, message => Add(counts, message));
        return counts;
    }

    private static void WriteDump(NlWriter writer, uint sequence)
    {
        NlMark message = writer.BeginMessage(Rtm.GetStats, NlmF.Request | NlmF.Dump, sequence);
        Span<byte> header = stackalloc byte[HeaderBytes];
        header.Clear();
        BitConverter.TryWriteBytes(header[8..], 1u << (IflaStats.Link64 - 1));
        writer.PutRaw(header);
        writer.EndMessage(message);
    }

    internal static void Add(List<LinkCount> counts, NlMessage message)
    {
        if (message.Type != Rtm.NewStats)
        {
            return;
        }

        NlAttrs attrs = message.Attrs(HeaderBytes);
        int index = MemoryMarshal.Read<int>(message.Payload[4..]);
        foreach (NlAttr attr in attrs)
        {
            if (attr.Type == IflaStats.Link64 && attr.Payload.Length >= 4 * sizeof(ulong))
            {
                ReadOnlySpan<byte> values = attr.Payload;
                counts.Add(new LinkCount(index, At(values, 0), At(values, 1), At(values, 2), At(values, 3)));
            }
        }
    }

    // Attributes are aligned to four bytes only.
    private static ulong At(ReadOnlySpan<byte> values, int place) => BitConverter.IsLittleEndian
        ? BinaryPrimitives.ReadUInt64LittleEndian(values[(place * sizeof(ulong))..])
        : BinaryPrimitives.ReadUInt64BigEndian(values[(place * sizeof(ulong))..]);
}
