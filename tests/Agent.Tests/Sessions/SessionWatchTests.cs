using System.Net;
using System.Threading.Channels;
using Agent.Daemon;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Sessions;
using Agent.Netlink;
using Agent.Netlink.Conntrack;
using Agent.Policy;
using Microsoft.Extensions.Logging.Abstractions;
using Prometheus;

namespace Agent.Tests.Sessions;

/// <summary>The watch over sessions, with states and tables of our own making.</summary>
public sealed class SessionWatchTests : IAsyncDisposable
{
    private readonly Channel<AgentState> states = Channel.CreateUnbounded<AgentState>();
    private readonly CancellationTokenSource stop = new();
    private readonly List<Flow> table = [];
    private readonly SessionWatch watch;
    private readonly Task running;
    private Func<Action<Flow>, CancellationToken, bool>? reading;
    private long version;

    public SessionWatchTests()
    {
        watch = new SessionWatch(
            async (_, cancel) => await states.Reader.ReadAsync(cancel), Read, new DaemonConfig(), TimeProvider.System,
            NullLogger.Instance, new AgentMetrics(Metrics.NewCustomRegistry(), "0", "0"));
        running = watch.RunAsync(stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running;
        stop.Dispose();
    }

    [Fact]
    public async Task A_change_that_takes_away_is_counted_once_and_only_what_it_cuts()
    {
        Publish(1, epoch: 1, "in 1 accept udp 53/54 0.0.0.0/0");
        table.AddRange([Udp(53, 1), Udp(54, 1), Udp(55, 1), Udp(53, 0)]); // the third was cut before, the last is new
        Publish(2, epoch: 2, "in 1 accept udp 54/54 0.0.0.0/0");
        PassReport report = await PassAsync(2);
        Assert.Equal((3L, true), (report.Judged, report.Complete));
        Assert.Equal([new PassCut("one", Direction.Ingress, "default", "", 1)], report.Cuts);

        Publish(3, epoch: 3, "in 1 drop udp 54/54 0.0.0.0/0", "in 2 accept udp 53/54 0.0.0.0/0");
        report = await PassAsync(3);
        Assert.Equal([new PassCut("one", Direction.Ingress, "rule", "a/r1", 1)], report.Cuts);
    }

    [Fact]
    public async Task A_change_that_only_allows_more_is_no_reason_to_look()
    {
        reading = (_, _) => throw new InvalidOperationException("nobody asked");
        Publish(1, epoch: 1);
        Publish(2, epoch: 1, "in 1 accept udp 53/54 0.0.0.0/0");
        await DrainedAsync();
        Assert.Null(watch.LastPass);
        Assert.True(watch.Judge!.Judge(Udp(53, 1).Tracked())!.IsAllowed); // by the rule that came
    }

    [Fact]
    public async Task A_later_change_breaks_a_pass_off_and_counts_for_both()
    {
        var begun = new TaskCompletionSource();
        reading = (visit, cancel) =>
        {
            begun.TrySetResult();
            cancel.WaitHandle.WaitOne();
            cancel.ThrowIfCancellationRequested();
            return true;
        };
        table.AddRange([Udp(53, 1), Udp(54, 1)]);
        Publish(1, epoch: 1, "in 1 accept udp 53/54 0.0.0.0/0");
        Publish(2, epoch: 2, "in 1 accept udp 53/53 0.0.0.0/0");
        await begun.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        reading = null;
        Publish(3, epoch: 3);
        PassReport report = await PassAsync(3);
        Assert.Equal((2L, 2L), (report.Judged, report.Cut));
    }

    [Fact]
    public async Task Torn_readings_are_begun_anew_and_in_the_end_reported_as_torn()
    {
        Publish(1, epoch: 1, "in 1 accept udp 53/53 0.0.0.0/0");
        int readings = 0;
        reading = (visit, _) =>
        {
            visit(Udp(53, 1));
            return ++readings == 2;
        };
        Publish(2, epoch: 2);
        PassReport report = await PassAsync(2);
        Assert.Equal((2, 1L, 1L, true), (readings, report.Judged, report.Cut, report.Complete));
        reading = (visit, _) =>
        {
            visit(Udp(53, 1));
            return false;
        };
        Publish(3, epoch: 3);
        Assert.False((await PassAsync(3)).Complete);
    }

    [Fact]
    public async Task A_table_that_cannot_be_read_ends_nothing()
    {
        Publish(1, epoch: 1);
        reading = (_, _) => throw new NetlinkException("list flows", new KernelError(1));
        Publish(2, epoch: 2);
        await DrainedAsync();
        reading = null;
        Publish(3, epoch: 3);
        Assert.Equal(3ul, (await PassAsync(3)).Revision);
    }

    [Fact]
    public async Task What_is_not_in_force_is_not_judged_by()
    {
        Publish(1, epoch: 1, "in 1 accept udp 53/53 0.0.0.0/0");
        while (watch.Judge is null)
        {
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        var judge = watch.Judge;
        states.Writer.TryWrite(State(2, 1) with { AppliedRevision = 1 });
        await DrainedAsync();
        Assert.Same(judge, watch.Judge);
    }

    private bool Read(FlowFilter filter, Action<Flow> visit, CancellationToken cancel)
    {
        if (reading is { } own)
        {
            return own(visit, cancel);
        }

        table.ForEach(visit);
        return true;
    }

    private void Publish(ulong revision, uint epoch, params string[] rules) =>
        Assert.True(states.Writer.TryWrite(State(revision, epoch, rules)));

    private AgentState State(ulong revision, uint epoch, params string[] rules) => AgentState.Initial with
    {
        Version = ++version,
        Desired = SessionJudgeTests.Policy(rules) with { Revision = revision },
        AppliedRevision = revision,
        Epoch = epoch << 16,
    };

    private static Flow Udp(ushort port, uint epoch)
    {
        var there = new FlowTuple(IPAddress.Parse("198.51.100.7"), IPAddress.Parse("10.0.0.1"), 17, 4000, port);
        var back = new FlowTuple(there.Destination, there.Source, 17, port, 4000);
        return new Flow(there, back, 0, epoch << 16 | 7, Status: 8, TimeoutSeconds: 30, Id: port);
    }

    private async Task<PassReport> PassAsync(ulong revision)
    {
        for (int i = 0; i < 3000; i++)
        {
            if (watch.LastPass is { } report && report.Revision == revision)
            {
                return report;
            }

            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        throw new TimeoutException($"no pass of revision {revision}");
    }

    /// <summary>Everything that was published has been taken.</summary>
    private async Task DrainedAsync()
    {
        for (int i = 0; i < 3000 && states.Reader.Count > 0; i++)
        {
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        await Task.Delay(50, TestContext.Current.CancellationToken);
        Assert.Equal(0, states.Reader.Count);
    }
}
