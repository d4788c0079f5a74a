using System.CommandLine;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Puts a policy file beside what is enforced, where it counts and does nothing.</summary>
internal sealed class StageVerb : Verb
{
    private readonly Argument<string> file = PolicyArgument();
    private readonly Option<uint> limit = DiffVerb.LimitOption();

    private readonly Option<bool> nextRevision = NextRevisionOption();

    private readonly Option<bool> overrideLease = OverrideOption();

    public StageVerb(GlobalOptions options) : base(options, "stage",
        "Look at a policy file on the live traffic before it is enforced: the kernel counts what it would do.")
    {
        Arguments.Add(file);
        Options.Add(nextRevision);
        Options.Add(limit);
        Options.Add(overrideLease);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl stage policy.yaml                    what would change, and from now on: what would have",
        "sgctl staged                               what it would have done so far",
        "sgctl staged --commit                      enforce it",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        PolicyFile policy = call.ReadPolicy(call.Parsed.GetRequiredValue(file));
        using var agent = new AgentConnection(call.SocketPath);
        StageResponse answer = await call.WaitAsync("staging", agent.StageAsync(
            new StageSnapshotRequest
            {
                Snapshot = policy.Message,
                NextRevision = policy.Message.Revision == 0 || call.Parsed.GetValue(nextRevision),
                Limit = call.Parsed.GetRequiredValue(limit),
                Writer = WriterOf(call, overrideLease),
            },
            call.Cancel)).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
        }
        else if (answer.Staged is StagedReport report)
        {
            StagedText.Print(call.Out, report);
        }
        else
        {
            ApplyText.Refused(call.Error, policy, answer.Refused ?? new Refused());
        }

        return answer.Staged is { FailedVnics.Count: 0 } ? ExitCode.Done : ExitCode.Failed;
    }
}
