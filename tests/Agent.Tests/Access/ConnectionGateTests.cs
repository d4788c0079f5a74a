using Agent.Daemon.Access;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Prometheus;

namespace Agent.Tests.Access;

/// <summary>Who asks stays; who is silent gives way.</summary>
public sealed class ConnectionGateTests
{
    private readonly ConnectionGate gate;

    public ConnectionGateTests()
    {
        var metrics = new AccessMetrics(Metrics.NewCustomRegistry());
        gate = new ConnectionGate(
            "tcp", most: 3, mostOfOne: 2, metrics, new Refusals(metrics, TimeProvider.System, NullLogger.Instance));
    }

    [Fact]
    public async Task The_one_that_was_silent_longest_gives_way()
    {
        Opened first = Open("a");
        Opened second = Open("b");
        Opened third = Open("c");
        Assert.True(first.Guest.Admit());
        Opened fourth = Open("d");
        await second.EndedAsync();
        Assert.True(second.Guest.IsTurnedAway);
        Assert.All((Opened[])[first, third, fourth], one => Assert.False(one.HasEnded));
        Assert.False(second.Guest.Admit()); // too late
    }

    [Fact]
    public async Task Where_all_have_asked_a_new_one_is_refused_until_one_leaves()
    {
        Opened[] all = [Open("a"), Open("b"), Open("c")];
        Assert.All(all, one => Assert.True(one.Guest.Admit()));
        Opened late = Open("d");
        await late.EndedAsync();
        Assert.Null(late.Found);
        Assert.All(all, one => Assert.False(one.HasEnded));

        await all[1].LeaveAsync();
        Opened next = Open("d");
        Assert.False(next.HasEnded);
        Assert.True(next.Guest.Admit());
    }

    [Fact]
    public async Task A_client_has_its_share_and_gets_it_back()
    {
        Opened one = Open("a");
        Opened two = Open("a");
        Opened three = Open("a");
        Assert.True(one.Guest.Admit());
        Assert.True(one.Guest.Admit()); // its second call
        Assert.True(two.Guest.Admit());
        Assert.False(three.Guest.Admit());
        await one.LeaveAsync();
        Assert.True(three.Guest.Admit());
    }

    [Fact]
    public async Task A_flood_of_silent_ones_is_let_in_and_out_and_leaves_room()
    {
        Opened honest = Open("a");
        Assert.True(honest.Guest.Admit());
        Opened[] flood = [.. Enumerable.Range(0, 1000).Select(_ => Open("x"))];
        await Task.WhenAll(flood[..^2].Select(one => one.EndedAsync()));
        Assert.False(honest.HasEnded);
        Opened late = Open("b");
        Assert.True(late.Guest.Admit());
        await Task.WhenAll(flood[^1].LeaveAsync(), honest.LeaveAsync(), late.LeaveAsync());
        Opened[] again = [Open("a"), Open("b"), Open("c")];
        Assert.All(again, one => Assert.True(one.Guest.Admit()));
    }

    private Opened Open(string client)
    {
        var opened = new Opened();
        opened.Run(gate, client);
        return opened;
    }

    private sealed class Opened
    {
        private readonly TaskCompletionSource leaves = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource aborted = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private Task running = Task.CompletedTask;

        public Guest? Found { get; private set; }

        public Guest Guest => Found ?? throw new InvalidOperationException("it did not get in");

        public bool HasEnded => aborted.Task.IsCompleted;

        public void Run(ConnectionGate gate, string client) => running = RunAsync(gate, client);

        private async Task RunAsync(ConnectionGate gate, string client)
        {
            await using var connection = new DefaultConnectionContext();
            connection.ConnectionClosed.Register(aborted.SetResult);
            await gate.RunAsync(connection, inside =>
            {
                Found = inside.Features.Get<Guest>();
                Found!.Identify = () => new Caller(client, Role.Observer, "");
                return Task.WhenAny(leaves.Task, aborted.Task);
            });
            await Task.WhenAny(leaves.Task, aborted.Task);
        }

        public async Task EndedAsync()
        {
            await aborted.Task.WaitAsync(TimeSpan.FromSeconds(10));
            await running;
        }

        public Task LeaveAsync()
        {
            leaves.SetResult();
            return running;
        }
    }
}
