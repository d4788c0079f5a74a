using Agent.Cli.Completion;

namespace Agent.Tests.Cli;

/// <summary>What may stand at the cursor; shells show it in Agent.KernelTests.</summary>
public sealed class LineCompletionTests
{
    [Theory]
    [InlineData("sgctl sta", "stage staged status")]
    [InlineData("sgctl nothing", "")]
    [InlineData("/usr/bin/sgctl vn", "vnics")]
    [InlineData("sgctl staged --c", "--commit")]
    [InlineData("sgctl staged --commit --c", "")]
    [InlineData("sgctl --json stat", "status")]
    [InlineData("sgctl --socket /x stat", "status")]
    [InlineData("sgctl --socket=/x stat", "status")]
    [InlineData("sgctl --socket ", ":files")]
    [InlineData("sgctl check ", ":files")]
    [InlineData("sgctl check pol", ":files")]
    [InlineData("sgctl check a ", "--help --json --no-color --no-pager --socket")]
    [InlineData("sgctl diff a ", ":files")]
    [InlineData("sgctl top --sort ", "bits bytes drops packets sessions")]
    [InlineData("sgctl top --sort=b", "--sort=bits --sort=bytes")]
    [InlineData("sgctl top --count ", "")]
    [InlineData("sgctl drops -f -n 3 --dir", "--direction")]
    [InlineData("sgctl drops --direction i", "in")]
    [InlineData("sgctl explain x ", "egress ingress")]
    [InlineData("sgctl explain x ingress t", "tcp")]
    [InlineData("sgctl explain --file=p", ":files")]
    [InlineData("sgctl explain 'x y' in", "ingress")]
    [InlineData("sgctl log-level de", "debug default")]
    [InlineData("sgctl log-level debug --for ", "10m 1d 1h")]
    [InlineData("sgctl completion ", "bash fish zsh")]
    [InlineData("sgctl check -- --he", ":files")]
    [InlineData("sgctl rules --socket /nonexistent ", "")]
    [InlineData("sgctl", "")]
    public async Task A_line_may_go_on_with(string line, string words)
    {
        CliRun run = await CliRun.Of(["__complete", line]);
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        string[] found = [.. run.Out.Split('\n')[..^1].Select(one => one.Split('\t')[0]).Order(StringComparer.Ordinal)];
        Assert.Equal(words.Split(' ', StringSplitOptions.RemoveEmptyEntries), found);
    }

    [Fact]
    public async Task Verbs_and_options_say_what_they_are()
    {
        CliRun run = await CliRun.Of(["__complete", "sgctl "]);
        Assert.Contains("status\tShow what the agent holds and enforces, and what it found in the kernel\n", run.Out);
        Assert.DoesNotContain("__complete", run.Out);
        run = await CliRun.Of(["__complete", "sgctl get --y"]);
        Assert.Equal("--yaml\tYAML instead of JSON\n", run.Out);
    }

    [Theory]
    [InlineData("a b", "a|b")]
    [InlineData("  a\t b ", "a|b|")]
    [InlineData("", "")]
    [InlineData("a 'b c' \"d 'e\" f\\ g", "a|b c|d 'e|f g")]
    [InlineData("a ''", "a|")]
    [InlineData("a 'b ", "a|b ")]
    [InlineData("a\\", "a\\")]
    [InlineData("a '\\'", "a|\\")]
    public void Lines_are_read_as_a_shell_reads_them(string line, string words) =>
        Assert.Equal(words.Split('|'), ShellWords.Of(line));

    [Theory]
    [InlineData("bash", "complete -F _sgctl sgctl")]
    [InlineData("zsh", "#compdef sgctl")]
    [InlineData("fish", "complete -c sgctl -f")]
    public async Task Each_shell_has_its_script(string shell, string line)
    {
        CliRun run = await CliRun.Of(["completion", shell]);
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains(line, run.Out.Split('\n').Select(one => one.Length > line.Length ? one[..line.Length] : one));
    }
}
