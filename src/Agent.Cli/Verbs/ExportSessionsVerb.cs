using System.CommandLine;
using System.Globalization;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>What the host that a guest moves to is to know of its sessions.</summary>
internal sealed class ExportSessionsVerb : Verb
{
    private readonly Argument<string> vnic = new("VNIC") { Description = "vNIC id, or name of its interface" };

    public ExportSessionsVerb(GlobalOptions options) : base(options, "export-sessions",
        "Print the sessions of a vNIC that its policy admits, for the host that its guest moves to.")
    {
        vnic.CompletionSources.Add(Suggestions.Vnics(options));
        Arguments.Add(vnic);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl export-sessions eni-web1 > sessions.json",
        "sgctl export-sessions eni-web1 | ssh target sgctl import-sessions eni-web1 -",
    ];

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        ExportedSessions sessions = await call.WaitAsync("reading sessions", agent.ExportSessionsAsync(
            call.Parsed.GetRequiredValue(vnic), call.Cancel)).ConfigureAwait(false);
        call.Out.Raw(Json.State(sessions));
        SessionsLeft left = sessions.Left;
        long behind = left.Cut + (long)left.Translated + left.Protocol + left.TooMany;
        if (!call.Json && (behind > 0 || !sessions.Complete))
        {
            // Beside the document, which usually goes to a file.
            call.Error.Line(string.Create(CultureInfo.InvariantCulture,
                $"{sessions.Sessions.Count} sessions; {behind} stay behind: {left.Cut} cut by the policy, "
                + $"{left.Translated} translated, {left.Protocol} of protocols that cannot be carried, "
                + $"{left.TooMany} too many{(sessions.Complete ? "" : "; the table changed: some may be missing")}"));
        }

        return ExitCode.Done;
    }
}
