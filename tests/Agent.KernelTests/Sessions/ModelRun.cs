using System.Diagnostics;
using Agent.Contract;
using Agent.Evaluator;
using Agent.Evaluator.Sessions;
using Agent.Policy;
using Agent.TestNet;
using Agent.Tests.Sessions;
using Agent.V1;
using ModelTable = Agent.Evaluator.Sessions.SessionTable;

namespace Agent.KernelTests.Sessions;

/// <summary>One round of conversations, on the real host and in the model of it.</summary>
/// <remarks>
/// Where there are several circles of places that cannot reach each other, all of them have the same conversations: the
/// same packets, if their addresses are the same.
/// </remarks>
internal sealed class ModelRun : IDisposable
{
    /// <summary>Of each circle.</summary>
    private const int Talks = 20;

    private const int FirstPort = 40_000;

    /// <summary>A packet that comes so close to the end of its session's idle time waits.</summary>
    private static readonly TimeSpan CloseCall = TimeSpan.FromSeconds(0.5);

    private readonly int seed;
    private readonly Random random;
    private readonly RealTalk wires;
    private readonly RandomTalk[] talks;
    private readonly List<string> history = [];
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private SessionOracle oracle = new(PolicySnapshot.Empty, PolicySettings.Default, HostSettings.Default);
    private ModelTable table = ModelTable.Empty;
    private PolicySnapshot policy = PolicySnapshot.Empty;

    /// <param name="seed">Decides everything.</param>
    /// <param name="network">The real host; its table of sessions is empty.</param>
    /// <param name="circles">Who may talk to whom, and where they are.</param>
    public ModelRun(int seed, TestNetwork network, IReadOnlyList<Dictionary<Place, NetworkEndpoint>> circles)
    {
        (this.seed, random) = (seed, new Random(seed));
        wires = new RealTalk(network, circles.SelectMany(circle => circle).ToDictionary(), random);
        talks = [.. Enumerable.Range(0, Talks).SelectMany(i => circles.Select(circle => new RandomTalk(
            new Random((seed * Talks) + i), [.. circle.Keys], (ushort)(FirstPort + (Talks * (seed % 1000)) + i))))];
    }

    public required Func<Random, Snapshot> NextState { get; init; }

    public required Func<Snapshot, Task<Accepted>> ApplyAsync { get; init; }

    public async Task ChangePolicyAsync()
    {
        Snapshot state = NextState(random);
        Accepted answer = await ApplyAsync(state);
        Assert.Empty(answer.FailedVnics);
        state.Revision = answer.Revision;
        SnapshotResult read = SnapshotReader.Read(state, PolicyLimits.Default);
        policy = read.Policy!;
        oracle = new SessionOracle(policy, PolicySettings.Default, HostSettings.Default);
        table = answer.Changes.SessionsRevalidated ? table.Restricted() : table;
        history.Add($"-- revision {answer.Revision}, judged again: {answer.Changes.SessionsRevalidated}");
    }

    /// <param name="packets">How many.</param>
    /// <param name="kinds">Counts what they were.</param>
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
        FlowKey[] keys = [.. policy.Vpcs.Keys.Append("").SelectMany(
            zone => new[] { packet, packet.Quoted }.OfType<SessionPacket>().Select(one => one.KeyIn(zone)))];
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
