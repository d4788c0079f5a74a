using System.Diagnostics;
using System.Globalization;
using Agent.Contract;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.KernelTests.Scenarios;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Sessions;
using Agent.V1;
using ModelTable = Agent.Evaluator.Sessions.SessionTable;

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
    private const int Talks = 20;

    /// <summary>A packet that comes so close to the end of its session's idle time is not asked about.</summary>
    private static readonly TimeSpan CloseCall = TimeSpan.FromSeconds(0.5);

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
        for (int seed = 1; seed <= rounds; seed++)
        {
            using var run = new Run(
                lab, seed, new V1.SessionTimeouts { TcpClosedAndTimeWaitSeconds = 15, UdpSeconds = 100 });
            for (int policy = 0; policy < 4; policy++)
            {
                await run.ChangePolicyAsync();
                await run.TalkAsync(60, kinds);
            }
        }

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
        using var run = new Run(lab, 99, new V1.SessionTimeouts { TcpClosedAndTimeWaitSeconds = 3, UdpSeconds = 10 });
        await run.ChangePolicyAsync();
        foreach (double pause in (double[])[0, 3.2, 10.2])
        {
            await Task.Delay(Pace.Scaled(TimeSpan.FromSeconds(pause)), TestContext.Current.CancellationToken);
            await run.TalkAsync(150, []);
        }
    }

    /// <summary>One round: its conversations, the real host and the model of it.</summary>
    private sealed class Run : IDisposable
    {
        private readonly SessionLab lab;
        private readonly int seed;
        private readonly V1.SessionTimeouts times;
        private readonly Random random;
        private readonly RealTalk wires;
        private readonly RandomTalk[] talks;
        private readonly List<string> history = [];
        private readonly Stopwatch clock = Stopwatch.StartNew();
        private SessionOracle oracle = new(PolicySnapshot.Empty, PolicySettings.Default, HostSettings.Default);
        private ModelTable table = ModelTable.Empty;

        public Run(SessionLab lab, int seed, V1.SessionTimeouts times)
        {
            (this.lab, this.seed, this.times, random) = (lab, seed, times, new Random(seed));
            wires = new RealTalk(lab.Lab.Network, Places, random);
            talks = [.. Enumerable.Range(0, Talks).Select(
                i => new RandomTalk(random, Places, (ushort)(40_000 + (100 * seed) + i)))];
            lab.Forget();
        }

        public async Task ChangePolicyAsync()
        {
            Snapshot state = TalkStates.Of(random, Places, times);
            (Accepted answer, _) = await lab.ApplyAsync(state);
            state.Revision = answer.Revision;
            SnapshotResult read = SnapshotReader.Read(state, PolicyLimits.Default);
            oracle = new SessionOracle(read.Policy!, PolicySettings.Default, HostSettings.Default);
            table = answer.Changes.SessionsRevalidated ? table.Restricted() : table;
            history.Add($"-- revision {answer.Revision}, judged again: {answer.Changes.SessionsRevalidated}");
        }

        public async Task TalkAsync(int packets, Dictionary<(SessionReason, CtState, bool), int> kinds)
        {
            for (int i = 0; i < packets; i++)
            {
                TalkStep step = talks[random.Next(talks.Length)].Next(random);
                if (IsCloseCall(step.Packet))
                {
                    await Task.Delay(2 * CloseCall, TestContext.Current.CancellationToken);
                }

                (SessionAnswer answer, table) = oracle.Judge(table, step.Way, step.Packet, clock.Elapsed);
                bool arrived = wires.Arrives(step);
                history.Add($"{clock.Elapsed.TotalSeconds:0.000} {step}: {answer}");
                Assert.True(arrived == answer.Accepted,
                    $"seed {seed}: {(arrived ? "arrived" : "did not arrive")}\n{string.Join('\n', Related(step))}");
                (SessionReason, CtState, bool) kind = (answer.Reason, answer.State, answer.Accepted);
                kinds[kind] = kinds.GetValueOrDefault(kind) + 1;
            }
        }

        public void Dispose() => wires.Dispose();

        private bool IsCloseCall(SessionPacket packet)
        {
            FlowKey[] keys = [.. new[] { packet, packet.Quoted }.OfType<SessionPacket>().Select(one => one.KeyIn(""))];
            return keys.Concat(keys.Select(key => key.Inverse).OfType<FlowKey>()).Any(key =>
                table.Sessions.TryGetValue(key, out Session? session)
                && (session.Ends - clock.Elapsed).Duration() < CloseCall);
        }

        /// <summary>What happened to the session in question, the last packet last.</summary>
        private IEnumerable<string> Related(TalkStep step)
        {
            int port = Math.Max(step.Packet.Tuple.SourcePort, step.Packet.Tuple.DestinationPort);
            string mark = port > 0 ? $":{port}" : $"{(step.Packet.Quoted ?? step.Packet).Tuple}"[..10];
            return history.Where(line => line.StartsWith("--", StringComparison.Ordinal)
                || line.Contains(mark, StringComparison.Ordinal)).TakeLast(40);
        }
    }
}
