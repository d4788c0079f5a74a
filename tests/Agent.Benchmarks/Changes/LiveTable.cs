using System.Globalization;
using System.Text;
using Agent.Contract;
using Agent.V1;

namespace Agent.Benchmarks.Changes;

/// <summary>What the issue asks of the daemon as a whole.</summary>
internal static class LiveTable
{
    private const int Rounds = 60;

    public static async Task<string> RunAsync()
    {
        var text = new StringBuilder("""
            ## The daemon

            `SG_AGENTD`, the native one if it was built, over its socket. Waited: from the call to the answer, median.
            Own: processor time of the program without its system calls; kernel: of these. Both are means, and in them
            is what it does beside the loop: proofs that did not fit into the budget, sessions judged again.

            | change | verify | waited | compile | prove | commit | own | kernel | messages | bytes |
            |---|---|--:|--:|--:|--:|--:|--:|--:|--:|

            """);
        foreach (string verify in (string[])["off", "enforce"])
        {
            await AddAsync(text, "a member of 65,536, 200 vNICs of 20 groups, 50 rules each", verify,
                BenchmarkHost.Of(200, 20, 50, BenchmarkHost.Members - 10), (state, i) => state.Member(i));
            await AddAsync(text, "a rule of a group that 500 vNICs are in, 200 rules", verify,
                BenchmarkHost.Of(500, 1, 200, 0), (state, i) => state.Rule(i));
        }

        text.AppendLine();
        await AddLargeAsync(text);
        return text.ToString();
    }

    private static async Task AddAsync(
        StringBuilder text, string what, string verify, Policy.PolicySnapshot host, Func<FlowState, int, Delta> step)
    {
        await using LiveDaemon daemon = await LiveDaemon.StartAsync(verify);
        Snapshot snapshot = SnapshotWriter.Write(host);
        await daemon.LoadAsync(snapshot);
        var state = new FlowState(snapshot);
        for (int i = 0; i < 10; i++)
        {
            await daemon.ChangeAsync(step(state, i)); // warms up, and ends what the load left to prove
        }

        (double user, double system) = daemon.CpuMilliseconds;
        var answers = new List<Answer>();
        for (int i = 10; i < 10 + Rounds; i++)
        {
            answers.Add(await daemon.ChangeAsync(step(state, i)));
        }

        (double userAfter, double systemAfter) = daemon.CpuMilliseconds;
        V1.Changes size = answers[^1].Accepted.Changes;
        Line(text, $"""
            | {what} | {verify} | {Median(answers, one => one.Milliseconds):F2} ms | {Median(answers, one =>
                one.Compile):F2} ms | {Median(answers, one => one.Prove):F2} ms | {Median(answers, one =>
                one.Commit):F2} ms | {(userAfter - user) / Rounds:F2} ms | {(systemAfter - system) / Rounds:F2} ms
             | {size.NetlinkMessages} | {size.NetlinkBytes:N0} |
            """);
    }

    private static async Task AddLargeAsync(StringBuilder text)
    {
        await using LiveDaemon daemon = await LiveDaemon.StartAsync("enforce");
        await Task.Delay(TimeSpan.FromSeconds(2));
        double idle = daemon.Memory.Now;
        double empty = Enumerable.Range(0, 5).Select(_ => daemon.RestartAsync().GetAwaiter().GetResult())
            .Select(time => time.TotalMilliseconds).Order().ElementAt(2);
        Snapshot snapshot = SnapshotWriter.Write(BenchmarkHost.Of(500, 50, 200, BenchmarkHost.Members - 10));
        Answer load = await daemon.LoadAsync(snapshot);
        await daemon.ProvedAsync();
        (double loaded, double peak) = daemon.Memory;
        uint before = daemon.Generation;
        double[] restarts =
            [.. Enumerable.Range(0, 3).Select(_ => daemon.RestartAsync().GetAwaiter().GetResult().TotalMilliseconds)];
        AgentStatus status = await daemon.StatusAsync();
        uint after = daemon.Generation;
        await daemon.ProvedAsync();
        (double restarted, _) = daemon.Memory;
        text.AppendLine(CultureInfo.InvariantCulture, $"""
            500 vNICs x 200 rules, 50 groups, one of 65,536 that each other group names:

            | | |
            |---|--:|
            | cold load: waited, with validation, the disk and the proof's budget | {load.Milliseconds:N0} ms |
            | of that validation | {load.Validate:N0} ms |
            | of that compile | {load.Compile:N0} ms |
            | of that proof, as far as its budget went | {load.Prove:N0} ms |
            | of that disk | {load.Persist:N0} ms |
            | of that commit | {load.Commit:N0} ms |
            | of that reading back | {load.Verify:N0} ms |
            | messages, bytes | {load.Accepted.Changes.NetlinkMessages:N0}, {load.Accepted.Changes.NetlinkBytes:N0} |
            | restart with nothing changed, from start to first answer, of three the median | {restarts.Order()
                .ElementAt(1):N0} ms |
            | the same with no state at all | {empty:N0} ms |
            | transactions of three restarts (each claims our tables, and writes nothing) | {after - before} |
            | resident, idle without state | {idle:F1} MiB |
            | resident, loaded and proved | {loaded:F1} MiB (peak {peak:F1}) |
            | resident, restarted and proved | {restarted:F1} MiB |
            """);
        foreach (string program in Programs().Where(File.Exists))
        {
            text.AppendLine(CultureInfo.InvariantCulture,
                $"| {Path.GetFileName(program)} | {new FileInfo(program).Length / 1048576.0:F1} MiB |");
        }

        text.AppendLine();
        if (status.AppliedRevision != snapshot.Revision)
        {
            throw new InvalidOperationException("the restart did not come back to what was in force");
        }
    }

    private static IEnumerable<string> Programs()
    {
        string? daemon = Environment.GetEnvironmentVariable("SG_AGENTD");
        return daemon is null ? [] : [daemon, Path.Combine(Path.GetDirectoryName(daemon)!, "sgctl")];
    }

    private static double Median(IEnumerable<Answer> answers, Func<Answer, double> value)
    {
        double[] values = [.. answers.Select(value).Order()];
        return values[values.Length / 2];
    }

    private static void Line(StringBuilder text, FormattableString line)
    {
        string one = line.ToString(CultureInfo.InvariantCulture).ReplaceLineEndings("");
        Console.Error.WriteLine(one);
        text.AppendLine(one);
    }
}
