using System.CommandLine;
using System.Globalization;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>What is staged: shown, committed or discarded.</summary>
internal sealed class StagedVerb : Verb
{
    private readonly Option<bool> commit = new("--commit") { Description = "Enforce what is staged" };
    private readonly Option<bool> discard = new("--discard") { Description = "Forget what is staged" };
    private readonly Option<uint> limit = DiffVerb.LimitOption();

    private readonly Option<bool> overrideLease = OverrideOption();

    private readonly Option<ulong> revision = new("--revision")
    {
        Description = "With --commit: this revision or nothing",
        HelpName = "N",
    };

    public StagedVerb(GlobalOptions options) : base(options, "staged",
        "Show what the staged policy would have done on the live traffic so far, and what it would change.")
    {
        foreach (Option option in (Option[])[commit, discard, revision, limit, overrideLease])
        {
            Options.Add(option);
        }

        Validators.Add(result =>
        {
            bool commits = result.GetValue(commit);
            if (commits && result.GetValue(discard))
            {
                result.AddError("--commit and --discard exclude each other");
            }
            else if (!commits && result.GetValue(revision) != 0)
            {
                result.AddError("--revision goes with --commit");
            }
        });
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl staged",
        "sgctl staged --commit --revision 8         what you looked at, or nothing",
        "sgctl staged --discard",
        "sgctl staged --json | jq '.rules[] | select(.changed_packets != \"0\")'",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        return call.Parsed.GetValue(commit) ? await CommitAsync(call, agent).ConfigureAwait(false)
            : call.Parsed.GetValue(discard) ? await DiscardAsync(call, agent).ConfigureAwait(false)
            : await ShowAsync(call, agent).ConfigureAwait(false);
    }

    private async Task<int> ShowAsync(Call call, AgentConnection agent)
    {
        StagedReport report = await agent.GetStagedAsync(
            new GetStagedRequest { Limit = call.Parsed.GetRequiredValue(limit) }, call.Cancel).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(report));
        }
        else
        {
            StagedText.Print(call.Out, report);
        }

        return ExitCode.Done;
    }

    private async Task<int> CommitAsync(Call call, AgentConnection agent)
    {
        ApplyResponse answer = await call.WaitAsync("applying", agent.CommitStagedAsync(
            new CommitStagedRequest
            {
                Revision = call.Parsed.GetValue(revision),
                Writer = WriterOf(call, overrideLease),
            },
            call.Cancel)).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
        }
        else if (answer.Accepted is Accepted accepted)
        {
            ApplyText.Accepted(call.Out, accepted, dryRun: false);
        }
        else
        {
            StagedText.Refused(call.Error, answer.Refused ?? new Refused());
        }

        return answer.Accepted is { FailedVnics.Count: 0 } ? ExitCode.Done : ExitCode.Failed;
    }

    private async Task<int> DiscardAsync(Call call, AgentConnection agent)
    {
        DiscardStagedResponse answer = await agent.DiscardStagedAsync(
            new DiscardStagedRequest { Writer = WriterOf(call, overrideLease) }, call.Cancel).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
        }
        else
        {
            call.Out.Line(answer.Revision == 0 ? "nothing was staged" : string.Create(
                CultureInfo.InvariantCulture, $"revision {answer.Revision} is not staged any more"));
        }

        return ExitCode.Done;
    }
}
