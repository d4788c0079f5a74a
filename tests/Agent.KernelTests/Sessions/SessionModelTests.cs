using System.Globalization;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.KernelTests.Scenarios;
using Agent.TestNet;
using Agent.Tests.Sessions;

namespace Agent.KernelTests.Sessions;

/// <summary>Routed vNICs.</summary>
public sealed class SessionModelTests(SessionLab lab) : SessionModelContract(lab), IClassFixture<SessionLab>;

/// <summary>vNICs that are ports of a bridge.</summary>
public sealed class BridgedSessionModelTests(BridgedLab lab) : SessionModelContract(lab), IClassFixture<BridgedLab>;

/// <summary>
/// Real packets of random conversations while the policy changes: the kernel lets each through exactly if the model
/// says so.
/// </summary>
public abstract class SessionModelContract(SessionLab lab)
{
    private static readonly Place[] Places =
    [
        .. States.Guests.Select(guest => new Place(
            guest.Name, guest.Device, guest.Mac, guest.Addresses[0],
            guest.Addresses.First(address => address.Contains(':', StringComparison.Ordinal)))),
        new("out", "uplink0", "", "198.51.100.7", "2001:db8:ffff::7"),
    ];

    /// <summary>
    /// 300 conversations of 12 packets, 45 changes of the policy; SG_TEST_TALKS asks for more rounds than 15.
    /// </summary>
    [Fact]
    public async Task The_kernel_does_with_every_packet_what_the_model_says()
    {
        lab.Need();
        var kinds = new Dictionary<(SessionReason, CtState, bool), int>();
        int rounds = int.Parse(
            Environment.GetEnvironmentVariable("SG_TEST_TALKS") ?? "15", CultureInfo.InvariantCulture);
        int abandoned = 0;
        for (int seed = 1; seed <= rounds; seed++)
        {
            using ModelRun run = Start(
                seed, new V1.SessionTimeouts { TcpClosedAndTimeWaitSeconds = 15, UdpSeconds = 100 });
            bool goesOn = true;
            for (int policy = 0; policy < 4 && goesOn; policy++)
            {
                await run.ChangePolicyAsync();
                goesOn = await run.TalkAsync(60, kinds);
            }

            abandoned += goesOn ? 0 : 1;
        }

        Assert.True(abandoned <= rounds / 3, $"{abandoned} rounds of {rounds} were too slow to tell anything");

        SessionReason[] expected =
        [
            SessionReason.Live, SessionReason.RelatedToLive, SessionReason.Policy, SessionReason.Invalid,
            SessionReason.NotLive, SessionReason.NotSyn,
        ];
        Assert.Empty(expected.Except(kinds.Keys.Select(kind => kind.Item1)));
        Assert.Contains(kinds.Keys, kind => kind is (SessionReason.Policy, CtState.Established, false));
        TestContext.Current.TestOutputHelper?.WriteLine(
            string.Join('\n', kinds.OrderBy(pair => pair.Key).Select(pair => $"{pair.Value,6} {pair.Key}")));
    }

    /// <summary>Sessions that nobody uses end when the model says so.</summary>
    [Fact]
    public async Task Idle_sessions_end_when_the_model_says_so()
    {
        lab.Need();
        using ModelRun run = Start(99, new V1.SessionTimeouts { TcpClosedAndTimeWaitSeconds = 3, UdpSeconds = 10 });
        await run.ChangePolicyAsync();
        foreach (double pause in (double[])[0, 3.2, 10.2])
        {
            await Task.Delay(Pace.Scaled(TimeSpan.FromSeconds(pause)), TestContext.Current.CancellationToken);
            if (!await run.TalkAsync(150, []))
            {
                Assert.Skip("this machine is too slow to tell when a session ends");
            }
        }
    }

    private ModelRun Start(int seed, V1.SessionTimeouts times)
    {
        TestNetwork network = lab.Lab.Network;
        lab.Forget();
        return new ModelRun(seed, network, [Places.ToDictionary(
            place => place, place => place.IsGuest ? network.Guests[place.Name] : network.Outsider)])
        {
            NextState = random => TalkStates.Of(random, Places, times),
            ApplyAsync = lab.Lab.ApplyAsync,
        };
    }
}
