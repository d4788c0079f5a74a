using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Agent.Cli.Completion;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.Contract;
using Agent.Evaluator;
using Agent.Policy;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Would this packet pass, and which rule decides?</summary>
internal sealed class ExplainVerb : Verb
{
    /// <summary>Where a person names no source port: one that systems choose for connections.</summary>
    private const int AnySourcePort = 49_152;

    private readonly Argument<string?> vnic =
        Optional("VNIC", "vNIC id, or name of its interface; with --packet, the one that the line names");

    private readonly Argument<string?> direction =
        Optional("DIRECTION", "ingress (into the guest) or egress; with --packet, as the line has it");

    private readonly Argument<string?> protocol = Optional("PROTOCOL", "tcp, udp, icmp, icmpv6, gre, or a number");

    private readonly Argument<string?> source =
        Optional("SOURCE", $"Address, or address:port; without a port, {AnySourcePort}");

    private readonly Argument<string?> destination =
        Optional("DESTINATION", "Address:port for tcp and udp, [v6]:port; an address for other protocols");

    private readonly Option<string?> file = new("--file")
    {
        Description = "Judge by this policy file instead of the agent's state; needs no agent",
        HelpName = "FILE",
    };

    private readonly Option<string?> pasted = new("--packet")
    {
        Description = "A line of a log instead of the packet's parts: 'tcp A:P -> B:Q', or the kernel's SRC= DST= "
            + "PROTO= SPT= DPT= IN= OUT=",
        HelpName = "LINE",
    };

    private readonly Option<string> session = new("--session")
    {
        Description = "new: the packet opens a session; established: it goes on with one; reply: it answers in one",
        HelpName = "STATE",
        DefaultValueFactory = _ => "new",
    };

