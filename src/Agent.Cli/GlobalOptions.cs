using System.CommandLine;
using Agent.Cli.Completion;
using Agent.Cli.Live;

namespace Agent.Cli;

/// <summary>Options that every verb has.</summary>
internal sealed class GlobalOptions
{
    public const string DefaultSocket = "/run/sg-agent/agent.sock";
    public const string SocketVariable = "SG_AGENT_SOCKET";

    public GlobalOptions(Surroundings around)
    {
        Around = around;
        Output = new LongOutput(around);
        Socket = new Option<string>("--socket")
        {
            Description = $"Unix socket of the agent (environment: {SocketVariable})",
            HelpName = "PATH",
            Recursive = true,
            DefaultValueFactory = _ => around.Environment(SocketVariable) is { Length: > 0 } path
                ? path : DefaultSocket,
        };
        Socket.CompletionSources.Add(Suggestions.Files);
    }

    public Surroundings Around { get; }

    /// <summary>What a pager shows.</summary>
    public LongOutput Output { get; }

    public Option<string> Socket { get; }

    public Option<bool> Json { get; } = new("--json")
    {
        Description = "Print one JSON document, always: the answer, or what went wrong",
        Recursive = true,
    };

    public Option<bool> NoColor { get; } = new("--no-color")
    {
        Description = "No colours; also if NO_COLOR is set or the output is no terminal",
        Recursive = true,
    };

    public Option<bool> NoPager { get; } = new("--no-pager")
    {
        Description = "Print long output at once; otherwise a terminal shows it with "
            + $"{Pager.OwnVariable}, {Pager.Variable} or less",
        Recursive = true,
    };
}
