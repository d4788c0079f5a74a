using System.Threading.Channels;
using Agent.V1;

namespace Agent.Daemon.Service;

/// <summary>
/// What was read from a stream and has no answer yet, in order. Whoever reads the stream waits here while it is full,
/// and flow control holds up the sender: memory is bounded, whatever he sends and whether or not he takes answers.
/// </summary>
/// <param name="most">Messages.</param>
/// <param name="mostBytes">Of the messages, and as many of their answers; the last one may go beyond.</param>
/// <param name="metrics">Of all streams.</param>
internal sealed class Unanswered(int most, long mostBytes, SyncMetrics metrics)
{
    private readonly Channel<Question> queue = Channel.CreateUnbounded<Question>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });

    private readonly Lock gate = new();
    private TaskCompletionSource? freed;
    private int count;
    private long bytes;
    private long answerBytes;

    /// <param name="ReadAt">A timestamp.</param>
    /// <param name="Bytes">Of the message.</param>
    /// <param name="Answer">Called when all before it are answered.</param>
    internal readonly record struct Question(long ReadAt, int Bytes, Func<Task<SyncResponse>> Answer);

    private bool IsFull => count >= most || bytes >= mostBytes;

    /// <summary>Ends when another message may be read.</summary>
    public async Task WaitForRoomAsync(CancellationToken cancel)
    {
        Task? room = RoomSoon();
        metrics.Paused(room is null ? 0 : 1);
        while (room is not null)
        {
            await room.WaitAsync(cancel).ConfigureAwait(false);
            room = RoomSoon();
        }
    }

    public void Add(Question question)
    {
        lock (gate)
        {
            count++;
            bytes += question.Bytes;
        }

        metrics.Unanswered(1);
        queue.Writer.TryWrite(question);
    }

    /// <summary>Nothing more is asked.</summary>
    /// <param name="error">What the stream ends with, behind the last answer; null: nothing is wrong.</param>
    public void End(Exception? error) => queue.Writer.Complete(error);

    /// <summary>The questions as they came.</summary>
    public IAsyncEnumerable<Question> AllAsync(CancellationToken cancel) => queue.Reader.ReadAllAsync(cancel);

    /// <summary>Keeps an answer until it is its turn. One too large, with all that wait, is cut short.</summary>
    public SyncResponse Keep(SyncResponse answer)
    {
        int size = answer.CalculateSize();
        lock (gate)
        {
            if (answerBytes + size > mostBytes)
            {
                Answers.Shorten(answer);
                size = answer.CalculateSize();
            }

            answerBytes += size;
            return answer;
        }
    }

    /// <summary>It is about to be answered.</summary>
    /// <param name="question">Which one.</param>
    /// <param name="answer">What was kept.</param>
    /// <returns>How many are left.</returns>
    public int Remove(Question question, SyncResponse answer)
    {
        int size = answer.CalculateSize();
        metrics.Unanswered(-1);
        lock (gate)
        {
            count--;
            bytes -= question.Bytes;
            answerBytes -= size;
            if (!IsFull)
            {
                freed?.SetResult();
                freed = null;
            }

            return count;
        }
    }

    /// <summary>Nobody takes answers any more.</summary>
    public void Forget() => metrics.Unanswered(-count);

    private Task? RoomSoon()
    {
        lock (gate)
        {
            freed ??= IsFull ? new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously) : null;
            return freed?.Task;
        }
    }
}
