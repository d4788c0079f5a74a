using System.Diagnostics;
using Agent.KernelTests.Daemon;
using Agent.KernelTests.Sessions;
using Agent.TestNet;
using Agent.V1;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// 8. A full table cuts new sessions and the management's; reading or deleting sessions for each change stalls all.
/// </summary>
public sealed class FullConntrackTests(ITestOutputHelper output)
{
    private const int Changes = 40;

    /// <summary>What a revocation may cost more when the table is full: it does not look at it.</summary>
    private static readonly TimeSpan Allowance = Pace.Scaled(TimeSpan.FromMilliseconds(150));

    /// <summary>As full as this kernel lets a namespace have it; it can be neither raised nor lowered there.</summary>
    [Fact]
    public async Task A_conntrack_table_that_is_full_slows_no_revocation_cuts_nobody_who_is_in_and_opens_nothing()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept udp 1/65535 0.0.0.0/0"));
        double limit = await lab.MetricAsync("sg_agent_conntrack_limit");
        Assert.SkipWhen(limit > 1 << 20, $"nf_conntrack_max is {limit}: filling takes too long");
        using Flood innocent = DaemonLab.StartFlood(lab.E1, lab.E3, 500, FloodDirections.Both);
        await DaemonLab.UntilAsync("a running flood", () => innocent.Backward.Received > 50);
        TimeSpan[] empty = await RevokeAsync(lab);
        Assert.InRange(Conntrack.Fill(lab.Network.Host), limit - 1, limit + 1);
        TimeSpan[] full = await RevokeAsync(lab);
        Assert.InRange(await lab.MetricAsync("sg_agent_conntrack_entries"), limit * 0.99, limit + 1);

        output.WriteLine($"{Changes} revocations: {Ninth(empty)} beside a few sessions, {Ninth(full)} beside {limit}");
        Assert.True(Ninth(full) < Ninth(empty) + Allowance, $"{Ninth(full)} instead of {Ninth(empty)}");
        // Who may come may find no room; who may not comes no more than before. What is in stays in.
        Assert.False(await lab.UdpArrivesAsync(lab.E3, lab.E2, expected: false));
        AgentStatus status = await lab.StatusAsync();
        Assert.Equal(status.DesiredRevision, status.AppliedRevision);
        await innocent.StopAsync();
        Assert.Empty(SessionLab.Lost(innocent.Forward));
        Assert.Empty(SessionLab.Lost(innocent.Backward));
        SessionTable.Flush(lab.Network.Host);
        Assert.True(await lab.UdpArrivesAsync(lab.E1, lab.E3, expected: true));
    }

    /// <summary>Each takes something away that a session may use, so that all are judged again.</summary>
    private static async Task<TimeSpan[]> RevokeAsync(DaemonLab lab)
    {
        List<TimeSpan> took = [];
        for (int i = 0; i < Changes; i++)
        {
            await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept udp 1/65535 0.0.0.0/0"));
            long asked = Stopwatch.GetTimestamp();
            Accepted answer = await lab.ApplyAsync(SessionLab.CallsInto("in 1 accept udp 1/1024 0.0.0.0/0"));
            took.Add(Stopwatch.GetElapsedTime(asked));
            Assert.True(answer.Changes.SessionsRevalidated);
        }

        return [.. took.Order()];
    }

    private static TimeSpan Ninth(TimeSpan[] sorted) => sorted[sorted.Length * 9 / 10];
}
