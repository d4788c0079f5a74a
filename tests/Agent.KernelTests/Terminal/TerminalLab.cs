using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Agent.KernelTests.Scenarios;
using Agent.KernelTests.Sessions;
using Agent.TestNet;

namespace Agent.KernelTests.Terminal;

/// <summary>A daemon with a policy of many rules, and shells at which somebody types.</summary>
public sealed partial class TerminalLab : SessionLab
{
    private const int Rules = 60;

    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(20));

    internal static string Sgctl { get; } = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    /// <summary>e1 is in a group with so many rules that no terminal of a test shows all of them.</summary>
    internal async Task ApplyRulesAsync() => await ApplyAsync(States.Apply(
        [
            States.Isolating("sg-many", [.. Enumerable.Range(1, Rules).Select(
                i => $"in 1 accept tcp {1000 + i}/{1000 + i} 198.51.100.0/24")]),
            States.Isolating("sg-none"),
        ],
        States.Nic("e1", "sg-many"), States.Nic("e2", "sg-none"), States.Nic("e3", "sg-none")).State);

    /// <summary>bash with completion, sgctl in its path and the agent's socket in its environment.</summary>
    internal Tmux Terminal(
        int columns, int lines, string shell = "bash --norc --noprofile -i",
        params (string Name, string Value)[] environment)
    {
        if (!Tmux.IsInstalled)
        {
            Assert.Skip("there is no tmux: apt-get install tmux");
        }

        return Tmux.Start(columns, lines, shell, new Dictionary<string, string>(
            environment.Select(pair => KeyValuePair.Create(pair.Name, pair.Value)))
        {
            ["PATH"] = $"{Path.GetDirectoryName(Sgctl)}:{Environment.GetEnvironmentVariable("PATH")}",
            ["SG_AGENT_SOCKET"] = Lab.Daemon.SocketPath,
        });
    }

    internal static Task ShowsAsync(Tmux terminal, string text) => UntilAsync(
        terminal, text, screen => screen.Contains(text, StringComparison.Ordinal));

    /// <summary>Waits for what somebody would wait for who looks at the screen.</summary>
    internal static async Task UntilAsync(Tmux terminal, string what, Func<string, bool> seen)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (terminal.Screen is var screen && !seen(screen))
        {
            Assert.True(waited.Elapsed < Patience, $"in {Patience}, this did not come: {what}\n{screen}");
            await Task.Delay(20);
        }
    }

    /// <summary>Runs a line to its end.</summary>
    /// <returns>Exit code, and what it printed, as far as it is on the screen.</returns>
    internal static async Task<(int ExitCode, string Text)> RunAsync(Tmux terminal, string line)
    {
        terminal.Enter($"{line}; echo end $?");
        await UntilAsync(terminal, line, screen => End().IsMatch(screen));
        string text = terminal.Unbroken;
        Match end = End().Match(text);
        int head = text.IndexOf("echo end $?", StringComparison.Ordinal);
        return (int.Parse(end.Groups[1].Value, CultureInfo.InvariantCulture),
            text[..end.Index][(head < 0 ? 0 : head + "echo end $?".Length)..].Trim('\n'));
    }

    /// <summary>The line behind the output, and the prompt.</summary>
    [GeneratedRegex(@"^end (\d+)\n\$$", RegexOptions.Multiline)]
    private static partial Regex End();
}
