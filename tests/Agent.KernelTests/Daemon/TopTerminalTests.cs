using System.Text.RegularExpressions;
using Agent.KernelTests.Sessions;
using Agent.TestNet;

namespace Agent.KernelTests.Daemon;

/// <summary>The live view of <c>sgctl top</c> in a terminal, with somebody at the keys.</summary>
public sealed partial class TopTerminalTests(AccountingLab lab) : IClassFixture<AccountingLab>
{
    private const string Udp = "in 1 accept udp 1/65535 10.0.0.8/32";
    private const string Enter = "\e[?1049h";
    private const string Leave = "\e[?7h\e[?25h\e[?1049l";
    private const string Down = "\e[B";
    private const string Up = "\e[A";

    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(15));

    private static readonly string Sgctl = BuiltProgram.Find("SGCTL", "Agent.Cli", "sgctl");

    [Fact]
    public async Task It_draws_obeys_its_keys_follows_the_size_and_leaves_the_terminal_as_it_was()
    {
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        using Flood flood = DaemonLab.StartFlood(lab.E1, lab.E2, 300, FloodDirections.Forward);
        using Flood less = DaemonLab.StartFlood(lab.E1, lab.E3, 100, FloodDirections.Forward);
        using PseudoTerminal terminal = Start(lab.Lab);
        string before = terminal.Settings;
        await ShowsAsync(terminal, "3 vNICs");
        string[] frame = Frame(terminal);
        Assert.Equal(24, frame.Length);
        Assert.StartsWith("q quit  s sort", frame[^1], StringComparison.Ordinal);
        Assert.Contains(frame, line => Row().IsMatch(line));
        Assert.Contains(frame, line => line.Contains("udp 10.0.0.8:", StringComparison.Ordinal));
        Assert.Contains(", by bits", frame[0], StringComparison.Ordinal);
        Assert.Matches(Colour(), terminal.Output);

        terminal.Press("s");
        await ShowsAsync(terminal, ", by packets");
        Assert.Contains("3 vNICs", Frame(terminal)[0], StringComparison.Ordinal); // what there is stays meanwhile
        terminal.Press("p");
        await ShowsAsync(terminal, ", paused, by packets");
        terminal.Press("p");
        await DaemonLab.UntilAsync("no pause", () => !Frame(terminal)[0].Contains("paused"));

        Assert.Equal("eni-e1", Marked(terminal)); // it sends to both others
        terminal.Press(Down);
        await DaemonLab.UntilAsync("the second row", () => Marked(terminal) == "eni-e2");
        terminal.Press(Up);
        await DaemonLab.UntilAsync("the first row", () => Marked(terminal) == "eni-e1");
        terminal.Press("\r");
        await ShowsAsync(terminal, "eni-e1  tap-e1");
        terminal.Press("\x7f");
        await ShowsAsync(terminal, "drops/s ");

        terminal.Resize(50, 10);
        await DaemonLab.UntilAsync("a small frame", () => Frame(terminal).Length == 10);
        Assert.All(Frame(terminal), line => Assert.InRange(line.Length, 0, 50));

        terminal.Press("q");
        Assert.Equal(0, await terminal.ExitAsync(Patience));
        await LeftAsync(terminal, before);
    }

    [Fact]
    public async Task Interrupted_it_leaves_the_terminal_as_it_was()
    {
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        using PseudoTerminal terminal = Start(lab.Lab);
        string before = terminal.Settings;
        await ShowsAsync(terminal, "3 vNICs");
        terminal.Press("\x03");
        Assert.Equal(130, await terminal.ExitAsync(Patience));
        await LeftAsync(terminal, before);
        Assert.EndsWith("interrupted", terminal.Output.TrimEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_colours_there_are_none_and_a_lost_agent_is_said_behind_the_view()
    {
        await using DaemonLab own = await DaemonLab.StartAsync();
        await own.ApplyAsync(SessionLab.CallsInto(Udp));
        using PseudoTerminal terminal = Start(own, ("NO_COLOR", "1"));
        string before = terminal.Settings;
        await ShowsAsync(terminal, "3 vNICs");
        Assert.StartsWith("note: the kernel does not count", Frame(terminal)[1], StringComparison.Ordinal);
        Assert.DoesNotMatch(Colour(), terminal.Output);
        await own.Daemon.KillAsync();
        Assert.Equal(3, await terminal.ExitAsync(Patience));
        await LeftAsync(terminal, before);
        Assert.Contains("sgctl: ", terminal.Output[terminal.Output.LastIndexOf(Leave, StringComparison.Ordinal)..],
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_terminal_that_cannot_move_its_cursor_gets_one_report()
    {
        await lab.ApplyAsync(SessionLab.CallsInto(Udp));
        using PseudoTerminal terminal = Start(lab.Lab, ("TERM", "dumb"));
        Assert.Equal(0, await terminal.ExitAsync(Patience));
        await ShowsInOutputAsync(terminal, "3 vNICs");
        Assert.DoesNotContain(Enter, terminal.Output, StringComparison.Ordinal);
    }

    private static PseudoTerminal Start(DaemonLab lab, params (string Name, string Value)[] environment) =>
        PseudoTerminal.Start(
            100, 24, [Sgctl, "--socket", lab.Daemon.SocketPath, "top", "--interval", "1"],
            environment.ToDictionary(pair => pair.Name, pair => pair.Value));

    private static Task ShowsAsync(PseudoTerminal terminal, string text) => DaemonLab.UntilAsync(
        $"'{text}' in {terminal.Output[^Math.Min(3000, terminal.Output.Length)..]}",
        () => string.Join('\n', Frame(terminal)).Contains(text, StringComparison.Ordinal));

    private static Task ShowsInOutputAsync(PseudoTerminal terminal, string text) => DaemonLab.UntilAsync(
        text, () => terminal.Output.Contains(text, StringComparison.Ordinal));

    /// <summary>The page from before is back, with its cursor, and keys are echoed again.</summary>
    private static async Task LeftAsync(PseudoTerminal terminal, string before)
    {
        await ShowsInOutputAsync(terminal, Leave);
        Assert.Contains(Enter, terminal.Output, StringComparison.Ordinal);
        Assert.True(terminal.Output.LastIndexOf(Leave, StringComparison.Ordinal)
            > terminal.Output.LastIndexOf(Enter, StringComparison.Ordinal));
        Assert.Equal(before, terminal.Settings);
    }

    /// <summary>What a person sees: the lines that were drawn last, to the end, without escape sequences.</summary>
    private static string[] Frame(PseudoTerminal terminal)
    {
        string all = terminal.Output;
        int end = all.LastIndexOf("\e[J", StringComparison.Ordinal);
        int begin = end < 0 ? -1 : all.LastIndexOf("\e[H", end, StringComparison.Ordinal);
        // The terminal itself puts a return before each line's end.
        return begin < 0 ? [] : Escape().Replace(all[begin..end], "").Replace("\r", "").Split('\n');
    }

    /// <summary>The chosen vNIC; empty: none is in sight.</summary>
    private static string Marked(PseudoTerminal terminal) => Frame(terminal)
        .Where(line => line.StartsWith('>')).Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1])
        .FirstOrDefault("");

    [GeneratedRegex("^>? +eni-e[123] +\\S+ +\\S+ ")]
    private static partial Regex Row();

    [GeneratedRegex("\e\\[[0-9;?]*[A-Za-z]")]
    private static partial Regex Escape();

    [GeneratedRegex("\e\\[[0-9;]*m")]
    private static partial Regex Colour();
}
