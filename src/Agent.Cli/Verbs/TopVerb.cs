using System.CommandLine;
using Agent.Cli.Completion;
using Agent.Cli.Live;
using Agent.Cli.Output;
using Agent.V1;
using Duration = Google.Protobuf.WellKnownTypes.Duration;

namespace Agent.Cli.Verbs;

/// <summary>What vNICs carry now, and the sessions that carry most of it.</summary>
internal sealed class TopVerb : Verb
{
    private const int TalkersMax = 100;
    private const int SecondsMax = 3600;

    private readonly Argument<string[]> vnics = new("VNIC")
    {
        Description = "vNIC ids, or names of their interfaces; without any, all vNICs",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private readonly Option<double> interval = new("--interval", "-i")
    {
        Description = "Seconds between two reports, from 1; rates are over as long",
        HelpName = "SECONDS",
        DefaultValueFactory = _ => 2,
    };

    private readonly Option<int> count = new("--count", "-n")
    {
        Description = "End after so many reports, printed below each other",
        HelpName = "N",
    };

    private readonly Option<bool> once = new("--once")
    {
        Description = "Print one report, over one interval; so it is where the output is no terminal, too",
    };

    private readonly Option<string> sort = new("--sort")
    {
        Description = "What comes first: bits or packets (a second), drops or sessions (vNICs with most of them, or of "
            + "new ones, a second), bytes (sessions, since they began)",
        HelpName = "KEY",
        DefaultValueFactory = _ => "bits",
    };

    private readonly Option<int> talkers = new("--talkers")
    {
        Description = "Sessions shown; with --json of each vNIC; 0 is none",
        HelpName = "N",
        DefaultValueFactory = _ => 10,
    };

    public TopVerb(GlobalOptions options) : base(options, "top",
        "Show what vNICs carry and drop now, and the sessions that carry most of it. In a terminal a live view: "
        + "q quits, s sorts by something else, arrows choose a vNIC, enter shows it alone, esc goes back, p pauses. "
        + "Rates of vNICs come from counters and miss nothing; sessions are compared from look to look, so one that "
        + "begins and ends in between is missed. Sessions have rates if the kernel counts them (conntrack.accounting).")
    {
        sort.AcceptOnlyFromAmong([.. Enum.GetNames<TopSort>().Select(name => name.ToLowerInvariant())]);
        InRange(interval, 1, SecondsMax);
        InRange(talkers, 0, TalkersMax);
        InRange(count, 1, int.MaxValue - 1);
        vnics.CompletionSources.Add(Suggestions.Vnics(options));
        Arguments.Add(vnics);
        foreach (Option option in (Option[])[interval, count, once, sort, talkers])
        {
            Options.Add(option);
        }
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl top",
        "sgctl top eni-web1 tap-db1 --interval 5",
        "sgctl top --once --sort drops",
        "sgctl top --json --count 3 | jq '.vnics[] | {vnic_id, ingress, egress}'",
    ];

    protected override async Task<int> RunAsync(Call call)
    {
        TopSort by = Enum.Parse<TopSort>(call.Parsed.GetValue(sort)!, ignoreCase: true);
        var view = new TopView { Sort = by };
        var request = new WatchTopRequest
        {
            Interval = Duration.FromTimeSpan(TimeSpan.FromSeconds(call.Parsed.GetValue(interval))),
            Talkers = (uint)call.Parsed.GetValue(talkers),
            Order = view.Order,
        };
        request.Vnics.AddRange(call.Parsed.GetValue(vnics) ?? []);
        int reports = call.Parsed.GetValue(once) ? 1 : call.Parsed.GetValue(count);
        using var agent = new AgentConnection(call.SocketPath);
        if (!call.Json && reports == 0 && call.Around.Terminal is { } terminal)
        {
            await new LiveTop(terminal, agent, request, call.Out.IsColored)
                .RunAsync(view, call.Cancel).ConfigureAwait(false);
        }
        else
        {
            await PrintAsync(call, agent, request, by, reports == 0 && !call.Json ? 1 : reports).ConfigureAwait(false);
        }

        return ExitCode.Done;
    }

    /// <param name="call">Where to.</param>
    /// <param name="agent">Whom it asks.</param>
    /// <param name="request">What.</param>
    /// <param name="by">What comes first.</param>
    /// <param name="reports">So many; 0: without end.</param>
    private static async Task PrintAsync(
        Call call, AgentConnection agent, WatchTopRequest request, TopSort by, int reports)
    {
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(call.Cancel);
        int shown = 0;
        try
        {
            await agent.WatchTopAsync(request, Show, enough.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (reports > 0 && shown == reports)
        {
            // All that was asked for.
        }

        void Show(TopReport report)
        {
            if (reports > 0 && shown == reports)
            {
                return;
            }

            if (call.Json)
            {
                call.Out.Raw(Json.Line(report));
            }
            else
            {
                call.Out.Raw(shown > 0 ? "\n" : "");
                TopText.Print(call.Out, report, by, (int)request.Talkers);
            }

            if (++shown == reports)
            {
                enough.Cancel();
            }
        }
    }
}
