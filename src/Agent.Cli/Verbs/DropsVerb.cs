using System.CommandLine;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>What the kernel drops, and why.</summary>
internal sealed class DropsVerb : Verb
{
    private const int DefaultLast = 20;

    private readonly Option<bool> follow = new("--follow", "-f")
    {
        Description = "Go on with what is dropped from now on, until interrupted",
    };

    private readonly Option<int> last = new("--last", "-n")
    {
        Description = "Begin with so many of the newest that the agent keeps",
        HelpName = "N",
        DefaultValueFactory = _ => DefaultLast,
    };

    private readonly Option<string?> vnic = new("--vnic")
    {
        Description = "Only this vNIC, by its id or the name of its interface",
        HelpName = "VNIC",
    };

    private readonly Option<string?> direction = new("--direction")
    {
        Description = "Only into the guest, or out of it: in, out",
        HelpName = "DIRECTION",
    };

    private readonly Option<string?> reason = new("--reason")
    {
        Description = "Only this reason: rule, default, stale, invalid, notsyn, address, mac, ip4, arp ...",
        HelpName = "REASON",
    };

    private readonly Option<string?> cidr = new("--cidr")
    {
        Description = "Only packets with an end in this address or prefix",
        HelpName = "PREFIX",
    };

    private readonly Option<ushort> port = new("--port")
    {
        Description = "Only packets with this port at one end",
        HelpName = "PORT",
    };

    private readonly Option<bool> accepted = new("--accepted")
    {
        Description = "Sessions that were accepted instead, as far as drops.flow_vnics and drops.flow_rules say",
    };

    public DropsVerb(GlobalOptions options) : base(options, "drops",
        "Show packets that were dropped: a sample, so many a second of each vNIC, with the rule that decided.")
    {
        direction.AcceptOnlyFromAmong("in", "out");
        vnic.CompletionSources.Add(Suggestions.Vnics(options));
        reason.CompletionSources.Add(Suggestions.DropReasons);
        InRange(last, 0, int.MaxValue);
        foreach (Option option in (Option[])[follow, last, vnic, direction, reason, cidr, port, accepted])
        {
            Options.Add(option);
        }
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl drops",
        "sgctl drops --follow --vnic eni-web1",
        "sgctl drops -f --reason rule --cidr 198.51.100.0/24 --port 22",
        "sgctl drops -n 0 -f --json | jq -r .rule",
    ];

    protected override async Task<int> RunAsync(Call call)
    {
        var request = new WatchDropsRequest
        {
            Vnic = call.Parsed.GetValue(vnic) ?? "",
            Direction = call.Parsed.GetValue(direction) switch
            {
                "in" => Direction.Ingress,
                "out" => Direction.Egress,
                _ => Direction.Unspecified,
            },
            Reason = call.Parsed.GetValue(reason) ?? "",
            Verdict = call.Parsed.GetValue(accepted) ? V1.Policy.Accept : V1.Policy.Drop,
            Cidr = call.Parsed.GetValue(cidr) ?? "",
            Port = call.Parsed.GetValue(port),
            Last = (uint)call.Parsed.GetValue(last),
            Follow = call.Parsed.GetValue(follow),
        };
        using var agent = new AgentConnection(call.SocketPath);
        WarnOf(call, request.Vnic);
        var shown = new List<DropRecord>();
        await agent.WatchDropsAsync(request, Show, call.Cancel).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.List("drops", shown));
        }
        else if (shown.Count == 0)
        {
            call.Out.Line("no records are kept that fit");
        }

        return ExitCode.Done;

        void Show(DropRecord record)
        {
            if (!call.Json)
            {
                DropText.Print(call.Out, record);
            }
            else if (request.Follow)
            {
                call.Out.Raw(Json.Line(record));
            }

            if (!request.Follow)
            {
                shown.Add(record);
            }
        }
    }

    // It may have been there when the records were made, or come later.
    private static void WarnOf(Call call, string vnic)
    {
        string[] known = vnic.Length == 0 || call.Json ? [] : VnicNames.Known(call.SocketPath);
        if (known.Length > 0 && !known.Contains(vnic))
        {
            call.Error.Line(("warning: ", Screen.Warning),
                ($"no vNIC '{vnic}' in the policy. {VnicNames.Hint(vnic, known)}", Screen.Plain));
        }
    }
}
