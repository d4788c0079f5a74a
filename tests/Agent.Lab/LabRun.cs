using System.Net;
using Agent.TestNet;
using Agent.V1;
using Verdict = Agent.V1.Policy;

namespace Agent.Lab;

/// <summary>What <c>make run</c> shows: real policy, real traffic, expected and observed verdicts.</summary>
internal sealed class LabRun(TestNetwork network, DaemonProcess daemon)
{
    // Not all at once: a laptop's two cores would make a passing packet late.
    private const int FlowsAtOnce = 8;

    private readonly Probe probe = new(network);
    private readonly SecurityGroupAgent.SecurityGroupAgentClient client = new(daemon.Channel);

    /// <summary>True if every flow came out as expected.</summary>
    /// <param name="before">Lines of /metrics from before the policy was applied.</param>
    /// <param name="cancelled">Ctrl-C.</param>
    internal async Task<bool> ShowAsync(IReadOnlyList<string> before, CancellationToken cancelled)
    {
        Console.WriteLine();
        using SemaphoreSlim turn = new(FlowsAtOnce);
        Outcome[] outcomes = await Task.WhenAll(LabPlan.Flows.Select(f => JudgeAsync(f, turn, cancelled)));
        LabTable.Print(["flow", "expected", "observed", "deciding rule"], [.. outcomes.Select(o => (o.Cells, o.Good))]);

        int wrong = outcomes.Count(o => !o.Good);
        string summary = $"{outcomes.Length - wrong} of {outcomes.Length} flows as expected";
        Console.WriteLine($"\n{(wrong == 0 ? LabTable.Green(summary) : LabTable.Red(summary))}");
        PrintMoved(before, await daemon.ReadMetricsAsync());
        return wrong == 0;
    }

    private async Task<Outcome> JudgeAsync(Flow flow, SemaphoreSlim turn, CancellationToken cancelled)
    {
        await turn.WaitAsync(cancelled);
        try
        {
            bool observed = await ObserveAsync(flow);
            (bool explained, string rule) = await ExplainAsync(flow, cancelled);
            string doubt = explained == observed ? "" : " (explain says otherwise)";
            return new Outcome(
                [flow.Text, Word(flow.Passes), Word(observed), rule + doubt],
                observed == flow.Passes && explained == observed);
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task<bool> ObserveAsync(Flow flow)
    {
        NetworkEndpoint from = Endpoint(flow.From);
        NetworkEndpoint to = Endpoint(flow.To);
        IPAddress source = IPAddress.Parse(flow.Source);
        IPAddress target = IPAddress.Parse(flow.Target);
        // A packet that must be dropped is waited for a little longer than tests do: nobody is in a hurry here.
        TimeSpan wait = flow.Passes ? Probe.PassWait : 2 * Probe.DropWait;
        return flow.Kind switch
        {
            FlowKind.Tcp => await Probe.TcpConnectsAsync(
                new TcpRoute(from, new IPEndPoint(target, flow.Port), to) { Source = source }, wait),
            FlowKind.Udp => await probe.UdpArrivesAsync(
                from, new IPEndPoint(source, PortNumbers.Next()), to, new IPEndPoint(target, flow.Port), wait),
            _ => await probe.EchoReturnsAsync(from, source, target, wait),
        };
    }

    /// <summary>Two judgements when both ends are guests: the sender's first; the one that drops decides.</summary>
    private async Task<(bool Passes, string Rule)> ExplainAsync(Flow flow, CancellationToken cancelled)
    {
        string text = "no vNIC";
        foreach ((string end, Direction direction) in
            ((string, Direction)[])[(flow.From, Direction.Egress), (flow.To, Direction.Ingress)])
        {
            if (end == LabPlan.Outside)
            {
                continue;
            }

            ExplainResponse answer = await client.ExplainAsync(
                new ExplainRequest { Vnic = $"eni-{end}", Direction = direction, Packet = PacketOf(flow) },
                cancellationToken: cancelled);
            string why = answer.Reason == "rule" ? answer.Rule : $"{answer.Reason} {answer.Rule}".TrimEnd();
            text = $"{end} {(direction == Direction.Egress ? "egress" : "ingress")}: {why}";
            if (answer.Verdict != Verdict.Accept)
            {
                return (false, text);
            }
        }

        return (true, text);
    }

    private static Packet PacketOf(Flow flow)
    {
        bool v4 = !flow.Target.Contains(':', StringComparison.Ordinal);
        return new Packet
        {
            Source = flow.Source,
            Destination = flow.Target,
            Protocol = (flow.Kind, v4) switch
            {
                (FlowKind.Tcp, _) => "tcp",
                (FlowKind.Udp, _) => "udp",
                (_, true) => "icmp",
                _ => "icmpv6",
            },
            SourcePort = flow.Kind == FlowKind.Ping ? 0u : 40_000u,
            DestinationPort = (uint)flow.Port,
        };
    }

    private static void PrintMoved(IReadOnlyList<string> before, IReadOnlyList<string> after)
    {
        Dictionary<string, string> old = before.Select(Split).ToDictionary(l => l.Series, l => l.Value);
        (string[], bool)[] moved =
        [
            .. after.Select(Split)
                .Where(l => l.Series.StartsWith("sg_agent_", StringComparison.Ordinal)
                    && !l.Series.Contains("_bucket{", StringComparison.Ordinal)
                    && old.GetValueOrDefault(l.Series, "0") != l.Value)
                .Select(l => ((string[])[l.Series, old.GetValueOrDefault(l.Series, "0"), l.Value], true)),
        ];
        Console.WriteLine($"\n{LabTable.Bold("metrics that moved")}");
        LabTable.Print(["series", "before", "after"], moved);
    }

    private static (string Series, string Value) Split(string line)
    {
        int space = line.LastIndexOf(' ');
        return (line[..space], line[(space + 1)..]);
    }

    private NetworkEndpoint Endpoint(string name) =>
        name == LabPlan.Outside ? network.Outsider : network.Guests[name];

    private static string Word(bool passes) => passes ? "ACCEPT" : "DROP";

    private sealed record Outcome(string[] Cells, bool Good);
}
