using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Every vNIC and what is enforced for it.</summary>
internal sealed class VnicsVerb(GlobalOptions options)
    : Verb(options, "vnics", "List the vNICs of the desired state, and managed interfaces that no policy names.")
{
    public override IReadOnlyList<string> Examples => ["sgctl vnics", "sgctl vnics --json"];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        AgentStatus status = await agent.GetStatusAsync(groups: false, call.Cancel).ConfigureAwait(false);
        if (call.Json)
        {
            // One list, under the name that it has in the whole status.
            call.Out.Raw(Json.List("vnics", status.Vnics));
        }
        else if (status.Vnics.Count == 0)
        {
            call.Out.Line("no vNICs");
        }
        else
        {
            VnicText.Print(call.Out, status.Vnics);
        }

        return ExitCode.Done;
    }
}
