namespace Agent.Netlink.Nflog;

/// <summary>How the kernel hands packets over.</summary>
public sealed record NflogSettings
{
    public static readonly NflogSettings Default = new();

    /// <summary>Bytes of each packet from the network header on: addresses, ports and some extensions.</summary>
    public uint CopyBytes { get; init; } = 160;

    /// <summary>Packets that the kernel may collect before it sends them.</summary>
    public uint BatchPackets { get; init; } = 32;

    /// <summary>How long it may collect; in steps of 10 ms.</summary>
    public TimeSpan Delay { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Of one batch.</summary>
    public uint BatchBytes { get; init; } = 32 * 1024;

    /// <summary>What may wait in the socket; beyond that, packets are lost, and counted.</summary>
    public int ReceiveBytes { get; init; } = 2 << 20;
}

/// <summary>An nflog group that is bound to this socket. Used by one thread; any may interrupt it.</summary>
public sealed class NflogConnection : IDisposable
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(5);

    private readonly NetlinkSocket socket;
    private readonly NlWriter writer = new(256);
    private readonly ushort group;
    private uint? next;

    private NflogConnection(ushort group, NflogSettings settings)
    {
        this.group = group;
        socket = new NetlinkSocket(NetlinkProtocol.Netfilter, settings.ReceiveBytes);
    }

    /// <summary>Packets that the kernel took note of and that did not get here.</summary>
    public long Lost { get; private set; }

    /// <summary>Times that the socket was full.</summary>
    public long Overruns { get; private set; }

    /// <summary>Messages that no kernel would send.</summary>
    public long Unreadable { get; private set; }

    /// <exception cref="NetlinkException">
    /// No permission, no nfnetlink_log in this kernel, or somebody else has bound the group.
    /// </exception>
    public static NflogConnection Open(ushort group, NflogSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        var connection = new NflogConnection(group, settings);
        try
        {
            connection.Configure($"bind nflog group {group}", sequence: 1,
                (writer, sequence) => NflogCodec.WriteBind(writer, sequence, group));
            connection.Configure($"set up nflog group {group}", sequence: 2,
                (writer, sequence) => NflogCodec.WriteSettings(writer, sequence, group, settings));
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Waits for packets, and shows those that have come.</summary>
    /// <exception cref="NetlinkException">The socket cannot be read any more.</exception>
    public ReceiveResult Receive(TimeSpan timeout, Action<LoggedPacket> show)
    {
        ArgumentNullException.ThrowIfNull(show);
        ReceiveResult result = socket.Receive(timeout);
        switch (result)
        {
            case ReceiveResult.Overrun:
                Overruns++;
                break;
            case ReceiveResult.Datagram:
                Show(show);
                break;
            default:
                break;
        }

        return result;
    }

    public void Interrupt() => socket.Interrupt();

    public void Dispose() => socket.Dispose();

    private void Show(Action<LoggedPacket> show)
    {
        try
        {
            foreach (NlMessage message in new NlMessages(socket.Received))
            {
                if (message.Type == (Nfnl.SubsysUlog << 8 | NfulnlMsg.Packet))
                {
                    LoggedPacket packet = NflogCodec.Read(message);
                    Count(packet.Sequence);
                    show(packet);
                }
            }
        }
        catch (NetlinkFormatException)
        {
            Unreadable++; // the rest of the batch is lost; the next one's numbers say how much that was
        }
    }

    private void Count(uint? sequence)
    {
        if (sequence is not uint number)
        {
            return;
        }

        // Numbers begin with the group's binding and go round; what is far ahead is a group that was bound anew.
        uint ahead = unchecked(number - (next ?? 0));
        Lost += ahead <= int.MaxValue ? ahead : 0;
        next = unchecked(number + 1);
    }

    private void Configure(string what, uint sequence, Action<NlWriter, uint> write)
    {
        writer.Clear();
        write(writer, sequence);
        if (socket.Send(writer.Written) is { } unsent)
        {
            throw new NetlinkException(what, unsent);
        }

        while (socket.Receive(AnswerTimeout) is var result && result is ReceiveResult.Datagram or ReceiveResult.Overrun)
        {
            foreach (NlMessage message in new NlMessages(result == ReceiveResult.Datagram ? socket.Received : []))
            {
                if (message.Type == Nlmsg.Error && message.Sequence == sequence)
                {
                    KernelError? error = KernelError.Read(message);
                    if (error is not null)
                    {
                        throw new NetlinkException(what, error);
                    }

                    return;
                }

                // Bound a moment ago, a group may report packets before it has answered; they only count.
                if (message.Type == (Nfnl.SubsysUlog << 8 | NfulnlMsg.Packet))
                {
                    Lost++;
                    next = NflogCodec.Read(message).Sequence is uint number ? unchecked(number + 1) : next;
                }
            }
        }

        throw new NetlinkException(what, new KernelError(110, "no answer"));
    }
}
