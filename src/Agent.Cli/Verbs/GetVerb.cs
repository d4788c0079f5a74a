using System.CommandLine;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Prints the desired state that the agent holds.</summary>
internal sealed class GetVerb : Verb
{
    private readonly Option<bool> yaml = new("--yaml") { Description = "YAML instead of JSON" };

    public GetVerb(GlobalOptions options) : base(options, "get",
        "Print the desired state that the agent holds, as a policy file.") => Options.Add(yaml);

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl get --yaml > policy.yaml",
        "sgctl apply --next-revision policy.yaml     after an edit",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        bool asYaml = call.Parsed.GetValue(yaml);
        if (asYaml && call.Json)
        {
            throw new CliException(
                ExitCode.Usage, "usage", "--yaml and --json exclude each other", "Leave one of them out.");
        }

        using var agent = new AgentConnection(call.SocketPath);
        Snapshot state = await agent.GetStateAsync(call.Cancel).ConfigureAwait(false);
        state.IssuedAt = null; // no part of the state: who applies it again makes it now
        string json = Json.State(state);
        call.Out.Raw(asYaml ? Yaml.FromJson(json) : json);
        return ExitCode.Done;
    }
}
