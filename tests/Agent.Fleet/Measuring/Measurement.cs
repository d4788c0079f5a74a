using System.Diagnostics;

namespace Agent.Fleet.Measuring;

/// <summary>How much is measured.</summary>
internal sealed record Extent
{
    public IReadOnlyList<int> Sizes { get; init; } = [10, 100, 1000];

    /// <summary>Agents of these that are sg-agentd in a namespace: a run of its own.</summary>
    public int Real { get; init; } = 20;

    public int Rounds { get; init; } = 20;

    public int ChurnPerSecond { get; init; } = 1000;

    public TimeSpan ChurnTime { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>What was measured with one number of agents. Times are sorted, the longest last.</summary>
/// <param name="Agents">How many.</param>
/// <param name="AreReal">sg-agentd and the real kernel.</param>
/// <param name="Rounds">Single changes: per round, from the write to enforced, of each agent.</param>
/// <param name="ChurnRate">Changes a second that the store took.</param>
/// <param name="UnderChurn">Single changes meanwhile.</param>
/// <param name="Drained">From the end of the churn until all of it is enforced everywhere.</param>
/// <param name="Failover">A change right after the leader was killed.</param>
/// <param name="Storm">From the start of a controller, none being there, until each agent has what changed.</param>
internal sealed record Figures(
    int Agents, bool AreReal, IReadOnlyList<TimeSpan[]> Rounds, double ChurnRate, IReadOnlyList<TimeSpan[]> UnderChurn,
    TimeSpan Drained, TimeSpan[] Failover, TimeSpan[] Storm);

/// <summary>Runs a fleet through everything that is measured.</summary>
internal sealed class Measurement(Extent extent, Action<string> say)
{
    /// <summary>Nothing that is measured takes longer; what does is a fault.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    public async Task<IReadOnlyList<Figures>> RunAsync()
    {
        var all = new List<Figures>();
        foreach (int size in extent.Sizes)
        {
            all.Add(await RunAsync(size, areReal: false));
        }

        if (extent.Real > 0)
        {
            all.Add(await RunAsync(extent.Real, areReal: true));
        }

        return all;
    }

    private async Task<Figures> RunAsync(int size, bool areReal)
    {
        Say($"{size} {(areReal ? "real" : "simulated")} agents start");
        using CancellationTokenSource starting = new(Limit);
        await using FleetUnderTest fleet =
            await FleetUnderTest.StartAsync(areReal ? 0 : size, areReal ? size : 0, starting.Token);
        ControllerProcess first = fleet.StartController();
        await first.LeadsAsync(starting.Token);
        ControllerProcess second = fleet.StartController();
        Say("first change: every agent gets its snapshot");
        await fleet.ChangeAsync(starting.Token);

        IReadOnlyList<TimeSpan[]> rounds = await RoundsAsync(fleet);
        (double rate, IReadOnlyList<TimeSpan[]> under, TimeSpan drained) = await ChurnAsync(fleet);
        TimeSpan[] failover = await FailOverAsync(fleet, first, second);
        TimeSpan[] storm = await StormAsync(fleet, second);
        foreach (string complaint in fleet.Complaints)
        {
            Say(complaint);
        }

        return new Figures(size, areReal, rounds, rate, under, drained, failover, storm);
    }

    private async Task<IReadOnlyList<TimeSpan[]>> RoundsAsync(FleetUnderTest fleet)
    {
        var rounds = new List<TimeSpan[]>();
        using CancellationTokenSource limit = new(Limit);
        for (int i = 0; i < extent.Rounds; i++)
        {
            rounds.Add(await fleet.ChangeAsync(limit.Token));
        }

        Say($"single changes: {Show(Numbers.Median(rounds.Select(round => round[^1])))} to the last agent (median)");
        return rounds;
    }

    private async Task<(double Rate, IReadOnlyList<TimeSpan[]> Under, TimeSpan Drained)> ChurnAsync(
        FleetUnderTest fleet)
    {
        using CancellationTokenSource limit = new(Limit);
        Stopwatch clock = Stopwatch.StartNew();
        Task<int> churning = fleet.ChurnAsync(extent.ChurnPerSecond, extent.ChurnTime, limit.Token);
        var under = new List<TimeSpan[]>();
        while (!churning.IsCompleted)
        {
            under.Add(await fleet.ChangeAsync(limit.Token));
            await Task.WhenAny(churning, Task.Delay(500, limit.Token));
        }

        double rate = await churning / clock.Elapsed.TotalSeconds;
        TimeSpan drained = (await fleet.ChangeAsync(limit.Token))[^1];
        Say($"{rate:0} changes/s: {Show(Numbers.Median(under.Select(round => round[^1])))} to the last agent (median)");
        return (rate, under, drained);
    }

    private async Task<TimeSpan[]> FailOverAsync(
        FleetUnderTest fleet, ControllerProcess leader, ControllerProcess other)
    {
        using CancellationTokenSource limit = new(Limit);
        leader.Kill();
        TimeSpan[] times = await fleet.ChangeAsync(limit.Token);
        await other.LeadsAsync(limit.Token);
        Say($"failover: {Show(times[^1])} to the last agent");
        return times;
    }

    private async Task<TimeSpan[]> StormAsync(FleetUnderTest fleet, ControllerProcess leader)
    {
        using CancellationTokenSource limit = new(Limit);
        leader.Kill();
        await Task.Delay(Control.Controller.LeaseLife + TimeSpan.FromSeconds(2), limit.Token); // nobody leads
        long revision = await fleet.Store.WriteAsync([RegionPlan.ForEverybody(0xffff)], limit.Token);
        long began = Stopwatch.GetTimestamp();
        _ = fleet.StartController();
        TimeSpan[] times = await fleet.EnforcedAsync(revision, began, limit.Token);
        Say($"resync after a restart: {Show(times[^1])} to the last agent");
        return times;
    }

    private void Say(string line) => say($"{TimeProvider.System.GetLocalNow():HH:mm:ss} {line}");

    private static string Show(TimeSpan time) => Numbers.Show(time);
}
