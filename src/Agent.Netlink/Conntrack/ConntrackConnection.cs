namespace Agent.Netlink.Conntrack;

/// <summary>The connection tracking table of this network namespace. Used by one thread at a time.</summary>
public sealed class ConntrackConnection : IDisposable
{
    private const int Attempts = 8;

    /// <summary>Changes that one datagram carries: 1 us each in the kernel (nftables-facts.md 5.1).</summary>
    private const int ChangesAtOnce = 1000;

    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(30);

    private readonly NetlinkSocket socket = new(NetlinkProtocol.Netfilter, receiveBufferBytes: 8 << 20);
    private readonly NlWriter writer = new(64 * 1024);
    private uint sequence;

    /// <summary>Every flow whose mark, under a mask, has a value; with an empty mask all flows.</summary>
    /// <remarks>Not of one instant: flows come and go while the kernel walks its table.</remarks>
    /// <exception cref="NetlinkException">
    /// The kernel refused: without nf_conntrack_netlink there is no such table.
    /// </exception>
    public IReadOnlyList<Flow> Read(uint markMask = 0, uint markValue = 0)
    {
        var filter = new FlowFilter { MarkMask = markMask, MarkValue = markValue };
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            var flows = new List<Flow>();
            if (TryVisit(filter, flows.Add, CancellationToken.None))
            {
                return flows;
            }
        }

        throw new NetlinkException("list flows", new KernelError(KernelError.Enobufs, "answers kept being lost"));
    }

    /// <summary>Shows every flow that fits as it comes, and keeps none: there may be hundreds of thousands.</summary>
    /// <returns>False if the kernel lost answers, or its table was rebuilt meanwhile: it was not all.</returns>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    /// <exception cref="OperationCanceledException">This connection is of no more use: dispose of it.</exception>
    public bool TryVisit(FlowFilter filter, Action<Flow> visit, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(filter);
        ArgumentNullException.ThrowIfNull(visit);
        writer.Clear();
        FlowCodec.WriteDump(writer, ++sequence, filter);
        Send();
        bool whole = true;
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            switch (socket.Receive(AnswerTimeout))
            {
                case ReceiveResult.Datagram: break;
                case ReceiveResult.Overrun: whole = false; continue;
                default: throw new NetlinkException("list flows", new KernelError(110, "no answer"));
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
                    case Nlmsg.Done: return whole;
                    case Nlmsg.Error when KernelError.Read(message) is { } error:
                        throw new NetlinkException("list flows", error);
                    default: Show(FlowCodec.Read(message), filter, visit); break;
                }
            }
        }
    }

    /// <summary>
    /// Clears bits of the mark of every flow whose mark, under a mask, has a value, until there is none. Flows with
    /// none of the bits set are left alone.
    /// </summary>
    /// <param name="mask">Which flows.</param>
    /// <param name="value">Which flows.</param>
    /// <param name="clear">Bits to clear; contains <paramref name="mask"/>.</param>
    /// <returns>Flows changed.</returns>
    /// <exception cref="NetlinkException">The kernel refused, or such flows kept appearing.</exception>
    public int ClearMarks(uint mask, uint value, uint clear)
    {
        int changed = 0;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            Flow[] found = [.. Read(mask, value).Where(flow => (flow.Mark & clear) != 0)];
            if (found.Length == 0)
            {
                return changed;
            }

            // Without acknowledgements: a flow that ended meanwhile is no fault, and the next reading tells the rest.
            foreach (Flow[] chunk in found.Chunk(ChangesAtOnce))
            {
                writer.Clear();
                foreach (Flow flow in chunk)
                {
                    FlowCodec.WriteMark(writer, ++sequence, flow, clear, 0);
                }

                Send();
                Drain();
            }

            changed += found.Length;
        }

        throw new NetlinkException(
            "clear marks of flows", new KernelError(KernelError.Eagain, "such flows kept appearing"));
    }

    /// <summary>Puts flows into the table, one after the other.</summary>
    /// <returns>For each what the kernel said; null: it is there now. EEXIST: one with its tuples was there.</returns>
    /// <exception cref="NetlinkException">The kernel does not answer; some may be there.</exception>
    public KernelError?[] Open(IReadOnlyList<Flow> flows)
    {
        ArgumentNullException.ThrowIfNull(flows);
        var said = new KernelError?[flows.Count];
        for (int at = 0; at < flows.Count; at += ChangesAtOnce)
        {
            int count = Math.Min(ChangesAtOnce, flows.Count - at);
            uint first = sequence + 1;
            writer.Clear();
            for (int i = 0; i < count; i++)
            {
                FlowCodec.WriteNew(writer, ++sequence, flows[at + i]);
            }

            Send();
            for (int answers = 0; answers < count;)
            {
                if (socket.Receive(AnswerTimeout) != ReceiveResult.Datagram)
                {
                    throw new NetlinkException("open flows", new KernelError(KernelError.Enobufs, "answers were lost"));
                }

                foreach (NlMessage message in new NlMessages(socket.Received))
                {
                    uint index = message.Sequence - first;
                    if (message.Type == Nlmsg.Error && index < count)
                    {
                        said[at + (int)index] = KernelError.Read(message);
                        answers++;
                    }
                }
            }
        }

        return said;
    }

    /// <summary>
    /// Has the kernel take the sequence numbers of TCP sessions from their next segments: it has not seen the last ones
    /// and would drop what follows as out of window.
    /// </summary>
    /// <remarks>
    /// The kernel does so itself where conntrack was off (nf_ct_tcp_fixup), but not for a zone without packets. A
    /// session is taken out and put in, so nothing may be tracked in these zones meanwhile. One that is translated, or
    /// that a helper announced, stays as it is: more belongs to it than can be told.
    /// </remarks>
    /// <param name="zones">Whose sessions.</param>
    /// <returns>Sessions that were put in again.</returns>
    /// <exception cref="NetlinkException">The kernel refused, or answers were lost; some may be gone.</exception>
    public int Retrack(IReadOnlySet<ushort> zones)
    {
        ArgumentNullException.ThrowIfNull(zones);
        int count = 0;
        IEnumerable<Flow> found = Read().Where(one => zones.Contains(one.Zone) && one.Tcp is not null && one.CanBePut);
        foreach (Flow[] chunk in found.Chunk(ChangesAtOnce))
        {
            writer.Clear();
            foreach (Flow flow in chunk)
            {
                FlowCodec.WriteDelete(writer, ++sequence, flow);
            }

            Send();
            Drain();
            count += Open([.. chunk.Select(flow => flow.Again())]).Count(said => said is null);
        }

        return count;
    }

    public void Dispose() => socket.Dispose();

    private void Send()
    {
        if (socket.Send(writer.Written) is { } unsent)
        {
            throw new NetlinkException("conntrack request", unsent);
        }
    }

    /// <summary>Errors of single changes are answered unasked.</summary>
    private void Drain()
    {
        while (socket.Receive(TimeSpan.Zero) is ReceiveResult.Datagram or ReceiveResult.Overrun)
        {
        }
    }

    private static void Show(Flow flow, FlowFilter filter, Action<Flow> visit)
    {
        if (filter.Fits(flow))
        {
            visit(flow);
        }
    }
}
