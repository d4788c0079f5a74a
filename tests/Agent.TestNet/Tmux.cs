using System.Diagnostics;
using System.Globalization;

namespace Agent.TestNet;

/// <summary>A shell in a real terminal (tmux), with somebody at its keys who looks at the screen.</summary>
public sealed class Tmux : IDisposable
{
    private const string Program = "tmux";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly DirectoryInfo place = ScratchDirectory.Create("tmux");
    private readonly string socket;

    private Tmux(int columns, int lines, string shell, IReadOnlyDictionary<string, string> environment)
    {
        socket = Path.Combine(place.FullName, "s");
        string[] settings =
        [
            .. environment.Select(pair => $"{pair.Key}={pair.Value}"),
            "LC_ALL=C.UTF-8", $"HOME={place.FullName}", "HISTFILE=", "PS1=$ ", "PROMPT=$ ",
        ];
        // Whoever runs the tests in the background ignores interrupts, and so would what he starts.
        Run(["-f", "/dev/null", "-u", "new-session", "-d", "-x", Text(columns), "-y", Text(lines),
            "env", "-u", "NO_COLOR", "-u", "PAGER", "-u", "SGCTL_PAGER", "-u", "LESS", "-u", "TMUX",
            "--default-signal=INT", .. settings, .. shell.Split(' ')]);
    }

    public static bool IsInstalled => IsThere(Program);

    /// <summary>What is on the screen, without the empty lines below.</summary>
    public string Screen => Run(["capture-pane", "-p"]).TrimEnd();

    /// <summary>The same, with lines that the terminal itself has broken put together again.</summary>
    public string Unbroken => Run(["capture-pane", "-p", "-J"]).TrimEnd();

    public static bool IsThere(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
        .Any(folder => File.Exists(Path.Combine(folder, program)));

    /// <param name="columns">Of the terminal.</param>
    /// <param name="lines">Of it.</param>
    /// <param name="shell">Command line of an interactive shell that reads no files of the person's own.</param>
    /// <param name="environment">What it has beside the tests'.</param>
    public static Tmux Start(
        int columns, int lines, string shell, IReadOnlyDictionary<string, string> environment) =>
        new(columns, lines, shell, environment);

    /// <summary>Text as it is, without a return behind it.</summary>
    public void Type(string text) => Run(["send-keys", "-l", text]);

    /// <summary>A command line, on an empty screen.</summary>
    public void Enter(string line)
    {
        Type("clear");
        Press("Enter");
        AwaitPrompt();
        Run(["clear-history"]);
        Type(line);
        Press("Enter");
    }

    /// <summary>Keys by tmux's names: Enter, Tab, Space, Down, C-c.</summary>
    public void Press(params string[] keys) => Run(["send-keys", .. keys]);

    public void Dispose()
    {
        SystemCommand.TryRun(Program, null, "-S", socket, "kill-server");
        place.Delete(recursive: true);
    }

    // What is typed before the shell reads is shown twice.
    private void AwaitPrompt()
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (Screen is var screen && (screen.Length == 0 || screen.Contains('\n', StringComparison.Ordinal)
            || screen.Contains("clear", StringComparison.Ordinal)) && waited.Elapsed < Patience)
        {
            Thread.Sleep(10);
        }
    }

    private string Run(string[] arguments) => SystemCommand.Run(Program, ["-S", socket, .. arguments]);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
