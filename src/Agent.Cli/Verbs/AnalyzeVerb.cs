using System.CommandLine;
using Agent.Cli.Completion;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.Evaluator.Health;
using Agent.Policy;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Which rules do nothing, and which do too much?</summary>
internal sealed class AnalyzeVerb : Verb
{
    private readonly Argument<string?> file = new("FILE")
    {
        Description = "Policy file instead of the agent's state, JSON or YAML; - is standard input; needs no agent",
        Arity = ArgumentArity.ZeroOrOne,
        CompletionSources = { Suggestions.Files },
    };

    public AnalyzeVerb(GlobalOptions options) : base(options, "analyze",
        "Find rules that do nothing and rules that open too much. Exact, over every packet, with the present members "
        + "and lists. Exits with 1 if there is any.") => Arguments.Add(file);

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl analyze                          the agent's state",
        "sgctl analyze policy.yaml",
        "sgctl analyze --json policy.yaml       for scripts",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        Analysis analysis = call.Parsed.GetValue(file) is string path
            ? await OfflineAsync(call, path).ConfigureAwait(false) : await AskAsync(call).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(analysis));
        }
        else
        {
            Print(call.Out, analysis);
        }

        return analysis.Findings.Count == 0 ? ExitCode.Done : ExitCode.Differs;
    }

    private static Task<Analysis> OfflineAsync(Call call, string path)
    {
        Policy.PolicySnapshot policy = OfflinePolicy.Read(call, path);
        return call.WaitAsync("looking at every rule", () => RuleHealth.Of(policy, PolicySettings.Default));
    }

    private static async Task<Analysis> AskAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        return await call.WaitAsync("looking at every rule", agent.AnalyzeAsync(call.Cancel)).ConfigureAwait(false);
    }

    private static void Print(Screen screen, Analysis analysis)
    {
        if (analysis.Findings.Count == 0)
        {
            screen.Line($"{Count.Of(analysis.RulesChecked, "rule")}, nothing found");
            return;
        }

        screen.Table(["rule", "finding", "vnics", "why"], [.. analysis.Findings.Select(Row)]);
        if (analysis.RemovableTogether.Count > 0)
        {
            screen.Line();
            screen.Line($"{Count.Of(analysis.RemovableTogether.Count, "rule")} of {analysis.RulesChecked} can be "
                + "removed, all in one change, and no packet is judged differently:");
            screen.Line("  " + string.Join(", ", analysis.RemovableTogether));
        }
    }

    private static Cell[] Row(RuleFinding finding) =>
    [
        $"{finding.GroupId}/{finding.RuleId}",
        finding.Kind switch
        {
            RuleFinding.Types.Kind.Shadowed => "shadowed",
            RuleFinding.Types.Kind.Removable => "removable",
            RuleFinding.Types.Kind.Redundant => "redundant",
            RuleFinding.Types.Kind.RedundantUnsound => new Cell("redundant?", Screen.Bad),
            RuleFinding.Types.Kind.Permissive => new Cell("permissive", Screen.Warning),
            RuleFinding.Types.Kind.TieBreak => "tie",
            _ => "other",
        },
        finding.Vnics,
        finding.Text,
    ];
}
