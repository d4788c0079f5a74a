using System.CommandLine;
using System.Globalization;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>What the agent holds and enforces, on one screen.</summary>
internal sealed class StatusVerb : Verb
{
    private readonly Option<bool> groups = new("--groups")
    {
        Description = "Also each group: the revision that changed it, and those enforced and proved on all its vNICs",
    };

    private readonly Option<bool> config = new("--config")
    {
        Description = "Instead, every setting: its value, where that comes from, and what waits for a restart",
    };

    public StatusVerb(GlobalOptions options) : base(options, "status",
        "Show what the agent holds and enforces, and what it found in the kernel.")
    {
        Options.Add(groups);
        Options.Add(config);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl status",
        "sgctl status --groups                       has every group got to its last change?",
        "sgctl status --config                       what is set, and where?",
        "sgctl status --json | jq .applied_revision",
    ];

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        if (call.Parsed.GetValue(config))
        {
            EffectiveConfig settings = await agent.GetConfigAsync(call.Cancel).ConfigureAwait(false);
            if (call.Json)
            {
                call.Out.Raw(Json.Answer(settings));
            }
            else
            {
                ConfigText.Print(call.Out, settings);
            }

            return ExitCode.Done;
        }

        AgentStatus status = await agent
            .GetStatusAsync(call.Parsed.GetValue(groups), call.Cancel).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(status));
        }
        else
        {
            Print(call.Out, status);
        }

        return ExitCode.Done;
    }

    private static void Print(Screen screen, AgentStatus status)
    {
        screen.Line(
            ("sg-agentd", Screen.Strong),
            ($" {status.AgentVersion} on {status.Host}, Linux {status.KernelRelease}", Screen.Plain));
        screen.Fields(
            ("revision", Revision(status)),
            ("state", status.StateHash.IsEmpty ? "" : Convert.ToHexStringLower(status.StateHash.Span)),
            ("policy", $"{Count.Of(status.GroupCount, "group")}, "
                + $"{Count.Of((long)status.MemberCount, "listed member")}, "
                + Count.Of(status.Vnics.Count(vnic => vnic.VnicId.Length > 0), "vNIC")),
            ("vnics", string.Join(", ", status.Vnics.GroupBy(vnic => vnic.State).OrderBy(group => group.Key)
                .Select(group => $"{group.Count()} {VnicText.Word(group.Key)}"))),
            ("controller", ControllerText.Of(status.Controller)),
            ("intent", RealisationText.Intent(status)),
            ("realised", RealisationText.Vnics(status)),
            ("staged", status.StagedRevision == 0 ? "" : string.Create(
                CultureInfo.InvariantCulture, $"revision {status.StagedRevision}: sgctl staged")),
            ("generation", status.RulesetGeneration.ToString(CultureInfo.InvariantCulture)),
            ("verified", Verified(status.LastVerification)),
            ("proof", ProofText.Of(status.LastProof)),
            ("sessions", SessionText.LastPass(status.LastSessionPass)));
        if (status.LastDrift is { } drift)
        {
            ProofText.Print(screen, drift);
        }

        foreach (ForeignChain hook in status.ForeignChains)
        {
            ProofText.Print(screen, hook);
        }

        foreach (string alarm in status.Alarms)
        {
            screen.Line(("alarm: ", Screen.Bad), (alarm, Screen.Plain));
        }

        VnicStatus[] broken = [.. status.Vnics.Where(vnic => vnic.State is VnicState.Failed or VnicState.Pending)];
        if (broken.Length > 0)
        {
            screen.Line();
            VnicText.Print(screen, broken);
        }

        if (status.Groups.Count > 0)
        {
            screen.Line();
            RealisationText.Groups(screen, status.Groups);
        }

        screen.Line();
        screen.Table(["kernel feature", "found", "detail"], [.. status.KernelFeatures.Select(feature => new Cell[]
        {
            feature.Name, new(feature.Present ? "yes" : "no", feature.Present ? Screen.Good : Screen.Warning),
            feature.Detail,
        })]);
    }

    private static string Revision(AgentStatus status)
    {
        if (status.DesiredRevision == 0)
        {
            return "none yet: managed interfaces are closed";
        }

        string since = status.AppliedAt is null ? ""
            : $" since {Count.Moment(status.AppliedAt)}";
        since += status.DesiredAge is null ? "" : $", {Count.Age(status.DesiredAge.ToTimeSpan())} old";
        return status.DesiredRevision == status.AppliedRevision ? $"{status.AppliedRevision}, enforced{since}"
            : $"{status.DesiredRevision} desired, {status.AppliedRevision} enforced{since}";
    }

    private static string Verified(Verification? last) => last is null || last.Result.Length == 0 ? ""
        : last.Time is null ? last.Result
        : $"{last.Result} at {Count.Moment(last.Time)}" + (last.Detail.Length > 0 ? $": {last.Detail}" : "");
}
