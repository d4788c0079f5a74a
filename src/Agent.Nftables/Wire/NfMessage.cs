using System.Buffers.Binary;
using Agent.Netlink;

namespace Agent.Nftables.Wire;

/// <summary>nf_tables messages: nlmsghdr, then nfgenmsg.</summary>
/// <remarks>
/// <code>
/// nfgenmsg (4)  family u8 | version u8 = 0 | res_id be16
/// </code>
/// linux/netfilter/nfnetlink.h. res_id is the subsystem around a batch, and the generation's low half in dumps.
/// </remarks>
internal static class NfMessage
{
    internal const int HeaderBytes = 4;

    internal static ushort TypeOf(ushort op) => (ushort)(Nfnl.SubsysNftables << 8 | op);

    internal static NlMark Begin(NlWriter writer, ushort op, NlmF flags, uint sequence, NftFamily family)
    {
        NlMark mark = writer.BeginMessage(TypeOf(op), NlmF.Request | flags, sequence);
        writer.PutRaw([(byte)family, 0, 0, 0]);
        return mark;
    }

    /// <summary>What the kernel lists has a table and a name: without them nobody could tell whose it is.</summary>
    /// <exception cref="NetlinkFormatException">It has not.</exception>
    internal static void MustName(string what, string table, string name)
    {
        if (table.Length == 0 || name.Length == 0)
        {
            throw new NetlinkFormatException($"a {what} without a name: '{name}' of table '{table}'");
        }
    }

    /// <summary>BATCH_BEGIN, conditional on a generation if one is given.</summary>
    internal static void BatchBegin(NlWriter writer, uint sequence, uint? generation)
    {
        NlMark mark = BatchMark(writer, Nfnl.MsgBatchBegin, NlmF.Request, sequence);
        if (generation is { } planned)
        {
            writer.PutU32Be(Nfnl.BatchGenid, planned);
        }

        writer.EndMessage(mark);
    }

    /// <summary>BATCH_END, acknowledged once, after the commit.</summary>
    internal static void BatchEnd(NlWriter writer, uint sequence) =>
        writer.EndMessage(BatchMark(writer, Nfnl.MsgBatchEnd, NlmF.Request | NlmF.Ack, sequence));

    private static NlMark BatchMark(NlWriter writer, ushort type, NlmF flags, uint sequence)
    {
        NlMark mark = writer.BeginMessage(type, flags, sequence);
        Span<byte> header = stackalloc byte[HeaderBytes];
        header.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], Nfnl.SubsysNftables);
        writer.PutRaw(header);
        return mark;
    }
}