    public ExplainVerb(GlobalOptions options) : base(options, "explain",
        "Say whether a packet would pass a vNIC, which rule decides, which other packets it decides alike, what would "
        + "turn the verdict, and which rules of the kernel carry it.")
    {
        direction.AcceptOnlyFromAmong("ingress", "egress");
        session.AcceptOnlyFromAmong("new", "established", "reply");
        vnic.CompletionSources.Add(Suggestions.Vnics(options));
        protocol.CompletionSources.Add(Suggestions.Protocols);
        file.CompletionSources.Add(Suggestions.Files);
        foreach (Argument argument in (Argument[])[vnic, direction, protocol, source, destination])
        {
            Arguments.Add(argument);
        }

        Options.Add(file);
        Options.Add(pasted);
        Options.Add(session);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl explain eni-web1 ingress tcp 198.51.100.7 10.0.1.11:80",
        "sgctl explain tap-web1 egress udp [2001:db8::11]:5000 [2001:db8::53]:53",
        "sgctl explain --file policy.yaml eni-db1 ingress icmp 10.0.1.11 10.0.2.21",
        "sgctl explain --session reply eni-web1 egress tcp 10.0.1.11:80 198.51.100.7:40000",
        "sgctl explain --packet 'IN=tap-web1 OUT=eth0 SRC=10.0.1.11 DST=192.0.2.1 PROTO=TCP SPT=40000 DPT=25'",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        ExplainRequest question = Question(call.Parsed);
        ExplainResponse answer = call.Parsed.GetValue(file) is string path
            ? Offline(OfflinePolicy.Read(call, path), question)
            : await AskAsync(call, question).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(answer));
            return ExitCode.Done;
        }

        Print(call.Out, answer, question.Vnic.Length > 0 ? question.Vnic : answer.VnicId);
        return ExitCode.Done;
    }

    private static void Print(Screen screen, ExplainResponse answer, string name)
    {
        bool passes = answer.Verdict == V1.Policy.Accept;
        string way = answer.Direction == V1.Direction.Ingress ? "ingress" : "egress";
        screen.Line((Word(answer.Verdict), passes ? Screen.Good : Screen.Bad),
            ($"  {name} {way}  {Text(answer.Packet)}", Screen.Plain));
        screen.Fields(
        [
            ("judged as", answer.JudgedAs),
            ("decided by", Because(answer)),
            ("likewise", answer.Around?.Text ?? ""),
            .. answer.Considered.Select(rule => ("passed over", rule)),
            .. answer.Flips.Select(flip => ("otherwise", $"{Word(flip.Verdict)} by {flip.DecidedBy}: {flip.Change}")),
            .. KernelLines(answer),
        ]);
    }

    private static IEnumerable<(string, string)> KernelLines(ExplainResponse answer)
    {
        if (answer.Kernel is not KernelTrace kernel)
        {
            yield break;
        }

        // Those that name an element of a map, and where the packet ended; --json has every step.
        foreach (KernelStep step in kernel.Steps.Where((step, i) =>
            i == kernel.Steps.Count - 1 || step.What.Contains(", ", StringComparison.Ordinal)))
        {
            yield return ("kernel", $"{step.Family} {step.Chain} #{step.RuleIndex}"
                + $"{(step.Comment.Length > 0 ? $" \"{step.Comment}\"" : "")}: {step.What}");
        }

        if (kernel.Verdict != answer.Verdict)
        {
            yield return ("kernel", kernel.Verdict == V1.Policy.Unspecified ? $"cannot be told: {kernel.Unknown}"
                : $"{Word(kernel.Verdict)}, which is not what the policy says: infrastructure, or a change under way");
        }
    }

    private static string Word(V1.Policy verdict) => verdict == V1.Policy.Accept ? "ACCEPT" : "DROP";

    private static async Task<ExplainResponse> AskAsync(Call call, ExplainRequest question)
    {
        using var agent = new AgentConnection(call.SocketPath);
        return await agent.ExplainAsync(question, call.Cancel).ConfigureAwait(false);
    }

    private static ExplainResponse Offline(PolicySnapshot policy, ExplainRequest question) =>
        Explainer.Explain(policy, PolicySettings.Default, question, OfflinePolicy.Compile(policy)) switch
        {
            ExplainAnswer.Explained explained => explained.Response,
            ExplainAnswer.UnknownVnic unknown => throw new CliException(
                ExitCode.Failed, CliException.NotFound, unknown.Message, NamesOf(policy, question.Vnic)),
            ExplainAnswer.Invalid invalid =>
                throw new CliException(ExitCode.Failed, "invalid_argument", invalid.Message, ""),
            _ => throw new System.Diagnostics.UnreachableException(),
        };

    private static string NamesOf(PolicySnapshot policy, string wrong)
    {
        string? near = Spelling.Nearest(
            wrong, policy.Vnics.Values.SelectMany(vnic => new[] { vnic.Id, vnic.InterfaceName }));
        return (near is null ? "" : $"Did you mean {near}? ")
            + $"It has {string.Join(", ", policy.Vnics.Keys.Take(20))}.";
    }

    private static string Because(ExplainResponse answer) => answer.Reason switch
    {
        "rule" => $"rule {answer.Rule}",
        "inner" => $"inner access of {answer.Rule}",
        "default" => "no rule: the default of the group's type",
        "metadata" => "platform: the metadata server is always reachable",
        "platform" => "platform: this port is blocked for every guest",
        "spoof" => "source check: the source is not an address of the vNIC",
        "not-own-address" => "destination check: the destination is not an address of the vNIC",
        "no-policy" => "no policy: the vNIC is closed",
        string other => other,
    };

    private ExplainRequest Question(ParseResult parsed)
    {
        string? way = parsed.GetValue(direction);
        var request = new ExplainRequest
        {
            Vnic = parsed.GetValue(vnic) ?? "",
            Direction = way switch
            {
                "ingress" => V1.Direction.Ingress,
                "egress" => V1.Direction.Egress,
                _ => V1.Direction.Unspecified,
            },
            Session = parsed.GetRequiredValue(session) switch
            {
                "established" => SessionState.Established,
                "reply" => SessionState.Reply,
                _ => SessionState.New,
            },
        };
        bool parts = parsed.GetValue(protocol) is not null;
        if (parsed.GetValue(pasted) is string line)
        {
            request.Pasted = !parts ? line : throw Usage(
                "--packet stands for PROTOCOL, SOURCE and DESTINATION", "Leave them out.");
            return request;
        }

        if (parsed.GetValue(destination) is not string target)
        {
            throw Usage("name VNIC, DIRECTION, PROTOCOL, SOURCE and DESTINATION, or paste a --packet",
                "See sgctl explain --help for examples.");
        }

        request.Packet = Parts(parsed.GetRequiredValue(protocol)!, parsed.GetRequiredValue(source)!, target);
        return request;
    }

    private static Packet Parts(string kind, string source, string destination)
    {
        bool ports = kind.ToUpperInvariant() is "TCP" or "UDP" or "6" or "17";
        IPEndPoint from = EndPoint(source);
        IPEndPoint to = EndPoint(destination);
        if (ports && to.Port == 0)
        {
            throw Usage($"{kind} needs a destination port", $"Write {new IPEndPoint(to.Address, 443)}.");
        }

        return new Packet
        {
            Source = from.Address.ToString(),
            Destination = to.Address.ToString(),
            Protocol = kind,
            SourcePort = !ports ? 0 : from.Port == 0 ? AnySourcePort : (uint)from.Port,
            DestinationPort = ports ? (uint)to.Port : 0,
        };
    }

    private static Argument<string?> Optional(string name, string description) =>
        new(name) { Description = description, Arity = ArgumentArity.ZeroOrOne };

    private static string Text(Packet packet) => packet.DestinationPort == 0
        ? $"{packet.Protocol} {packet.Source} -> {packet.Destination}"
        : $"{packet.Protocol} {With(packet.Source, packet.SourcePort)} "
        + $"-> {With(packet.Destination, packet.DestinationPort)}";

    private static IPEndPoint With(string address, uint port) => new(IPAddress.Parse(address), (int)port);

    private static IPEndPoint EndPoint(string text)
    {
        bool full = IPEndPoint.TryParse(text, out IPEndPoint? end)
            && (end.AddressFamily == AddressFamily.InterNetworkV6 || text.Count(c => c == '.') == 3);
        return full
            ? end!
            : throw Usage($"'{text}' is not an address", "Write 10.0.0.1:443, [2001:db8::1]:443, or an address alone.");
    }

    private static CliException Usage(string message, string remedy) => new(ExitCode.Usage, "usage", message, remedy);
}
