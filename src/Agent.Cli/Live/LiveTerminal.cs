using System.Runtime.InteropServices;

namespace Agent.Cli.Live;

/// <summary>A terminal that a view can be drawn on, with somebody at its keys.</summary>
internal sealed record LiveTerminal
{
    /// <summary>Another page without a cursor; what is too long for a line is cut off and not wrapped.</summary>
    private const string EnterCodes = "\e[?1049h\e[?25l\e[?7l";
    private const string LeaveCodes = "\e[?7h\e[?25h\e[?1049l";
    private const string Home = "\e[H";
    private const string ClearLine = "\e[K";
    private const string ClearBelow = "\e[J";

    public required TextWriter Out { get; init; }

    /// <summary>Columns and lines.</summary>
    public required Func<(int Width, int Height)> Size { get; init; }

    /// <summary>Waits for a key; between two calls the terminal may echo.</summary>
    public required Func<ConsoleKeyInfo> ReadKey { get; init; }

    /// <summary>Tells when the size has changed, or the program goes on after it was stopped.</summary>
    public required Func<Action, IDisposable> OnChange { get; init; }

    /// <returns>Null: standard input or output is none, or it is one that cannot move its cursor.</returns>
    public static LiveTerminal? OfProcess() =>
        Console.IsInputRedirected || Console.IsOutputRedirected
            || Environment.GetEnvironmentVariable("TERM") is null or "" or "dumb" ? null : new LiveTerminal
            {
                Out = Console.Out,
                Size = () => (Console.WindowWidth, Console.WindowHeight),
                ReadKey = () => Console.ReadKey(intercept: true),
                OnChange = tell => new Signals(tell),
            };

    public void Enter() => Write(EnterCodes);

    public void Leave() => Write(LeaveCodes);

    /// <summary>Replaces what is shown, without a moment in between in which nothing is.</summary>
    /// <param name="lines">From the top, no more than there is room for.</param>
    public void Draw(IEnumerable<string> lines) =>
        // Cleared first: behind a line that fills the terminal, the cursor stands on its last character.
        Write(Home + string.Join("\r\n", lines.Select(line => ClearLine + line)) + ClearBelow);

    private void Write(string text)
    {
        Out.Write(text);
        Out.Flush();
    }

    private sealed class Signals(Action tell) : IDisposable
    {
        private readonly PosixSignalRegistration[] registered =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGWINCH, _ => tell()),
            PosixSignalRegistration.Create(PosixSignal.SIGCONT, _ => tell()),

            // Ctrl-Z: a shell would find our page, without a cursor.
            PosixSignalRegistration.Create(PosixSignal.SIGTSTP, context => context.Cancel = true),
        ];

        public void Dispose()
        {
            foreach (PosixSignalRegistration one in registered)
            {
                one.Dispose();
            }
        }
    }
}
