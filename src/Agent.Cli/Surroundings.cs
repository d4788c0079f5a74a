using Agent.Cli.Live;
using Agent.Cli.Output;

namespace Agent.Cli;

/// <summary>What is around the program: streams, terminal, environment. Tests bring their own.</summary>
internal sealed record Surroundings
{
    private const string TerminalVariable = "TERM";

    public required TextWriter Out { get; init; }

    public required TextWriter Error { get; init; }

    public required Func<Stream> OpenInput { get; init; }

    /// <summary>Columns of the terminal that <see cref="Out"/> is; null: it is none.</summary>
    public int? OutWidth { get; init; }

    /// <summary>Its lines; null: it is none, or there is nobody to turn pages.</summary>
    public int? OutHeight { get; init; }

    /// <summary>Columns of the terminal that <see cref="Error"/> is; null: it is none.</summary>
    public int? ErrorWidth { get; init; }

    /// <summary>Cancelled when nobody reads <see cref="Out"/> any more.</summary>
    public CancellationToken OutClosed { get; init; }

    /// <summary>Where a view can be drawn and keys are pressed; null: there is no such place.</summary>
    public LiveTerminal? Terminal { get; init; }

    /// <summary>Shows text with a pager, by its command; false: it could not be run.</summary>
    public Func<string, string, bool> Page { get; init; } = (_, _) => false;

    public Func<string, string?> Environment { get; init; } = _ => null;

    /// <summary>The terminal obeys escape sequences: colours, and to clear a line.</summary>
    public bool ObeysEscapes => Environment(TerminalVariable) is not "dumb";

    public static Surroundings OfProcess()
    {
        ReaderPipe? pipe = Console.IsOutputRedirected ? ReaderPipe.OfProcess() : null;
        int? columns = Console.IsOutputRedirected && Console.IsErrorRedirected || Console.WindowWidth <= 0
            ? null : Console.WindowWidth;
        return new Surroundings
        {
            Out = pipe?.Writer() ?? Console.Out,
            Error = Console.Error,
            OpenInput = Console.OpenStandardInput,
            OutWidth = Console.IsOutputRedirected ? null : columns,
            OutHeight = Console.IsOutputRedirected || columns is null ? null : Console.WindowHeight,
            ErrorWidth = Console.IsErrorRedirected ? null : columns,
            OutClosed = pipe?.Closed ?? CancellationToken.None,
            Terminal = LiveTerminal.OfProcess(),
            Page = Pager.Show,
            Environment = System.Environment.GetEnvironmentVariable,
        };
    }
}
