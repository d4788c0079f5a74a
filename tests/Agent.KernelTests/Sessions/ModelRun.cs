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

    /// <summary>The longest that a packet took: the kernel's clock and the model's are at most so far apart.</summary>
    private TimeSpan slowest;

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
    /// <returns>
    /// False if the machine was so slow that nobody knows whether a session had ended; the round is over.
    /// </returns>
    public async Task<bool> TalkAsync(int packets, Dictionary<(SessionReason, CtState, bool), int> kinds)
    {
        for (int i = 0; i < packets; i++)
        {
            TalkStep step = talks[random.Next(talks.Length)].Next(random);
            while (EndsBetween(step.Packet, clock.Elapsed - CloseCall, clock.Elapsed + CloseCall))
            {
                await Task.Delay(CloseCall, TestContext.Current.CancellationToken);
            }

            TimeSpan start = clock.Elapsed;
            ModelTable before = table;
            (SessionAnswer answer, table) = oracle.Judge(table, step.Way, step.Packet, start);
            bool arrived = wires.Arrives(step);
            slowest = clock.Elapsed - start > slowest ? clock.Elapsed - start : slowest;
            history.Add($"{start.TotalSeconds:0.000} {step}: {answer}");
            if (slowest > CloseCall / 2 && EndsBetween(step.Packet, start - slowest - CloseCall, clock.Elapsed, before))
            {
                return false;
            }

            Assert.True(arrived == answer.Accepted,
                $"seed {seed}: {(arrived ? "arrived" : "did not arrive")}\n{string.Join('\n', Related(step))}");
            (SessionReason, CtState, bool) kind = (answer.Reason, answer.State, answer.Accepted);
            kinds[kind] = kinds.GetValueOrDefault(kind) + 1;
        }

        return true;
    }

    public void Dispose() => wires.Dispose();

    private bool EndsBetween(SessionPacket packet, TimeSpan from, TimeSpan to, ModelTable? sessions = null)
    {
        FlowKey[] keys = [.. policy.Vpcs.Keys.Append("").SelectMany(
            zone => new[] { packet, packet.Quoted }.OfType<SessionPacket>().Select(one => one.KeyIn(zone)))];
        return keys.Concat(keys.Select(key => key.Inverse).OfType<FlowKey>()).Any(key =>
            (sessions ?? table).Sessions.TryGetValue(key, out Session? session)
            && session.Ends >= from && session.Ends <= to);
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
