using System.CommandLine;
using Agent.Cli.Input;
using Agent.Cli.Output;

namespace Agent.Cli.Verbs;

/// <summary>Validates a policy file without an agent.</summary>
internal sealed class CheckVerb : Verb
{
    private readonly Argument<string> file = PolicyArgument();

    public CheckVerb(GlobalOptions options) : base(options, "check",
        "Find every fault of a policy file. Needs no agent; limits are the agent's defaults.") => Arguments.Add(file);

    public override IReadOnlyList<string> Examples => ["sgctl check policy.yaml", "sgctl check --json - < policy.json"];

    protected override Task<int> RunAsync(Call call)
    {
        string path = call.Parsed.GetRequiredValue(file);
        OfflineResult result = OfflinePolicy.TryRead(call, path);
        if (call.Json)
        {
            call.Out.Raw(Json.Document(json =>
            {
                json.WriteString("file", result.Name);
                json.WriteBoolean("valid", result.Policy is not null);
                Json.Write(json, "faults", result.Faults);
                Json.Write(json, "warnings", result.Warnings);
            }));
        }
        else if (result.Policy is Policy.PolicySnapshot policy)
        {
            call.Out.Line(
                (result.Name, Screen.Strong), (": ", Screen.Plain), ("no fault", Screen.Good),
                (": " + Describe(policy), Screen.Plain));
            OfflinePolicy.Warn(call.Out, result.Warnings);
        }
        else
        {
            throw new InvalidInputException(path, result.Faults);
        }

        return Task.FromResult(result.Policy is null ? ExitCode.InputInvalid : ExitCode.Done);
    }

    private static string Describe(Policy.PolicySnapshot policy) => string.Join(", ", new[]
    {
        Count.Of(policy.Groups.Count, "group"),
        Count.Of(policy.Groups.Values.Sum(group => group.Rules.Length), "rule"),
        Count.Of(policy.Groups.Values.Sum(group => (long)group.Members.Count), "listed member"),
        Count.Of(policy.PrefixLists.Count + policy.PortLists.Count, "list"),
        Count.Of(policy.Vnics.Count, "vNIC"),
    });
}
