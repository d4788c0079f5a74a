using System.Diagnostics;
using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.Chaos;

/// <summary>What runs have seen.</summary>
internal sealed class ChaosTally
{
    public int Steps { get; set; }

    public int Kills { get; set; }

    public ulong Revisions { get; set; }

    public long Packets { get; set; }

    /// <summary>After the agent was back, or the flush done: how long something forbidden still passed.</summary>
    public TimeSpan LongestOpen { get; set; }

    /// <summary>After a misfortune was over: until all that is allowed had passed.</summary>
    public TimeSpan LongestCut { get; set; }

    public override string ToString() =>
        $"{Steps} misfortunes, {Kills} kills, {Revisions} revisions, {Packets} packets; closed again in "
        + $"{LongestOpen.TotalMilliseconds:0} ms, allowed again in {LongestCut.TotalMilliseconds:0} ms at most";
}

/// <summary>One seed: a host, and what befalls it.</summary>
/// <param name="seed">Decides what, and when.</param>
/// <param name="steps">How many misfortunes.</param>
/// <param name="kinds">Which.</param>
/// <param name="tally">What is seen is added to it.</param>
internal sealed class ChaosRun(int seed, int steps, IReadOnlyList<MisfortuneKind> kinds, ChaosTally tally)
{
    /// <summary>What is open when the agent comes back, or after a flush that it lives through, is closed.</summary>
    private static readonly TimeSpan OpenBound = Pace.Scaled(TimeSpan.FromSeconds(15));

    /// <summary>What is allowed passes again, once the misfortune is over.</summary>
    private static readonly TimeSpan CutBound = Pace.Scaled(TimeSpan.FromSeconds(5));

    private static readonly TimeSpan Again = TimeSpan.FromMilliseconds(20);

    private readonly List<string> story = [];

    /// <summary>Of even seeds the tables belong to the daemon, where the kernel can; of odd ones to nobody.</summary>
    private bool IsProtected => seed % 2 == 0 && KernelNeeds.Has(KernelFeature.OwnerPersist);

    public async Task LiveAsync()
    {
        try
        {
            await using ChaosHost host = await ChaosHost.StartAsync(Configure);
            PolicyChurn churn = new() { Acknowledged = (await host.Lab.ApplyAsync(ChaosHost.State())).Revision };
            ulong first = churn.Acknowledged;
            using ChaosTraffic traffic = await ChaosTraffic.StartAsync(host);
            await CheckAllowedAsync(traffic, Stopwatch.GetTimestamp(), CutBound);
            MisfortuneHand hand = new(host, traffic, churn, IsProtected, new Random(seed));
            List<(Opening Opening, long ClosedAt)> openings = [];
            foreach (Misfortune misfortune in Misfortune.Draw(seed, steps, kinds))
            {
                story.Add($"{misfortune}");
                await StepAsync(host.Lab, traffic, churn, hand, misfortune, openings);
                tally.Steps++;
            }

            tally.Kills += hand.Kills;
            tally.Revisions += churn.Acknowledged - first;
            tally.Packets += traffic.Allowed.Concat(traffic.Forbidden).Sum(flow => flow.Account.Sent);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            string kind = kinds.Count == 1 ? $" KIND={kinds[0]}" : "";
            throw new InvalidOperationException(
                $"{e.Message}\n\n{string.Join('\n', story.Select((line, i) => $"{i + 1}. {line}"))}\n\n"
                + $"make chaos SEED={seed} RUNS=1 STEPS={steps}{kind}", e);
        }
    }

    private void Configure(JsonObject configuration) => configuration["protect_tables"] = IsProtected;

    private async Task StepAsync(
        DaemonLab lab, ChaosTraffic traffic, PolicyChurn churn, MisfortuneHand hand, Misfortune misfortune,
        List<(Opening Opening, long ClosedAt)> openings)
    {
        using CancellationTokenSource end = new();
        Task driving = DriveAsync(lab, churn, end.Token);
        long began = Stopwatch.GetTimestamp();
        Opening? opening;
        try
        {
            await Task.Delay(misfortune.Delay, CancellationToken.None);
            opening = await hand.StrikeAsync(misfortune);
        }
        finally
        {
            await end.CancelAsync();
            await driving;
        }

        long over = Stopwatch.GetTimestamp();
        await CheckAgentAsync(lab, churn);
        churn.MayGoUnsaved = false;
        if (opening is not null)
        {
            openings.Add((opening, Stopwatch.GetTimestamp()));
        }

        TimeSpan lasted = Stopwatch.GetElapsedTime(began, over);
        await CheckAllowedAsync(traffic, over, CutBound + lasted);
        if (misfortune.CutsNothing || (misfortune.Kind == MisfortuneKind.Flush && IsProtected))
        {
            CheckNothingLost(traffic, began, over);
        }

        CheckForbidden(traffic, openings);
    }

