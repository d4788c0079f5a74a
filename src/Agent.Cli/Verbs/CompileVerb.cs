using System.CommandLine;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.Policy;

namespace Agent.Cli.Verbs;

/// <summary>Prints the ruleset that a policy file becomes.</summary>
internal sealed class CompileVerb : Verb
{
    private readonly Argument<string> file = PolicyArgument();

    private readonly Option<bool> allDevices = new("--all-devices")
    {
        Description = "Also the guards of devices that this host does not have (nft takes them from Linux 6.16 on)",
    };

    public CompileVerb(GlobalOptions options) : base(options, "compile",
        "Print the nftables ruleset of a policy file, as nft -f reads it. Needs no agent; "
        + "settings are the agent's defaults.")
    {
        Arguments.Add(file);
        Options.Add(allDevices);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl compile policy.yaml",
        "sgctl compile policy.yaml | unshare -rn nft -c -f -       let nft check it, where nothing can break",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        PolicySnapshot policy = OfflinePolicy.Read(call, call.Parsed.GetRequiredValue(file));
        bool everywhere = call.Parsed.GetValue(allDevices);
        (string text, IReadOnlyDictionary<string, string> failed) = await call.WaitAsync(
            "compiling", () => RulesetText.Of(policy, everywhere)).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Document(json =>
            {
                json.WriteString("ruleset", text);
                json.WriteStartObject("failed_vnics");
                foreach ((string id, string reason) in failed)
                {
                    json.WriteString(id, reason);
                }

                json.WriteEndObject();
            }));
        }
        else
        {
            call.Out.Raw("# Idle times of sessions are left out: nft has no text for those of every protocol.\n");
            call.Out.Raw(text);
            foreach ((string id, string reason) in failed)
            {
                call.Error.Line(($"vNIC {id} is closed: ", Screen.Bad), (reason, Screen.Plain));
            }
        }

        return failed.Count == 0 ? ExitCode.Done : ExitCode.Failed;
    }
}
