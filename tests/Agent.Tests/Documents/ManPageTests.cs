using Agent.TestNet;

namespace Agent.Tests.Documents;

/// <summary>packaging/man is what the programs and README.md say, and typesets without a complaint.</summary>
public sealed class ManPageTests
{
    private const string Folder = "packaging/man";

    [Fact]
    public void The_pages_are_up_to_date() => WrittenFiles.Check(Folder, ManPages.All);

    [Theory]
    [InlineData("groff", "-ww", "-man", "-Tutf8", "-z")]
    [InlineData("mandoc", "-T", "lint", "-W", "error")]
    [InlineData("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z")]
    public void Typesetters_have_no_complaint(string program, params string[] arguments)
    {
        if (!IsThere(program))
        {
            Assert.Skip($"there is no {program}: apt-get install {(program == "man" ? "man-db" : program)}");
        }

        foreach (string page in ManPages.All.Keys)
        {
            CommandOutcome run = SystemCommand.TryRun(program, null,
                [.. arguments, Path.Combine(BuiltProgram.RepositoryRoot(), Folder, page)]);
            Assert.True(run.ExitCode == 0 && run.Error.Length == 0, $"{page}: {run.Error} {run.Output}");
        }
    }

    [Fact]
    public void Every_verb_option_and_setting_is_there()
    {
        Assert.Contains("sgctl explain [options] [VNIC] [DIRECTION]".Replace("-", "\\-"), ManPages.All["sgctl.1"]);
        Assert.Contains("\\fB\\-\\-confirm\\-mass\\-change\\fR\nWhatever it removes", ManPages.All["sgctl.1"]);
        Assert.Contains("\\fB130\\fR\ninterrupted", ManPages.All["sgctl.1"]);
        Assert.Contains("\\fB\\-\\-set KEY=VALUE\\fR\n", ManPages.All["sg-agentd.8"]);
        Assert.Contains("\\fBmetrics.listen\\fR\n", ManPages.All["sg-agent.json.5"]);
    }

    private static bool IsThere(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
        .Any(folder => File.Exists(Path.Combine(folder, program)));
}
