using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

/// <summary>How tables are created.</summary>
public enum TableOwnership
{
    /// <summary>Ordinary tables: any root program may change them.</summary>
    Shared,

    /// <summary>
    /// OWNER and PERSIST (kernel 6.9): only this socket may change them, and they stay in force when it closes. Owner
    /// without persist is not offered: a crash would open the host.
    /// </summary>
    OwnedAndPersistent,
}

/// <summary>The one long-lived netlink socket to nf_tables. Used by one thread at a time.</summary>
/// <remarks>Table ownership is by socket: reconnecting means adopting the tables again with AddTable.</remarks>
public sealed partial class NftConnection : IDisposable
{
    /// <summary>Only a kernel that lost our request would keep us waiting.</summary>
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(30);

    private readonly NetlinkSocket socket;
    private readonly NlWriter writer = new(64 * 1024);
    private readonly uint tableFlags;
    private uint nextSequence = 1;

    /// <exception cref="NetlinkException">The socket cannot be opened.</exception>
    public NftConnection(TableOwnership ownership = TableOwnership.Shared)
    {
        tableFlags = ownership == TableOwnership.OwnedAndPersistent ? NftTableF.Owner | NftTableF.Persist : 0;
        socket = new NetlinkSocket(NetlinkProtocol.Netfilter, receiveBufferBytes: 8 << 20);
    }

    private delegate void MessageReader(NlMessage message);

    /// <summary>The number of the last commit by anybody in this network namespace.</summary>
    public uint ReadGeneration()
    {
        uint? generation = null;
        KernelError? error = Request(NftMsg.GetGen, NlmF.None, 0, _ => { }, message =>
        {
            foreach (NlAttr attr in message.Attrs(NfMessage.HeaderBytes))
            {
                if (attr.Type == NftaGen.Id)
                {
                    generation = attr.U32Be();
                }
            }
        });
        return error is null && generation is { } read
            ? read
            : throw new NetlinkException(
                "read generation", error ?? new KernelError(71, "no generation in the answer"));
    }

    public void Dispose() => socket.Dispose();

    /// <summary>One request that is not part of a batch: a dump, or a read of one object with its ack.</summary>
    /// <returns>Null, the kernel's error, or EINTR if a commit fell into the dump.</returns>
    private KernelError? Request(
        ushort op, NlmF flags, NftFamily family, Action<NlWriter> writeAttrs, MessageReader read)
    {
        uint sequence = unchecked(nextSequence++);
        writer.Clear();
        bool dump = flags.HasFlag(NlmF.Dump);
        NlMark message = NfMessage.Begin(writer, op, dump ? flags : flags | NlmF.Ack, sequence, family);
        writeAttrs(writer);
        writer.EndMessage(message);
        if (socket.Send(writer.Written) is { } unsent)
        {
            return unsent;
        }

        bool interrupted = false;
        while (true)
        {
            switch (socket.Receive(AnswerTimeout))
            {
                case ReceiveResult.Datagram:
                    break;
                case ReceiveResult.Overrun:
                    interrupted = true;
                    continue;
                default:
                    throw new NetlinkException("nf_tables request", new KernelError(110, "no answer"));
            }

            if (Digest(sequence, read, ref interrupted, out KernelError? error))
            {
                return error
                    ?? (interrupted ? new KernelError(KernelError.Eintr, "a commit fell into the dump") : null);
            }
        }
    }

    /// <returns>Whether the answer is complete.</returns>
    private bool Digest(uint sequence, MessageReader read, ref bool interrupted, out KernelError? error)
    {
        error = null;
        foreach (NlMessage message in new NlMessages(socket.Received))
        {
            if (message.Sequence != sequence)
            {
                continue; // the rest of an answer that was given up
            }

            interrupted |= message.Flags.HasFlag(NlmF.DumpIntr);
            switch (message.Type)
            {
                case Nlmsg.Done:
                    return true;
                case Nlmsg.Error:
                    error = KernelError.Read(message);
                    return true;
                default:
                    read(message);
                    break;
            }
        }

        return false;
    }
}
