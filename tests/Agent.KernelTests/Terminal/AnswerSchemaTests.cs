using System.Text.Json.Nodes;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Terminal;

/// <summary>What each verb prints with --json of a real agent is what its schema says, in packaging/schema.</summary>
public sealed class AnswerSchemaTests(TerminalLab lab) : IClassFixture<TerminalLab>
{
    private const string Policy = """
        groups: [{ id: sg-new, vpc_id: vpc-1, rules: [
          { id: http, direction: ingress, protocol: tcp, port_range: 80/80, cidr: 0.0.0.0/0 }] }]
        vnics: [{ id: eni-e1, interface_name: tap-e1, mac: 02:00:00:00:00:01, vpc_id: vpc-1,
          addresses: [10.0.0.8], group_ids: [sg-new] }]
        """;

    [Fact]
    public async Task Every_verb_answers_as_its_schema_says()
    {
        await lab.ApplyRulesAsync();
        using Flood flood = DaemonLab.StartFlood(lab.E3, lab.E2, 20, FloodDirections.Forward);
        await DaemonLab.UntilAsync("a drop", () => JsonNode.Parse(Run("drops --json", null).Output)!["drops"] is
            JsonArray { Count: > 0 });
        foreach (string line in (string[])
        [
            "status", "status --groups", "vnics", "groups", "get", "sessions", "drops", "log-level",
            "log-level debug --for 1m", "log-level default", "rules eni-e1", "rules nobody", "analyze", "verify",
            "verify eni-e1", "top --count 1 --interval 1", "top --count 1 --interval 1 nobody",
            "explain eni-e1 ingress tcp 198.51.100.7 10.0.0.8:1001", "explain --packet nonsense eni-e1 ingress",
            "diff -", "diff --limit 1 -", "apply --dry-run -", "stage -", "staged", "staged --discard", "staged",
            "stage --next-revision -", "staged --commit", "staged --commit", "apply -", "status", "sessions --stale",
            "verify", "analyze", "groups",
        ])
        {
            Fits(line, Run($"{line} --json", Policy).Output);
        }

        string exported = Run("export-sessions eni-e1 --json", null).Output;
        Fits("export-sessions eni-e1", exported);
        Fits("import-sessions eni-e1 -", Run("import-sessions eni-e1 - --json", exported).Output);
        Fits("import-sessions eni-e1 -", Run("import-sessions eni-e1 - --json", "{ nonsense: 1 }").Output);

        string bad = Policy.Replace("80/80", "80", StringComparison.Ordinal);
        foreach (string line in (string[])["apply -", "stage -", "diff -"])
        {
            CommandOutcome refused = Run($"{line} --json", bad);
            Assert.Contains("InvalidPortRange.Malformed", refused.Output, StringComparison.Ordinal);
            Fits(line, refused.Output);
        }
    }

    [Fact]
    public async Task An_answer_without_end_is_a_document_a_line()
    {
        await lab.ApplyRulesAsync();
        using Flood flood = DaemonLab.StartFlood(lab.E3, lab.E2, 20, FloodDirections.Forward);
        CommandOutcome run = SystemCommand.TryRun("sh", null, "-c",
            $"{TerminalLab.Sgctl} --socket {lab.Lab.Daemon.SocketPath} drops --follow --json | head -3");
        string[] lines = run.Output.TrimEnd().Split('\n');
        Assert.Equal(3, lines.Length);
        Assert.All(lines, line => Fits("drops", line));
    }

    private static void Fits(string line, string answer)
    {
        IReadOnlyList<string> faults = AnswerSchema.Faults(line.Split(' ')[0], answer);
        Assert.True(faults.Count == 0, $"{line}:\n{string.Join('\n', faults)}\n{answer}");
    }

    private CommandOutcome Run(string line, string? input) => SystemCommand.TryRun(
        TerminalLab.Sgctl, input, ["--socket", lab.Lab.Daemon.SocketPath, .. line.Split(' ')]);
}
