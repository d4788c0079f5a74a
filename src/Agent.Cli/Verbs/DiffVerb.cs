using System.CommandLine;
using Agent.Cli.Completion;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.Evaluator;
using Agent.Policy;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Which packets are judged differently?</summary>
internal sealed class DiffVerb : Verb
{
    private readonly Argument<string> file = new("FILE")
    {
        Description = "Policy file, JSON or YAML; - is standard input",
        CompletionSources = { Suggestions.Files },
    };

    private readonly Argument<string?> other = new("FILE2")
    {
        Description = "Compare FILE with this one instead of the agent's state with FILE; needs no agent",
        Arity = ArgumentArity.ZeroOrOne,
        CompletionSources = { Suggestions.Files },
    };

    private readonly Option<uint> limit = LimitOption();

    public DiffVerb(GlobalOptions options) : base(options, "diff",
        "Say exactly which packets would be judged differently: the agent's state against a file, or a file against "
        + "another one. Exits with 1 if any are.")
    {
        Arguments.Add(file);
        Arguments.Add(other);
        Options.Add(limit);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl diff policy.yaml                 what would apply change?",
        "sgctl diff old.yaml new.yaml           two files, without an agent",
        "git show HEAD~:p.yaml | sgctl diff - p.yaml",
    ];

    /// <summary>--limit, of all verbs that print a difference.</summary>
    public static Option<uint> LimitOption() => new("--limit")
    {
        Description = "Lines of the difference to print; the rest is counted",
        HelpName = "LINES",
        DefaultValueFactory = _ => 100,
    };

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        string path = call.Parsed.GetRequiredValue(file);
        uint lines = call.Parsed.GetRequiredValue(limit);
        Difference? difference = call.Parsed.GetValue(other) is string second
            ? await OfflineAsync(call, path, second, lines).ConfigureAwait(false)
            : await AskAsync(call, path, lines).ConfigureAwait(false);
        if (difference is null)
        {
            return ExitCode.InputInvalid;
        }

        if (call.Json)
        {
            call.Out.Raw(Json.Answer(difference));
        }
        else
        {
            DifferenceText.Print(call.Out, difference);
        }

        return difference.Changes.Count == 0 ? ExitCode.Done : ExitCode.Differs;
    }

    private static Task<Difference> OfflineAsync(Call call, string path, string second, uint lines)
    {
        if (path == "-" && second == "-")
        {
            throw new CliException(
                ExitCode.Usage, "usage", "standard input cannot be both files", "Name at least one file.");
        }

        PolicySnapshot before = OfflinePolicy.Read(call, path);
        PolicySnapshot after = OfflinePolicy.Read(call, second);
        return call.WaitAsync("comparing",
            () => DifferenceReport.Between(before, after, PolicySettings.Default, lines));
    }

    // What the agent refuses is a file with faults, as apply would say.
    private static async Task<Difference?> AskAsync(Call call, string path, uint lines)
    {
        PolicyFile policy = call.ReadPolicy(path);
        using var agent = new AgentConnection(call.SocketPath);
        ApplyResponse answer = await call.WaitAsync("comparing", agent.ApplyAsync(
            new ApplySnapshotRequest
            {
                Snapshot = policy.Message,
                DryRun = true,
                NextRevision = true,
                DifferenceLimit = lines,
            },
            call.Cancel)).ConfigureAwait(false);
        if (answer.Accepted is Accepted accepted)
        {
            return accepted.Difference ?? throw new CliException(ExitCode.Failed, "unimplemented",
                "the agent does not compare policies", $"It is older than this sgctl ({Sgctl.Version}).");
        }

        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
        }
        else
        {
            ApplyText.Refused(call.Error, policy, answer.Refused ?? new Refused());
        }

        return null;
    }
}
