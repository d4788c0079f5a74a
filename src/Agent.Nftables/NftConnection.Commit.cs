using Agent.Netlink;
using Agent.Nftables.Wire;

namespace Agent.Nftables;

public sealed partial class NftConnection
{
    private const int WholeBatch = -1;

    /// <summary>Applies all operations in order, or none.</summary>
    /// <param name="ops">At least one.</param>
    /// <param name="generation">
    /// What the operations were planned on; the kernel refuses if it moved. Null: it does not matter whether it did.
    /// </param>
    /// <returns>What became of it. When answers were lost, the generation decides.</returns>
    public CommitOutcome Commit(IReadOnlyList<NftOp> ops, uint? generation)
    {
        ArgumentNullException.ThrowIfNull(ops);
        uint before = generation ?? ReadGeneration();
        if (ops.Count == 0)
        {
            return new CommitOutcome.Committed(before, 0, 0);
        }

        Answers answers = SendBatch(ops, generation, dryRun: false);
        if (answers.Refusals.Any(one => one.OpIndex == WholeBatch && one.Error.Errno == KernelError.Erestart))
        {
            return new CommitOutcome.Stale();
        }

        if (answers.Refusals.Count > 0)
        {
            return new CommitOutcome.Refused(answers.Refusals.ToValueArray());
        }

        uint now = ReadGeneration();
        if (answers.Acked)
        {
            // A batch of no effect moves nothing; a foreign commit may have moved it further. The smaller of the two
            // makes the next commit stale rather than blind.
            return Committed(now == before ? now : Next(before), answers);
        }

        return now == before ? Lost()
            : now == Next(before) && generation is not null ? Committed(now, answers)
            : new CommitOutcome.Stale();
    }

    /// <summary>Lets the kernel validate the operations and roll back: no generation, no event.</summary>
    /// <returns>Every refusal; empty if a commit would be accepted now.</returns>
    /// <remarks>Costs an RCU grace period (4-8 ms), and holds the namespace's commit lock.</remarks>
    public IReadOnlyList<OpRefusal> Check(IReadOnlyList<NftOp> ops)
    {
        ArgumentNullException.ThrowIfNull(ops);
        return ops.Count == 0 ? [] : SendBatch(ops, generation: null, dryRun: true).Refusals;
    }

    /// <summary>net/netfilter/nf_tables_api.c: the generation skips zero.</summary>
    private static uint Next(uint generation) => unchecked(generation + 1) is 0 ? 1 : unchecked(generation + 1);

    private static CommitOutcome.Committed Committed(uint generation, Answers answers) =>
        new(generation, answers.Messages, answers.Bytes);

    private static CommitOutcome.Refused Lost() =>
        new([new OpRefusal(WholeBatch, new KernelError(KernelError.Enobufs, "the kernel's answers were lost"))]);

    /// <summary>
    /// Sends the batch and collects what it was answered. The kernel handles a batch inside the send, so all answers
    /// are there when it returns: nothing is waited for.
    /// </summary>
    private Answers SendBatch(IReadOnlyList<NftOp> ops, uint? generation, bool dryRun)
    {
        uint first = nextSequence;
        nextSequence = unchecked(nextSequence + (uint)ops.Count + 2);
        writer.Clear();
        BatchWriter.Write(writer, ops, first, generation, tableFlags, dryRun);
        var answers = new Answers(first, ops.Count) { Messages = writer.MessageCount, Bytes = writer.Length };
        if (socket.Send(writer.Written) is { } unsent)
        {
            answers.Refusals.Add(new OpRefusal(WholeBatch, unsent));
            return answers;
        }

        while (true)
        {
            switch (socket.Receive(TimeSpan.Zero))
            {
                case ReceiveResult.Datagram: answers.Read(new NlMessages(socket.Received)); break;
                case ReceiveResult.Overrun: break; // the missing ack says it
                default: return answers;
            }
        }
    }

    /// <summary>Acks and errors of one batch, by sequence number.</summary>
    private sealed class Answers(uint firstSequence, int opCount)
    {
        internal List<OpRefusal> Refusals { get; } = [];

        internal int Messages { get; init; }

        internal long Bytes { get; init; }

        /// <summary>BATCH_END was acknowledged: the commit happened.</summary>
        internal bool Acked { get; private set; }

        internal void Read(NlMessages messages)
        {
            foreach (NlMessage message in messages)
            {
                uint place = unchecked(message.Sequence - firstSequence);
                if (message.Type != Nlmsg.Error || place > (uint)opCount + 1)
                {
                    continue;
                }

                bool isOp = place >= 1 && place <= (uint)opCount;
                if (KernelError.Read(message) is { } error)
                {
                    Refusals.Add(new OpRefusal(isOp ? (int)place - 1 : WholeBatch, error));
                }
                else
                {
                    Acked |= place == (uint)opCount + 1;
                }
            }
        }
    }
}
