using System.Globalization;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>The security groups of the desired state.</summary>
internal sealed class GroupsVerb(GlobalOptions options)
    : Verb(options, "groups", "List the security groups of the desired state.")
{
    public override IReadOnlyList<string> Examples => ["sgctl groups", "sgctl groups --json"];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        Snapshot state = await agent.GetStateAsync(call.Cancel).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.List("groups", state.Groups));
        }
        else if (state.Groups.Count == 0)
        {
            call.Out.Line("no groups");
        }
        else
        {
            call.Out.Table(["group", "vpc", "type", "inner", "rules", "members", "vnics", "name"],
                [.. state.Groups.Select(group => Row(group, state))]);
        }

        return ExitCode.Done;
    }

    private static Cell[] Row(SecurityGroup group, Snapshot state) =>
    [
        group.Id,
        group.VpcId,
        group.Type == GroupType.Advanced ? "advanced" : "basic",
        group.InnerAccessPolicy == V1.Policy.Accept ? "accept" : "drop",
        Number(group.Rules.Count),
        Number(group.Members.Count),
        Number(state.Vnics.Count(vnic => vnic.GroupIds.Contains(group.Id))),
        group.Name,
    ];

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
