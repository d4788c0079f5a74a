using System.CommandLine;
using System.Globalization;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>What the kernel tracks for vNICs, and what the policy makes of it.</summary>
internal sealed class SessionsVerb : Verb
{
    private const int DefaultLimit = 100;

    private readonly Argument<string?> vnic = new("VNIC")
    {
        Description = "vNIC id, or name of its interface; without it, all vNICs",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<bool> stale = new("--stale")
    {
        Description = "Only sessions that were not judged since the last change that took something away",
    };

    private readonly Option<string?> protocol = new("--protocol")
    {
        Description = "Only this protocol: tcp, udp, icmp, icmpv6, gre, or a number",
        HelpName = "PROTOCOL",
    };

    private readonly Option<string?> remote = new("--remote")
    {
        Description = "Only sessions with an end in this address or prefix",
        HelpName = "PREFIX",
    };

    private readonly Option<int> limit = new("--limit")
    {
        Description = "At most so many; 0 is all",
        HelpName = "N",
        DefaultValueFactory = _ => DefaultLimit,
    };

    public SessionsVerb(GlobalOptions options) : base(options, "sessions",
        "List the sessions of vNICs that the kernel tracks, the rule that admits each, and what becomes of it.")
    {
        InRange(limit, 0, int.MaxValue - 1);
        vnic.CompletionSources.Add(Suggestions.Vnics(options));
        protocol.CompletionSources.Add(Suggestions.Protocols);
        Arguments.Add(vnic);
        foreach (Option option in (Option[])[stale, protocol, remote, limit])
        {
            Options.Add(option);
        }
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl sessions",
        "sgctl sessions eni-web1 --stale",
        "sgctl sessions tap-web1 --protocol tcp --remote 198.51.100.0/24",
        "sgctl sessions --limit 0 --json | jq '.sessions[] | select(.fate == \"SESSION_FATE_CUT\")'",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        int most = call.Parsed.GetValue(limit);
        var request = new ListSessionsRequest
        {
            Vnic = call.Parsed.GetValue(vnic) ?? "",
            StaleOnly = call.Parsed.GetValue(stale),
            Protocol = call.Parsed.GetValue(protocol) ?? "",
            Remote = call.Parsed.GetValue(remote) ?? "",
            Limit = most == 0 ? 0 : (uint)most + 1, // one more tells whether there are more
        };
        var sessions = new List<SessionStatus>();
        using var agent = new AgentConnection(call.SocketPath);
        await call.WaitAsync("reading sessions", ReadAsync()).ConfigureAwait(false);
        bool more = most > 0 && sessions.Count > most;
        List<SessionStatus> shown = more ? sessions[..most] : sessions;
        if (call.Json)
        {
            call.Out.Raw(Json.List("sessions", shown));
            return ExitCode.Done;
        }

        if (shown.Count == 0)
        {
            call.Out.Line("no sessions");
            return ExitCode.Done;
        }

        SessionText.Print(call.Out, shown);
        if (more)
        {
            call.Out.Line((string.Create(CultureInfo.InvariantCulture,
                $"the first {most}; there are more: --limit 0 shows all"), Screen.Dim));
        }

        return ExitCode.Done;

        async Task<int> ReadAsync()
        {
            await agent.ListSessionsAsync(request, sessions.Add, call.Cancel).ConfigureAwait(false);
            return sessions.Count;
        }
    }
}
