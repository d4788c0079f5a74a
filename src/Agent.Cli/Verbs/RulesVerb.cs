using System.CommandLine;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>The rules of a vNIC in the order in which they are looked at, and what they decided.</summary>
internal sealed class RulesVerb : Verb
{
    private readonly Argument<string> vnic = new("VNIC") { Description = "vNIC id, or name of its interface" };

    private readonly Option<bool> unused = new("--never-hit")
    {
        Description = "Only rules that never decided anything since they are counted",
    };

    public RulesVerb(GlobalOptions options) : base(options, "rules",
        "List every rule of a vNIC in the order in which they are looked at, with hits, bytes and last hit.")
    {
        vnic.CompletionSources.Add(Suggestions.Vnics(options));
        Arguments.Add(vnic);
        Options.Add(unused);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl rules eni-web1",
        "sgctl rules tap-web1 --never-hit",
        "sgctl rules eni-web1 --json | jq '.rules[] | {rule, packets, last_hit}'",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        VnicRules rules = await agent.ListRulesAsync(call.Parsed.GetValue(vnic)!, call.Cancel).ConfigureAwait(false);
        if (call.Parsed.GetValue(unused))
        {
            RankedRule[] never = [.. rules.Rules.Where(rule => rule is { HasPackets: true, Packets: 0 })];
            rules.Rules.Clear();
            rules.Rules.AddRange(never);
        }

        if (call.Json)
        {
            call.Out.Raw(Json.Answer(rules));
        }
        else
        {
            RuleText.Print(call.Out, rules);
        }

        return ExitCode.Done;
    }
}
