namespace Agent.Netlink.Route;

/// <summary>Reads a whole list of rtnetlink's: one that changed under the reading is read again.</summary>
internal static class RouteDump
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(5);

    internal delegate void MessageReader(NlMessage message);

    /// <param name="operation">For messages of errors.</param>
    /// <param name="write">Writes the request, with a sequence number.</param>
    /// <param name="begin">Called before the first message, and again if the reading has to begin anew.</param>
    /// <param name="read">Receives each message.</param>
    /// <exception cref="NetlinkException">The kernel refused, or the list kept changing under the read.</exception>
    internal static void Read(
        string operation, Action<NlWriter, uint> write, Action begin, MessageReader read)
    {
        const int attempts = 8;
        using var socket = new NetlinkSocket(NetlinkProtocol.Route);
        var writer = new NlWriter(64);
        for (uint sequence = 1; sequence <= attempts; sequence++)
        {
            writer.Clear();
            write(writer, sequence);
            if (socket.Send(writer.Written) is { } refused)
            {
                throw new NetlinkException(operation, refused);
            }

            begin();
            if (ReadOnce(socket, sequence, operation, read))
            {
                return;
            }
        }

        throw new NetlinkException(operation, new KernelError(KernelError.Eintr, "interrupted by changes"));
    }

    /// <returns>False if the dump was interrupted or overran.</returns>
    private static bool ReadOnce(NetlinkSocket socket, uint sequence, string operation, MessageReader read)
    {
        bool whole = true;
        while (true)
        {
            switch (socket.Receive(AnswerTimeout))
            {
                case ReceiveResult.Datagram: break;
                case ReceiveResult.Overrun: return false;
                default: throw new NetlinkException(operation, new KernelError(110, "no answer"));
            }

            foreach (NlMessage message in new NlMessages(socket.Received))
            {
                if (message.Sequence != sequence)
                {
                    continue;
                }

                whole &= !message.Flags.HasFlag(NlmF.DumpIntr);
                switch (message.Type)
                {
                    case Nlmsg.Done:
                        return whole;
                    case Nlmsg.Error when KernelError.Read(message) is { } error:
                        throw new NetlinkException(operation, error);
                    default:
                        read(message);
                        break;
                }
            }
        }
    }
}
