using System.CommandLine;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Cli.Verbs;

/// <summary>Sends a policy file as the whole desired state.</summary>
internal sealed class ApplyVerb : Verb
{
    private readonly Argument<string> file = PolicyArgument();

    private readonly Option<bool> dryRun = new("--dry-run")
    {
        Description = "Validate, compile, and say which packets would be judged differently; change nothing",
    };

    private readonly Option<uint> limit = DiffVerb.LimitOption();

    private readonly Option<bool> nextRevision = NextRevisionOption();

    private readonly Option<bool> overrideLease = OverrideOption();

    private readonly Option<bool> confirm = new("--confirm-mass-change")
    {
        Description = "Whatever it removes is meant: do not hold it, however much that is",
    };

    public ApplyVerb(GlobalOptions options) : base(options, "apply",
        "Replace the agent's desired state by a policy file. A file without a revision gets the next one.")
    {
        Arguments.Add(file);
        Options.Add(dryRun);
        Options.Add(nextRevision);
        Options.Add(confirm);
        Options.Add(limit);
        Options.Add(overrideLease);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl apply policy.yaml                    replace the desired state",
        "sgctl apply --dry-run policy.yaml          what would change?",
        "sgctl get | sgctl apply -                  the state that is held: unchanged",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        PolicyFile policy = call.ReadPolicy(call.Parsed.GetRequiredValue(file));
        bool dry = call.Parsed.GetValue(dryRun);
        policy.Message.IssuedAt ??= TimeProvider.System.GetUtcNow().ToTimestamp();
        using var agent = new AgentConnection(call.SocketPath);
        ApplyResponse answer = await call.WaitAsync(dry ? "comparing" : "applying", agent.ApplyAsync(
            new ApplySnapshotRequest
            {
                Snapshot = policy.Message,
                DryRun = dry,
                NextRevision = policy.Message.Revision == 0 || call.Parsed.GetValue(nextRevision),
                DifferenceLimit = call.Parsed.GetRequiredValue(limit),
                Writer = WriterOf(call, overrideLease),
                ConfirmMassChange = call.Parsed.GetValue(confirm),
            },
            call.Cancel)).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
        }
        else if (answer.Accepted is Accepted accepted)
        {
            ApplyText.Accepted(call.Out, accepted, dry);
            if (accepted.Difference is Difference difference)
            {
                DifferenceText.Print(call.Out, difference);
            }
        }
        else if (answer.MassChange is MassChange change)
        {
            MassChangeText.Answer(call.Error, change);
        }
        else
        {
            ApplyText.Refused(call.Error, policy, answer.Refused ?? new Refused());
        }

        return answer.MassChange is not null ? ExitCode.Held
            : answer.Accepted is { FailedVnics.Count: 0 } ? ExitCode.Done : ExitCode.Failed;
    }
}