    /// <summary>Goes on where the daemon came back.</summary>
    private static async Task DriveAsync(DaemonLab lab, PolicyChurn churn, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            try
            {
                churn.Acknowledged = (await lab.StatusAsync()).DesiredRevision;
                await churn.DriveAsync(lab, end);
                await Task.Delay(Again, end);
            }
            catch (Exception e) when (e is OperationCanceledException or Grpc.Core.RpcException)
            {
                await Task.Delay(Again, CancellationToken.None); // it is dead, or that was all
            }
        }
    }

    /// <summary>What it holds is in force, and it was acknowledged, or about to be.</summary>
    private static async Task CheckAgentAsync(DaemonLab lab, PolicyChurn churn)
    {
        AgentStatus? status = null;
        long asked = Stopwatch.GetTimestamp();
        while (status is null || status.AppliedRevision != status.DesiredRevision || status.Alarms.Count > 0
            || status.Vnics.Any(vnic => vnic.State != VnicState.Enforced))
        {
            Assert.True(
                Stopwatch.GetElapsedTime(asked) < CutBound,
                $"after {CutBound} the agent does not enforce what it holds: {status}\n{LastWords(lab.Daemon)}");
            await Task.Delay(5, CancellationToken.None);
            try
            {
                status = await lab.Client.GetStatusAsync(
                    new GetStatusRequest(), deadline: DateTime.UtcNow + CutBound);
            }
            catch (Grpc.Core.RpcException)
            {
                // The channel has not noticed yet.
            }
        }

        Assert.True(
            status.AppliedRevision == churn.Acknowledged || status.AppliedRevision == churn.InFlight,
            $"{status.AppliedRevision} is in force, acknowledged {churn.Acknowledged}, in flight {churn.InFlight}");
        churn.Acknowledged = status.AppliedRevision;
    }

    private static string LastWords(DaemonProcess daemon) => string.Join('\n', daemon.Log.Split('\n').TakeLast(12));

    private async Task CheckAllowedAsync(ChaosTraffic traffic, long over, TimeSpan bound)
    {
        foreach (ChaosFlow flow in traffic.Allowed)
        {
            TimeSpan most = flow.IsRetransmitted ? bound : CutBound;
            FloodArrival[] after;
            while ((after = flow.Account.SentAfter(over)).Length == 0)
            {
                Assert.True(flow.Complaint is null, $"{flow}: {flow.Complaint}");
                Assert.True(
                    Stopwatch.GetElapsedTime(over) < most, $"{flow} is allowed, and nothing passes after {most}");
                await Task.Delay(5, CancellationToken.None);
            }

            TimeSpan cut = Stopwatch.GetElapsedTime(over, after[0].ReceivedAt);
            tally.LongestCut = cut > tally.LongestCut ? cut : tally.LongestCut;
        }
    }

    private static void CheckNothingLost(ChaosTraffic traffic, long began, long over)
    {
        foreach (ChaosFlow flow in traffic.Allowed.Where(flow => !flow.IsRetransmitted))
        {
            long[] lost = flow.Account.LostBetween(began, over);
            Assert.True(lost.Length == 0, $"{flow} is allowed, and {lost.Length} packets were lost");
        }
    }

    private void CheckForbidden(ChaosTraffic traffic, List<(Opening Opening, long ClosedAt)> openings)
    {
        foreach (ChaosFlow flow in traffic.Forbidden)
        {
            foreach (FloodArrival arrival in flow.Account.Arrivals())
            {
                // Stamped, it may wait for a processor before it is sent.
                (Opening Opening, long ClosedAt)? open = openings.Cast<(Opening Opening, long ClosedAt)?>()
                    .FirstOrDefault(one => arrival.SentAt <= one!.Value.ClosedAt
                        && arrival.ReceivedAt >= one.Value.Opening.From);
                Assert.True(open is not null, $"{flow} is forbidden, and packet {arrival.Sequence} passed");
                TimeSpan late = Stopwatch.GetElapsedTime(open.Value.Opening.BackAt, arrival.SentAt);
                tally.LongestOpen = late > tally.LongestOpen ? late : tally.LongestOpen;
                Assert.True(late < OpenBound, $"{flow} is forbidden, and still passed {late} after the agent was back");
            }
        }
    }
}
