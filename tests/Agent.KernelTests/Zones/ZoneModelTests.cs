using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.KernelTests.Sessions;
using Agent.Tests.Sessions;
using Agent.V1;
using TestSessions = Agent.TestNet.SessionTable;

namespace Agent.KernelTests.Zones;

/// <summary>The same conversations, packet by packet, in two VPCs with the same addresses and other policies.</summary>
public sealed class ZoneModelTests
{
    private static readonly string[] Vpcs = ["a", "b"];

    [Fact]
    public async Task The_kernel_keeps_two_tenants_apart_as_the_model_does()
    {
        await using TwoTenants lab = await TwoTenants.StartAsync();
        Place[][] circles = [.. Vpcs.Select(vpc => (Place[])
        [
            Guest(vpc, 1, 5), Guest(vpc, 2, 6),
            new($"world-{vpc}", $"up-{vpc}", "", "198.51.100.7", "2001:db8:ffff::7"),
        ])];
        var kinds = new Dictionary<(SessionReason, CtState, bool), int>();
        for (int seed = 1; seed <= 5; seed++)
        {
            TestSessions.Flush(lab.Network.Host);
            using var run = new ModelRun(seed, lab.Network, [.. circles.Select(circle => circle.ToDictionary(
                place => place, place => place.IsGuest ? lab[place.Name] : place.Name == "world-a" ? lab.WorldA
                    : lab.WorldB))])
            {
                NextState = random => State(random, circles),
                ApplyAsync = lab.ApplyAsync,
            };
            bool goesOn = true;
            for (int policy = 0; policy < 4 && goesOn; policy++)
            {
                await run.ChangePolicyAsync();
                goesOn = await run.TalkAsync(120, kinds);
            }
        }

        Assert.Contains(kinds.Keys, kind => kind is (SessionReason.Live, CtState.Established, true));
        Assert.Contains(kinds.Keys, kind => kind is (SessionReason.Policy, CtState.Established, false));
    }

    private static Snapshot State(Random random, Place[][] circles)
    {
        var state = new Snapshot();
        foreach ((string vpc, Place[] circle) in Vpcs.Zip(circles))
        {
            Snapshot part = TalkStates.Of(
                random, circle, new SessionTimeouts { TcpClosedAndTimeWaitSeconds = 15, UdpSeconds = 100 },
                $"vpc-{vpc}");
            state.Groups.Add(part.Groups);
            state.Vnics.Add(part.Vnics);
            state.Vpcs.Add(new Vpc { Id = $"vpc-{vpc}", UplinkInterfaces = { $"up-{vpc}" } });
        }

        return state;
    }

    private static Place Guest(string vpc, int number, int host) => new(
        $"{vpc}{number}", $"tap-{vpc}{number}", TwoTenants.Mac($"{vpc}{number}"), $"10.0.0.{host}",
        $"2001:db8:1::{host}");
}
