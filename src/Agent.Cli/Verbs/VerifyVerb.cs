using System.CommandLine;
using System.Globalization;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.V1;

namespace Agent.Cli.Verbs;

/// <summary>Asks for the proof that the kernel does what the policy says.</summary>
internal sealed class VerifyVerb : Verb
{
    private readonly Argument<string[]> vnics = new("VNIC")
    {
        Description = "vNIC ids, or names of their interfaces; without any, all of them",
        Arity = ArgumentArity.ZeroOrMore,
    };

    public VerifyVerb(GlobalOptions options) : base(options, "verify",
        "Read the ruleset back from the kernel and prove, for every packet, that it does what the policy says.")
    {
        vnics.CompletionSources.Add(Suggestions.Vnics(options));
        Arguments.Add(vnics);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl verify",
        "sgctl verify eni-web1",
        "sgctl verify --json | jq '.vnics[] | select(.result != \"proved\")'",
    ];

    protected override bool IsLong => true;

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        var request = new VerifyRequest();
        request.Vnics.AddRange(call.Parsed.GetValue(vnics) ?? []);
        VerifyResponse response = await call.WaitAsync(
            "reading and proving (minutes on a large host)", agent.VerifyAsync(request, call.Cancel))
            .ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(response));
        }
        else
        {
            Print(call.Out, response);
        }

        return response.Result == "proved" ? ExitCode.Done : ExitCode.Failed;
    }

    private static void Print(Screen screen, VerifyResponse response)
    {
        screen.Line(
            (response.Result, StyleOf(response.Result)),
            (string.Create(CultureInfo.InvariantCulture, $" revision {response.Revision}")
                + (response.Detail.Length > 0 ? $": {response.Detail}" : ""), Screen.Plain));
        screen.Fields(
            ("vnics", $"{response.Vnics.Count(vnic => vnic.VnicId.Length > 0 && vnic.Result == "proved")} of "
                + $"{response.Vnics.Count(vnic => vnic.VnicId.Length > 0)} proved"),
            ("read", Milliseconds(response.Read)),
            ("prove", Milliseconds(response.Prove)));
        foreach (VnicProof vnic in response.Vnics.Where(vnic => vnic.Result != "proved"))
        {
            screen.Line();
            screen.Line(
                (vnic.Result, StyleOf(vnic.Result)),
                ($" {(vnic.VnicId.Length > 0 ? vnic.VnicId : "traffic of no vNIC")}", Screen.Strong));
            screen.Line(($"  {vnic.Detail}", Screen.Plain));
        }
    }

    private static string Milliseconds(Google.Protobuf.WellKnownTypes.Duration? time) => string.Create(
        CultureInfo.InvariantCulture, $"{time?.ToTimeSpan().TotalMilliseconds ?? 0:0.0} ms");

    private static Spectre.Console.Style StyleOf(string result) => result switch
    {
        "proved" => Screen.Good,
        "unknown" => Screen.Warning,
        _ => Screen.Bad,
    };
}
