using Agent.Cli;
using Agent.Cli.Live;
using Agent.Cli.Output;
using Microsoft.Extensions.Time.Testing;

namespace Agent.Tests.Cli;

/// <summary>When there is a pager, how lines are folded, and the line that moves. Real ones: KernelTests.</summary>
public sealed class LongOutputTests
{
    [Theory]
    [InlineData(3, 80, null, "[a\nb\nc\n]")] // the prompt needs a line, too
    [InlineData(4, 80, null, "a\nb\nc\n")]
    [InlineData(null, 80, null, "a\nb\nc\n")]
    [InlineData(3, 80, "cat", "a\nb\nc\n")]
    [InlineData(3, 80, "", "a\nb\nc\n")]
    public void What_is_longer_than_the_terminal_goes_to_the_pager(
        int? height, int width, string? pager, string expected)
    {
        var screen = new StringWriter { NewLine = "\n" };
        var output = new LongOutput(Around(screen, height, width, pager));
        output.Begin().Write("a\nb\nc\n");
        output.Show();
        output.Show(); // once
        Assert.Equal(expected, screen.ToString());
    }

    [Fact]
    public void Lines_that_the_terminal_breaks_count_as_what_they_fill_and_colours_fill_nothing()
    {
        var screen = new StringWriter { NewLine = "\n" };
        var output = new LongOutput(Around(screen, 4, 10, null));
        output.Begin().Write("\e[31m0123456789\e[0m\na\nb\n");
        output.Show();
        Assert.StartsWith("\e", screen.ToString());
        output.Begin().Write("01234567890\na\nb\n");
        output.Show();
        Assert.EndsWith("[01234567890\na\nb\n]", screen.ToString());
    }

    [Fact]
    public void A_pager_that_cannot_be_run_loses_nothing()
    {
        Assert.False(Pager.Show("/nonexistent/pager 2>/dev/null", "text"));
        Assert.True(Pager.Show("exit 3", new string('x', 1 << 20))); // it read nothing of it
        var screen = new StringWriter();
        var output = new LongOutput(Around(screen, 1, 80, null) with { Page = (_, _) => false });
        output.Begin().Write("text");
        output.Show();
        Assert.Equal("text", screen.ToString());
    }

    [Theory]
    [InlineData("sgctl", "a", "b", "a")]
    [InlineData("PAGER wins", null, "b", "b")]
    [InlineData("less", null, null, "less")]
    [InlineData("none", "", "b", null)]
    [InlineData("none", " cat ", null, null)]
    public void The_first_variable_that_is_set_names_the_pager(
        string why, string? own, string? general, string? expected)
    {
        Assert.Equal(expected, Pager.CommandOf(name => name == "SGCTL_PAGER" ? own : name == "PAGER" ? general : null));
        Assert.NotEmpty(why);
    }

    [Fact]
    public void Lines_break_at_words_and_go_on_further_in()
    {
        var text = new StringWriter { NewLine = "\n" };
        var screen = new Screen(text, 20, color: false);
        screen.Line("one two three four five six");
        screen.Line(("  bad", Screen.Bad), (": what is glued stays together", Screen.Plain));
        screen.Line("a " + new string('x', 30) + " b");
        screen.Line("fits exactly here 20");
        screen.Line();
        screen.Fields(("n", "one two three four"), ("a name", "one two three four"));
        Assert.Equal(
            """
            one two three four
              five six
              bad: what is glued
                stays together
            a
              xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
              b
            fits exactly here 20

              n       one two
                three four
              a name  one two
                three four

            """, text.ToString());
    }

    [Fact]
    public async Task What_takes_long_moves_a_line_and_leaves_nothing()
    {
        var clock = new FakeTimeProvider();
        var terminal = new StringWriter();
        var work = new TaskCompletionSource<int>();
        Task<int> waiting = new Progress(terminal, 12, clock).WhileAsync("proving all of it", work.Task);
        clock.Advance(TimeSpan.FromMilliseconds(399));
        Assert.Equal("", terminal.ToString());
        for (int i = 0; i < 200 && terminal.ToString().Split('\r').Length < 4; i++)
        {
            clock.Advance(TimeSpan.FromMilliseconds(150));
            await Task.Yield();
        }

        work.SetResult(7);
        Assert.Equal(7, await waiting);
        Assert.StartsWith("\r\e[K- proving a\r\e[K\\ proving a", terminal.ToString());
        Assert.EndsWith("\r\e[K", terminal.ToString());

        var quick = new StringWriter();
        Assert.Equal(1, await new Progress(quick, 80, clock).WhileAsync("nothing", Task.FromResult(1)));
        Assert.Equal("", quick.ToString());
    }

    private static Surroundings Around(TextWriter screen, int? height, int width, string? pager) => new()
    {
        Out = screen,
        Error = TextWriter.Null,
        OpenInput = () => Stream.Null,
        OutHeight = height,
        OutWidth = width,
        Environment = name => name == "PAGER" ? pager : null,
        Page = (_, text) =>
        {
            screen.Write($"[{text}]");
            return true;
        },
    };
}
