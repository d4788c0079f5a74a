using Agent.V1;
using Grpc.Core;
using static Agent.KernelTests.Scenarios.States;

namespace Agent.KernelTests.Daemon;

/// <summary>What a person or a controller is told.</summary>
public sealed class StatusTests
{
    [Fact]
    public async Task Every_state_of_a_vNIC_is_seen_as_it_comes()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        List<AgentStatus> seen = [];
        using CancellationTokenSource end = new();
        using AsyncServerStreamingCall<AgentStatus> watch =
            lab.Client.WatchStatus(new GetStatusRequest(), cancellationToken: end.Token);
        Task reading = Task.Run(async () =>
        {
            try
            {
                while (await watch.ResponseStream.MoveNext(CancellationToken.None))
                {
                    lock (seen)
                    {
                        seen.Add(watch.ResponseStream.Current);
                    }
                }
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Cancelled)
            {
            }
        }, TestContext.Current.CancellationToken);

        await SeenAsync("tap-e2", VnicState.Unmanaged);
        Snapshot state = DaemonLab.OneWayIn();
        state.Vnics[2].InterfaceName = "tap-later";
        // So large that the time between accepted and enforced can be seen.
        state.Groups[0].Members.AddRange(Enumerable.Range(0, 60_000).Select(i => $"10.99.{i >> 8}.{i & 255}"));
        await lab.ApplyAsync(state);
        await SeenAsync("tap-e2", VnicState.Pending);
        await SeenAsync("tap-e2", VnicState.Enforced);
        await SeenAsync("tap-later", VnicState.Absent);
        await SeenAsync("tap-e3", VnicState.Unmanaged);

        lab.Network.Unplug(lab.E2);
        await SeenAsync("tap-e2", VnicState.Absent);
        lock (seen)
        {
            seen.Clear();
        }

        lab.Network.Plug(lab.E2);
        await SeenAsync("tap-e2", VnicState.Enforced);
        AgentStatus status = await lab.StatusAsync();
        VnicStatus e2 = status.Vnics.Single(v => v.VnicId == "eni-e2");
        Assert.Equal((status.AppliedRevision, "sg-b"), (e2.EnforcedRevision, Assert.Single(e2.GroupIds)));
        await end.CancelAsync();
        await reading;

        Task SeenAsync(string device, VnicState wanted) => DaemonLab.UntilAsync($"{device} {wanted}", () =>
        {
            lock (seen)
            {
                return seen.Any(s => s.Vnics.Any(v => v.InterfaceName == device && v.State == wanted));
            }
        });
    }

    [Fact]
    public async Task Status_says_what_runs_what_is_held_and_what_the_kernel_can()
    {
        await using DaemonLab lab = await DaemonLab.StartAsync();
        Accepted answer = await lab.ApplyAsync(Apply(
            [Isolating("sg-a", "in 1 accept udp 1/9 0.0.0.0/0"), Isolating("sg-b")],
            Nic("e1", "sg-a"), Nic("e2", "sg-b")).State);
        AgentStatus status = await lab.StatusAsync();

        Assert.Equal((answer.Revision, answer.Revision), (status.DesiredRevision, status.AppliedRevision));
        Assert.Equal(answer.StateHash, status.StateHash);
        Assert.Equal(2u, status.GroupCount);
        Assert.Empty(status.Alarms);
        Assert.Equal(lab.Network.Host.ReadSysctl("kernel/osrelease"), status.KernelRelease);
        Assert.Matches(@"^\d+\.\d+", status.AgentVersion);
        Assert.Equal(Environment.MachineName, status.Host);
        Assert.InRange(status.AppliedAt.ToDateTime(), DateTime.UtcNow.AddMinutes(-2), DateTime.UtcNow);
        Assert.Equal(
            ["bridge-conntrack", "ct-count", "ct-timeout", "netdev-hook-by-name", "packet-log", "table-owner-persist"],
            status.KernelFeatures.Select(f => f.Name).Order(StringComparer.Ordinal));
        Assert.All(status.KernelFeatures, feature => Assert.NotEmpty(feature.Detail));
        Assert.True(status.KernelFeatures.Single(f => f.Name == "table-owner-persist").Present);
    }
}
