using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Terminal;

/// <summary>sgctl as a person meets it: in a terminal, with a shell, at the keys.</summary>
public sealed class SgctlTerminalTests(TerminalLab lab) : IClassFixture<TerminalLab>
{
    private const string PagerPrompt = ":"; // less, before the end of the text

    [Fact]
    public async Task Help_and_mistakes_say_how_to_go_on()
    {
        await lab.ApplyRulesAsync();
        using Tmux terminal = lab.Terminal(100, 60);
        (int code, string text) = await TerminalLab.RunAsync(terminal, "sgctl rules --help");
        Assert.Equal(0, code);
        Assert.Contains("Examples:\n  sgctl rules eni-web1\n", text, StringComparison.Ordinal);

        (code, text) = await TerminalLab.RunAsync(terminal, "sgctl stauts");
        Assert.Equal((2, "sgctl: there is no verb 'stauts'. Did you mean status?\nSee sgctl --help."), (code, text));
        (code, text) = await TerminalLab.RunAsync(terminal, "sgctl status --grops");
        Assert.Equal(2, code);
        Assert.Contains("Did you mean --groups?", text, StringComparison.Ordinal);
        (code, text) = await TerminalLab.RunAsync(terminal, "sgctl rules enie1");
        Assert.Equal((1, "sgctl: no vNIC 'enie1' is enforced\n  Did you mean eni-e1? sgctl vnics lists all."),
            (code, text));
        (code, text) = await TerminalLab.RunAsync(terminal, "sgctl drops --vnic eni-e9");
        Assert.Equal(0, code);
        Assert.StartsWith("warning: no vNIC 'eni-e9' in the policy. Did you mean eni-e", text);
        (code, text) = await TerminalLab.RunAsync(terminal, "sgctl drops --direction ot");
        Assert.Equal(2, code);
        Assert.Contains("Did you mean out?", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Long_output_is_paged_and_what_fits_is_not()
    {
        await lab.ApplyRulesAsync();
        using Tmux terminal = lab.Terminal(200, 24);
        (int code, string text) = await TerminalLab.RunAsync(terminal, "sgctl vnics");
        Assert.Equal(0, code);
        Assert.StartsWith("vnic    interface  state     revision  groups", text);

        terminal.Enter("sgctl rules eni-e1; echo end $?");
        await TerminalLab.ShowsAsync(terminal, "sg-many/r17 ");
        await TerminalLab.UntilAsync(
            terminal, "less", screen => screen.EndsWith(PagerPrompt, StringComparison.Ordinal));
        Assert.DoesNotContain("end 0", terminal.Screen, StringComparison.Ordinal);
        terminal.Press("Space");
        await TerminalLab.ShowsAsync(terminal, "sg-many/r35 ");
        terminal.Press("C-c"); // the pager's, and no reason to leave
        terminal.Press("G");
        await TerminalLab.ShowsAsync(terminal, "(END)");
        terminal.Press("q");
        await TerminalLab.ShowsAsync(terminal, "end 0\n$");

        (code, text) = await TerminalLab.RunAsync(terminal, "sgctl rules eni-e1 --no-pager");
        Assert.Equal(0, code);
        Assert.Contains("everything else", text, StringComparison.Ordinal);
        (code, text) = await TerminalLab.RunAsync(
            terminal, "NO_COLOR=1 SGCTL_PAGER='head -2 | tr a-z A-Z' sgctl rules eni-e1");
        Assert.Equal(0, code);
        Assert.StartsWith("ENI-E1  TAP-E1, SG-MANY, REVISION ", text);
        (code, text) = await TerminalLab.RunAsync(terminal, "SGCTL_PAGER=/nonexistent sgctl rules eni-e1 2>/dev/null");
        Assert.Equal(0, code);
        Assert.Contains("everything else", text, StringComparison.Ordinal);
        (code, text) = await TerminalLab.RunAsync(terminal, "TERM=dumb sgctl rules eni-e1");
        Assert.Equal(0, code);
        Assert.Contains("everything else", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_reader_that_ends_early_is_no_error_and_ends_what_has_no_end()
    {
        await lab.ApplyRulesAsync();
        using Tmux terminal = lab.Terminal(100, 24);
        (_, string text) = await TerminalLab.RunAsync(
            terminal, "sgctl rules eni-e1 | head -1 && echo ${PIPESTATUS[@]}");
        Assert.EndsWith("\n0 0", text);
        Assert.Equal(2, text.Split('\n').Length);
        using Flood flood = DaemonLab.StartFlood(lab.E3, lab.E2, 20, FloodDirections.Forward);
        (_, text) = await TerminalLab.RunAsync(
            terminal, "sgctl drops --follow -n 0 | head -2; echo ${PIPESTATUS[@]}");
        Assert.EndsWith("\n0 0", text);
        (_, text) = await TerminalLab.RunAsync(
            terminal, "sgctl top --json --interval 1 | head -c 20; echo \" ${PIPESTATUS[@]}\"");
        Assert.EndsWith(" 0 0", text);
        (int code, text) = await TerminalLab.RunAsync(terminal, "sgctl get > /dev/full");
        Assert.Equal((1, "sgctl: cannot write the answer: No space left on device"), (code, text.Split(" : ")[0]));
    }

    [Fact]
    public async Task Interrupted_it_says_so_and_the_shell_has_its_terminal_back()
    {
        await lab.ApplyRulesAsync();
        using Flood flood = DaemonLab.StartFlood(lab.E3, lab.E2, 5, FloodDirections.Forward);
        using Tmux terminal = lab.Terminal(120, 24);
        terminal.Enter("sgctl drops --follow -n 0; echo end $?");
        await TerminalLab.ShowsAsync(terminal, "eni-e2 in udp ");
        terminal.Press("C-c");
        await TerminalLab.ShowsAsync(terminal, "interrupted\nend 130\n$");

        terminal.Enter("sgctl top --interval 1; echo end $?");
        await TerminalLab.ShowsAsync(terminal, "3 vNICs");
        Assert.StartsWith("q quit", terminal.Screen.Split('\n')[^1]);
        terminal.Press("q");
        await TerminalLab.ShowsAsync(terminal, "sgctl top --interval 1; echo end $?\nend 0\n$");
        Assert.Equal("typed", (await TerminalLab.RunAsync(terminal, "echo typed")).Text);
    }

    /// <summary>Nothing but a word that is longer itself goes over the edge, and no word is broken there.</summary>
    [Theory]
    [InlineData("analyze")]
    [InlineData("analyze --help")]
    [InlineData("apply --help")]
    [InlineData("check -")]
    [InlineData("completion --help")]
    [InlineData("compile --help")]
    [InlineData("diff --help")]
    [InlineData("drops")]
    [InlineData("drops --help")]
    [InlineData("explain eni-e1 ingress tcp 198.51.100.7 10.0.0.8:1001")]
    [InlineData("explain --help")]
    [InlineData("get --help")]
    [InlineData("groups")]
    [InlineData("log-level")]
    [InlineData("rules eni-e1")]
    [InlineData("sessions")]
    [InlineData("sessions --help")]
    [InlineData("staged")]
    [InlineData("status --groups")]
    [InlineData("top --once --interval 1")]
    [InlineData("verify")]
    [InlineData("vnics")]
    [InlineData("stauts")]
    [InlineData("")]
    [InlineData("--help")]
    [InlineData("rules nobody")]
    [InlineData("status --socket /nonexistent")]
    public async Task Forty_columns_are_enough(string line)
    {
        const int Columns = 40;
        await lab.ApplyRulesAsync();
        using Tmux terminal = lab.Terminal(Columns, 200);
        (_, string text) = await TerminalLab.RunAsync(terminal, $"sgctl {line} --no-pager < /dev/null");
        string[] wide = [.. text.Split('\n').Where(one => one.TrimEnd().Length > Columns)];
        Assert.All(wide, one => Assert.True(
            one.Trim().Split(' ').Max(word => word.Length) > Columns - 20
                || one.Contains("sgctl ", StringComparison.Ordinal), one)); // examples are to be copied
        Assert.NotEmpty(text);
    }
}
