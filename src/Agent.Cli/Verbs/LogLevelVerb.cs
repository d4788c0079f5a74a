using System.CommandLine;
using System.Globalization;
using Agent.Cli.Completion;
using Agent.Cli.Output;
using Agent.V1;
using Google.Protobuf.WellKnownTypes;

namespace Agent.Cli.Verbs;

/// <summary>How much the agent logs: asked for, or changed for a while.</summary>
internal sealed class LogLevelVerb : Verb
{
    private const string Default = "default";

    private static readonly TimeSpan Longest = TimeSpan.FromDays(7);

    private static readonly (string Word, LogLevel Level)[] Words =
    [
        ("debug", LogLevel.Debug), ("info", LogLevel.Info), ("warning", LogLevel.Warning), ("error", LogLevel.Error),
        (Default, LogLevel.Unspecified),
    ];

    private readonly Argument<string?> level = new("LEVEL")
    {
        Description = "debug, info, warning or error; default is what the configuration says; "
            + "without it nothing is changed",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string> duration = new("--for")
    {
        Description = "How long, such as 90s, 10m or 2h; at most 7d",
        HelpName = "DURATION",
        DefaultValueFactory = _ => "10m",
    };

    public LogLevelVerb(GlobalOptions options) : base(options, "log-level",
        "Show which events the agent logs, or log more or less for a while: it falls back by itself.")
    {
        level.AcceptOnlyFromAmong([.. Words.Select(one => one.Word)]);
        duration.CompletionSources.Add(Suggestions.Durations);
        duration.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && DurationOf(result.Tokens[0].Value) is null)
            {
                result.AddError("--for is a number with s, m, h or d behind it, at most 7d");
            }
        });
        Arguments.Add(level);
        Options.Add(duration);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "sgctl log-level",
        "sgctl log-level debug                 for 10 minutes",
        "sgctl log-level debug --for 2h",
        "sgctl log-level default",
    ];

    /// <returns>Null: not understood, 0, or too long.</returns>
    internal static TimeSpan? DurationOf(string text)
    {
        TimeSpan unit = text.Length == 0 ? TimeSpan.Zero : text[^1] switch
        {
            's' => TimeSpan.FromSeconds(1),
            'm' => TimeSpan.FromMinutes(1),
            'h' => TimeSpan.FromHours(1),
            'd' => TimeSpan.FromDays(1),
            _ => TimeSpan.Zero,
        };
        return unit > TimeSpan.Zero
            && uint.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out uint number)
            && number > 0 && number <= Longest / unit ? number * unit : null;
    }

    protected override async Task<int> RunAsync(Call call)
    {
        using var agent = new AgentConnection(call.SocketPath);
        LogLevelStatus status = await AskAsync(call, agent).ConfigureAwait(false);
        if (call.Json)
        {
            call.Out.Raw(Json.Answer(status));
            return ExitCode.Done;
        }

        string now = Words.Single(one => one.Level == status.Level).Word;
        string then = Words.Single(one => one.Level == status.Configured).Word;
        call.Out.Line(status.Until is { } until ? $"{now} until {Count.Moment(until)}, then {then}"
            : now == then ? now : $"{now} as long as the agent runs; {then} is configured");
        return ExitCode.Done;
    }

    private Task<LogLevelStatus> AskAsync(Call call, AgentConnection agent)
    {
        if (call.Parsed.GetValue(level) is not string word)
        {
            return agent.GetLogLevelAsync(call.Cancel);
        }

        var request = new SetLogLevelRequest { Level = Words.Single(one => one.Word == word).Level };
        if (request.Level != LogLevel.Unspecified)
        {
            request.Duration = Duration.FromTimeSpan(DurationOf(call.Parsed.GetRequiredValue(duration))!.Value);
        }

        return agent.SetLogLevelAsync(request, call.Cancel);
    }
}
