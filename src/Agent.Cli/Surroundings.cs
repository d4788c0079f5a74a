using Agent.Cli.Output;

namespace Agent.Cli;

/// <summary>What is around the program: streams, terminal, environment. Tests bring their own.</summary>
internal sealed record Surroundings
{
    public required TextWriter Out { get; init; }

    public required TextWriter Error { get; init; }

    public required Func<Stream> OpenInput { get; init; }

    /// <summary>Columns of the terminal that <see cref="Out"/> is; null: it is none.</summary>
    public int? OutWidth { get; init; }

    public bool ErrorIsTerminal { get; init; }

    public Func<string, string?> Environment { get; init; } = _ => null;

    public static Surroundings OfProcess() => new()
    {
        Out = Writer(Console.OpenStandardOutput()),
        Error = Writer(Console.OpenStandardError()),
        OpenInput = Console.OpenStandardInput,
        OutWidth = TerminalSize.Columns(),
        ErrorIsTerminal = !Console.IsErrorRedirected,
        Environment = System.Environment.GetEnvironmentVariable,
    };

    // Console.Out and Console.Error switch the terminal's keypad to application mode, and leave it so.
    private static StreamWriter Writer(Stream stream) => new(stream) { AutoFlush = true };
}
