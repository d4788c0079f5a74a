using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Agent.Cli.Input;
using Agent.Cli.Output;
using Agent.Evaluator;
using Agent.Policy;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Would this packet pass, and which rule decides?</summary>
internal sealed class ExplainVerb : Verb
{
    /// <summary>Where a person names no source port: one that systems choose for connections.</summary>
    private const int AnySourcePort = 49_152;

    private readonly Argument<string> vnic = new("VNIC") { Description = "vNIC id, or name of its interface" };

    private readonly Argument<string> direction =
        new("DIRECTION") { Description = "ingress (into the guest) or egress" };

    private readonly Argument<string> protocol =
        new("PROTOCOL") { Description = "tcp, udp, icmp, icmpv6, gre, or a number" };

    private readonly Argument<string> source = new("SOURCE")
    {
        Description = $"Address, or address:port; without a port, {AnySourcePort}",
    };

    private readonly Argument<string> destination = new("DESTINATION")
    {
        Description = "Address:port for tcp and udp, [v6]:port; an address for other protocols",
    };

    private readonly Option<string?> file = new("--file")
    {
        Description = "Judge by this policy file instead of the agent's state; needs no agent",
        HelpName = "FILE",
    };

    public ExplainVerb(GlobalOptions options) : base(options, "explain",
        "Say whether a packet that opens a session would pass a vNIC, and which rule decides.")
    {
        direction.AcceptOnlyFromAmong("ingress", "egress");
        foreach (Argument argument in (Argument[])[vnic, direction, protocol, source, destination])
        {
            Arguments.Add(argument);
        }

        Options.Add(file);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl explain eni-web1 ingress tcp 198.51.100.7 10.0.1.11:80",
        "sgctl explain tap-web1 egress udp [2001:db8::11]:5000 [2001:db8::53]:53",
        "sgctl explain --file policy.yaml eni-db1 ingress icmp 10.0.1.11 10.0.2.21",
    ];

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

        bool passes = answer.Verdict == V1.Policy.Accept;
        call.Out.Line((passes ? "ACCEPT" : "DROP", passes ? Screen.Good : Screen.Bad),
            ($"  {question.Vnic} {call.Parsed.GetRequiredValue(direction)}  {Text(question.Packet)}", Screen.Plain));
        call.Out.Fields(
            [("decided by", Because(answer)), .. answer.Considered.Select(rule => ("passed over", rule))]);
        return ExitCode.Done;
    }

    private static async Task<ExplainResponse> AskAsync(Call call, ExplainRequest question)
    {
        using var agent = new AgentConnection(call.SocketPath);
        return await agent.ExplainAsync(question, call.Cancel).ConfigureAwait(false);
    }

    private static ExplainResponse Offline(PolicySnapshot policy, ExplainRequest question) =>
        Explainer.Explain(policy, PolicySettings.Default, question) switch
        {
            ExplainAnswer.Explained explained => explained.Response,
            ExplainAnswer.UnknownVnic unknown => throw new CliException(ExitCode.Failed, "not_found", unknown.Message,
                $"It has {string.Join(", ", policy.Vnics.Keys.Take(20))}."),
            ExplainAnswer.Invalid invalid =>
                throw new CliException(ExitCode.Failed, "invalid_argument", invalid.Message, ""),
            _ => throw new System.Diagnostics.UnreachableException(),
        };

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
        string kind = parsed.GetRequiredValue(protocol);
        bool ports = kind.ToUpperInvariant() is "TCP" or "UDP" or "6" or "17";
        IPEndPoint from = EndPoint(parsed.GetRequiredValue(source));
        IPEndPoint to = EndPoint(parsed.GetRequiredValue(destination));
        if (ports && to.Port == 0)
        {
            throw Usage($"{kind} needs a destination port", $"Write {new IPEndPoint(to.Address, 443)}.");
        }

        return new ExplainRequest
        {
            Vnic = parsed.GetRequiredValue(vnic),
            Direction = parsed.GetRequiredValue(direction) == "ingress" ? V1.Direction.Ingress : V1.Direction.Egress,
            Packet = new Packet
            {
                Source = from.Address.ToString(),
                Destination = to.Address.ToString(),
                Protocol = kind,
                SourcePort = !ports ? 0 : from.Port == 0 ? AnySourcePort : (uint)from.Port,
                DestinationPort = ports ? (uint)to.Port : 0,
            },
        };
    }

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
