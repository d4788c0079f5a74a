using System.CommandLine;
using System.Globalization;
using Agent.Cli.Completion;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Takes what another host has exported.</summary>
internal sealed class ImportSessionsVerb : Verb
{
    private readonly Argument<string> vnic = new("VNIC") { Description = "vNIC id, or name of its interface, here" };

    private readonly Argument<string> file = new("FILE")
    {
        Description = "What export-sessions printed; - is standard input",
    };

    public ImportSessionsVerb(GlobalOptions options) : base(options, "import-sessions",
        "Open the sessions that a guest brings from another host, as far as the policy here admits them.")
    {
        vnic.CompletionSources.Add(Suggestions.Vnics(options));
        Arguments.Add(vnic);
        Arguments.Add(file);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl import-sessions eni-web1 sessions.json",
        "ssh source sgctl export-sessions eni-web1 | sgctl import-sessions eni-web1 -",
    ];

    protected override async Task<int> RunAsync(Call call)
    {
        string path = call.Parsed.GetRequiredValue(file);
        var request = new ImportSessionsRequest
        {
            Vnic = call.Parsed.GetRequiredValue(vnic),
            Exported = Read(call, path),
        };
        using var agent = new AgentConnection(call.SocketPath);
        ImportSessionsResponse answer = await call.WaitAsync(
            "opening sessions", agent.ImportSessionsAsync(request, call.Cancel)).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
        }
        else
        {
            Print(call.Out, answer);
        }

        return answer.Failed == 0 ? ExitCode.Done : ExitCode.Failed;
    }

    private static ExportedSessions Read(Call call, string path)
    {
        (byte[]? content, FileFault? fault) = call.ReadFile(path);
        if (content is null)
        {
            throw new InvalidInputException(path, [fault!]);
        }

        try
        {
            (ExportedSessions? sessions, var faults) =
                MessageDocument.Read<ExportedSessions>(PolicyFile.Parse(path, content));
            return sessions ?? throw new InvalidInputException(path, faults);
        }
        catch (MalformedTextException e)
        {
            throw new InvalidInputException(path, [MessageDocument.Fault(e.At, e.Message, e.Remedy)]);
        }
    }

    private static void Print(Screen screen, ImportSessionsResponse answer)
    {
        screen.Line(string.Create(CultureInfo.InvariantCulture,
            $"{answer.Opened} sessions opened, {answer.Existing} were there, {answer.Refused} are not admitted here"));
        foreach (SessionCut cut in answer.Refusals)
        {
            screen.Line(string.Create(CultureInfo.InvariantCulture,
                $"  {cut.Sessions} by {cut.VnicId} {(cut.Direction == Direction.Egress ? "egress" : "ingress")}: "
                + $"{(cut.Rule.Length > 0 ? cut.Rule : cut.Reason)}"));
        }

        if (answer.Failed > 0)
        {
            screen.Line((string.Create(CultureInfo.InvariantCulture,
                $"{answer.Failed} the kernel did not take: {answer.Failure}"), Screen.Bad));
        }
    }
}
