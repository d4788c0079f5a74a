using Agent.Daemon.Service;
using Agent.V1;

namespace Agent.Tests.Service;

/// <summary>A stream is read no further than its sender takes answers.</summary>
public class UnansweredTests
{
    private readonly SyncMetrics metrics = new(Prometheus.Metrics.NewCustomRegistry());

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(3, 1_000_000, 10)] // messages
    [InlineData(1000, 30, 10)] // bytes
    [InlineData(1000, 21, 10)] // the last one goes beyond
    public async Task It_is_full_at_so_many_messages_or_bytes_and_has_room_again_when_one_is_answered(
        int most, int mostBytes, int each)
    {
        var unanswered = new Unanswered(most, mostBytes, metrics);
        for (int i = 0; i < 3; i++)
        {
            Assert.True(unanswered.WaitForRoomAsync(Cancel).IsCompletedSuccessfully);
            unanswered.Add(Question(each));
        }

        Task room = unanswered.WaitForRoomAsync(Cancel);
        Assert.False(room.IsCompleted);
        await foreach (Unanswered.Question question in unanswered.AllAsync(Cancel))
        {
            Assert.Equal(2, unanswered.Remove(question, unanswered.Keep(await question.Answer())));
            break;
        }

        await room.WaitAsync(Cancel);
    }

    [Fact]
    public async Task What_it_ends_with_comes_behind_what_was_asked()
    {
        var unanswered = new Unanswered(10, 1000, metrics);
        unanswered.Add(Question(1));
        unanswered.Add(Question(2));
        unanswered.End(new TimeoutException("late"));
        List<int> asked = [];
        await Assert.ThrowsAsync<TimeoutException>(async () =>
        {
            await foreach (Unanswered.Question question in unanswered.AllAsync(Cancel))
            {
                asked.Add(question.Bytes);
            }
        });
        Assert.Equal([1, 2], asked);
    }

    [Fact]
    public void Long_answers_that_nobody_takes_are_shortened_and_say_so()
    {
        var unanswered = new Unanswered(10, 10_000, metrics);
        Refused whole = unanswered.Keep(Refusal()).Refused;
        Assert.Equal(50, whole.Faults.Count);
        Refused cut = unanswered.Keep(Refusal()).Refused;
        Assert.Equal(["Bad", "TooManyFaults"], cut.Faults.Select(fault => fault.Code));
        Assert.Contains("49 more", cut.Faults[1].Message);
        Assert.Equal(7ul, cut.HeldRevision);

        static SyncResponse Refusal() => new()
        {
            Refused = new Refused
            {
                HeldRevision = 7,
                Faults = { Enumerable.Repeat(new Fault { Code = "Bad", Message = new string('x', 100) }, 50) },
            },
        };
    }

    private static Unanswered.Question Question(int bytes) =>
        new(0, bytes, () => Task.FromResult(new SyncResponse()));
}
