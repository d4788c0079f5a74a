using System.Diagnostics;
using System.Globalization;
using Agent.V1;
using Grpc.Core;

namespace Agent.Benchmarks;

/// <summary>What a controller saw.</summary>
/// <param name="Latencies">From when each delta was due to its answer, ascending.</param>
/// <param name="Commits">How many deltas each carried.</param>
/// <param name="Processor">Of the daemon, in cores.</param>
internal sealed record FlowResult(double[] Latencies, IReadOnlyList<int> Commits, double Processor)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{At(0.5):F0} ms | {At(0.99):F0} ms | {Latencies[^1]:F0} ms | {Commits.Count} "
        + $"| {Commits.Average():F1} | {Commits.Max()} | {Processor:P0}");

    private double At(double part) => Latencies[(int)(part * (Latencies.Length - 1))];
}

/// <summary>Sends deltas at a rate, whatever the answers.</summary>
internal static class FlowLoad
{
    public static async Task<FlowResult> RunAsync(
        SecurityGroupAgent.SecurityGroupAgentClient client, int daemon, FlowState state,
        Func<FlowState, int, Delta> step, int perSecond, int count)
    {
        using AsyncDuplexStreamingCall<SyncRequest, SyncResponse> call = client.Sync();
        double processor = ProcessorSeconds(daemon);
        long began = Stopwatch.GetTimestamp();
        double[] latencies = new double[count];
        var commits = new Dictionary<ulong, int>();
        Task sending = SendAsync();
        for (int i = 0; i < count; i++)
        {
            if (!await call.ResponseStream.MoveNext() || call.ResponseStream.Current.Accepted is not { } accepted)
            {
                throw new InvalidOperationException($"delta {i} was not accepted: {call.ResponseStream.Current}");
            }

            latencies[i] = (Stopwatch.GetElapsedTime(began) - Due(i)).TotalMilliseconds;
            commits[accepted.CommitRevision] = (int)accepted.CommitDeltas;
        }

        await sending;
        double took = Stopwatch.GetElapsedTime(began).TotalSeconds;
        await call.RequestStream.CompleteAsync();
        Array.Sort(latencies);
        return new FlowResult(latencies, [.. commits.Values], (ProcessorSeconds(daemon) - processor) / took);

        TimeSpan Due(int i) => TimeSpan.FromSeconds((double)i / perSecond);

        async Task SendAsync()
        {
            for (int i = 0; i < count; i++)
            {
                TimeSpan early = Due(i) - Stopwatch.GetElapsedTime(began);
                if (early > TimeSpan.Zero)
                {
                    await Task.Delay(early);
                }

                await call.RequestStream.WriteAsync(new SyncRequest { Delta = step(state, i) });
            }
        }
    }

    private static double ProcessorSeconds(int id)
    {
        using Process process = Process.GetProcessById(id);
        return process.TotalProcessorTime.TotalSeconds;
    }
}
