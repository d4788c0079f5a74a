using System.Globalization;
using System.Text;
using Agent.Contract;
using Agent.TestNet;
using Agent.V1;

namespace Agent.Benchmarks;

/// <summary>
/// How long a controller waits for a delta to be in force, when it sends a thousand a second and waits for no answer:
/// the real daemon in a namespace, a real client over its socket.
/// </summary>
internal static class FlowBenchmarks
{
    /// <summary>Its first group has the members, and each other one has a rule that names it.</summary>
    private sealed record Host(string Name, int Vnics, int Groups, int Rules, int Members);

    /// <summary>A usual one, and one at its limits.</summary>
    private static readonly Host[] Hosts =
        [new("usual", 20, 5, 100, 2000), new("large", 500, 50, 200, BenchmarkHost.Members - 10)];

    private static readonly (string Name, int PerSecond, Func<FlowState, int, Delta> Step)[] Loads =
    [
        ("members", 10, (state, i) => state.Member(i)),
        ("members", 1000, (state, i) => state.Member(i)),
        ("rules", 1000, (state, i) => state.Rule(i)),
        ("mixed", 1000, (state, i) => state.Mixed(i)),
    ];

    /// <param name="only">Part of the name of what is measured; null: everything.</param>
    /// <param name="seconds">Of each load.</param>
    /// <returns>The table, Markdown.</returns>
    public static async Task<string> RunAsync(string? only, int seconds)
    {
        var text = new StringBuilder();
        text.AppendLine(
            "| host | verify | deltas | a second | p50 | p99 | max | commits | a commit | largest | processor |");
        text.AppendLine("|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
        foreach (Host host in Hosts)
        {
            foreach (string verify in (string[])["enforce", "off"])
            {
                foreach ((string name, int perSecond, Func<FlowState, int, Delta> step) in Loads)
                {
                    string title = string.Create(
                        CultureInfo.InvariantCulture, $"| {host.Name} | {verify} | {name} | {perSecond:N0} |");
                    if (only is null || title.Contains(only, StringComparison.Ordinal))
                    {
                        FlowResult result = await MeasureAsync(host, verify, perSecond, perSecond * seconds, step);
                        Console.Error.WriteLine($"{title} {result} |");
                        text.AppendLine(CultureInfo.InvariantCulture, $"{title} {result} |");
                    }
                }
            }
        }

        return text.ToString();
    }

    /// <summary>Ends when what is in force is proved, so that nothing of it is proved beside the loop.</summary>
    internal static async Task ProvedAsync(SecurityGroupAgent.SecurityGroupAgentClient client)
    {
        for (int i = 0; i < 600; i++)
        {
            AgentStatus status = await client.GetStatusAsync(new GetStatusRequest());
            if (status.LastProof is { Result: "proved" } && status.ProvedRevision == status.AppliedRevision)
            {
                return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }

        throw new TimeoutException("not proved within a minute");
    }

    private static async Task<FlowResult> MeasureAsync(
        Host host, string verify, int perSecond, int count, Func<FlowState, int, Delta> step)
    {
        using NetNamespace space = NetNamespace.Create("flow");
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(space, new DaemonOptions
        {
            ManagedInterfaces = ["tap*"],
            Configure = config => config["verify"] = verify,
            ReadyTimeout = TimeSpan.FromMinutes(1),
        });
        Snapshot snapshot = SnapshotWriter.Write(
            BenchmarkHost.Of(host.Vnics, host.Groups, host.Rules, host.Members));
        var client = new SecurityGroupAgent.SecurityGroupAgentClient(daemon.Channel);
        ApplyResponse loaded = await client.ApplySnapshotAsync(new ApplySnapshotRequest { Snapshot = snapshot });
        if (loaded.Accepted is null)
        {
            throw new InvalidOperationException($"the host is refused: {loaded.Refused}");
        }

        var state = new FlowState(snapshot);
        if (verify != "off")
        {
            await ProvedAsync(client); // as a host is most of the time
        }

        await FlowLoad.RunAsync(client, daemon.ProcessId, state, step, perSecond, Math.Max(10, perSecond)); // warms up
        return await FlowLoad.RunAsync(client, daemon.ProcessId, state, step, perSecond, count);
    }
}
