using Agent.Cli.Live;

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

    /// <summary>Where a view can be drawn and keys are pressed; null: there is no such place.</summary>
    public LiveTerminal? Terminal { get; init; }

    public Func<string, string?> Environment { get; init; } = _ => null;

    public static Surroundings OfProcess() => new()
    {
        Out = Console.Out,
        Error = Console.Error,
        OpenInput = Console.OpenStandardInput,
        OutWidth = Console.IsOutputRedirected || Console.WindowWidth <= 0 ? null : Console.WindowWidth,
        ErrorIsTerminal = !Console.IsErrorRedirected,
        Terminal = LiveTerminal.OfProcess(),
        Environment = System.Environment.GetEnvironmentVariable,
    };
}
