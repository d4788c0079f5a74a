using System.Collections.Concurrent;
using Agent.Client;
using Agent.TestNet;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Client;

/// <summary>How long a stream waits for an agent that is not there.</summary>
public sealed class ReconnectTests
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(30);

    [Fact]
    public void Waits_are_anything_up_to_a_ceiling_that_doubles_to_a_bound()
    {
        var random = new Random(1);
        TimeSpan[][] runs =
        [
            .. Enumerable.Range(0, 500).Select(_ =>
            {
                var backoff = new Backoff(First, Most, random);
                return Enumerable.Range(0, 100).Select(_ => backoff.Next()).ToArray();
            }),
        ];
        for (int i = 0; i < 100; i++)
        {
            TimeSpan ceiling = TimeSpan.FromSeconds(Math.Min(Most.TotalSeconds, 0.2 * Math.Pow(2, i)));
            TimeSpan[] waits = [.. runs.Select(run => run[i])];
            Assert.All(waits, wait => Assert.InRange(wait, TimeSpan.Zero, ceiling));
            Assert.True(waits.Max() > 0.9 * ceiling && waits.Min() < 0.1 * ceiling);
        }
    }

    [Fact]
    public void After_a_success_the_first_ceiling_holds_again()
    {
        var backoff = new Backoff(First, Most, new Random(1));
        for (int i = 0; i < 20; i++)
        {
            backoff.Next();
        }

        backoff.Reset();
        Assert.InRange(backoff.Next(), TimeSpan.Zero, First);
    }

    [Fact]
    public async Task A_stream_without_an_agent_says_why_and_how_long_it_waits_and_ends_when_it_is_told()
    {
        var clock = new FakeTimeProvider();
        var states = new BlockingCollection<StreamState>();
        DirectoryInfo folder = ScratchDirectory.Create("client");
        try
        {
            string path = Path.Combine(folder.FullName, "nobody.sock");
            PolicyStream stream = PolicyStream.Open(new AgentAddress.Unix(path), new PolicyStreamOptions
            {
                Controller = "test",
                Clock = clock,
                HelloTimeout = TimeSpan.FromDays(1), // more than is let pass here
                Random = new Random(1),
                OnState = states.Add,
            });
            for (int i = 0; i < 12; i++)
            {
                Assert.IsType<StreamState.Connecting>(Next());
                StreamState.Waiting wait = Assert.IsType<StreamState.Waiting>(Next());
                Assert.InRange(wait.Delay, TimeSpan.Zero, Most);
                Assert.Contains($"there is no socket {path}", wait.Reason, StringComparison.Ordinal);
                Assert.StartsWith("waiting ", wait.ToString(), StringComparison.Ordinal);
                await ElapseAsync(clock, wait.Delay, () => states.Count > 0);
            }

            DesiredState state = DesiredState.Of(Contract.Messages.Valid());
            Task<StepOutcome> never = stream.ApplyAsync(state, TestContext.Current.CancellationToken);
            await stream.DisposeAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => never);
            Assert.IsType<StreamState.Stopped>(stream.State);
            await Assert.ThrowsAsync<ObjectDisposedException>(
                () => stream.ApplyAsync(state, TestContext.Current.CancellationToken));
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        StreamState Next() => states.TryTake(out StreamState? state, TimeSpan.FromSeconds(30))
            ? state : throw new TimeoutException("no state came");
    }

    // The stream makes its timer after it has said so: what is let pass before that does not count.
    private static async Task ElapseAsync(FakeTimeProvider clock, TimeSpan time, Func<bool> passed)
    {
        for (int i = 0; i < 1000 && !passed(); i++)
        {
            clock.Advance(time + TimeSpan.FromMilliseconds(1));
            await Task.Delay(5);
        }
    }
}
