using Agent.Daemon;
using Agent.Daemon.Config;

namespace Agent.Tests.Daemon;

public class CommandLineTests
{
    [Fact]
    public void Flags_are_read()
    {
        CommandLine line = CommandLine.Parse(
            ["--config", "/a.json", "--set", "table=x", "--check-config", "--set", "grpc.socket=/s"]);
        Assert.Equal("/a.json", line.ConfigPath);
        Assert.Equal(["table=x", "grpc.socket=/s"], line.Overrides);
        Assert.True(line.CheckOnly);
        Assert.Equal((null, 0), (line.Message, line.ExitCode));
    }

    [Fact]
    public void Removal_must_be_asked_for()
    {
        Assert.True(CommandLine.Parse(["--remove-ruleset", "--set", "table=x"]).RemovesRuleset);
        Assert.False(CommandLine.Parse(["--set", "table=x"]).RemovesRuleset);
    }

    [Fact]
    public void Nothing_is_fine()
    {
        CommandLine line = CommandLine.Parse([]);
        Assert.EndsWith("config.json", line.ConfigPath);
        Assert.False(line.CheckOnly);
        Assert.Null(line.Message);
    }

    [Theory]
    [InlineData("--help", "--config FILE")]
    [InlineData("-h", "--set KEY=VALUE")]
    [InlineData("--version", "{version}")]
    public void Help_and_version_are_printed_and_succeed(string flag, string text)
    {
        CommandLine line = CommandLine.Parse([flag]);
        Assert.Contains(text, line.Message);
        Assert.Equal(0, line.ExitCode);
    }

    [Theory]
    [InlineData("--what")]
    [InlineData("--config")]
    [InlineData("--set")]
    [InlineData("extra")]
    public void What_is_not_understood_is_a_usage_error(string argument)
    {
        CommandLine line = CommandLine.Parse(["--check-config", argument]);
        Assert.Equal(CommandLine.Usage, line.ExitCode);
        Assert.Contains($"'{argument}'", line.Message);
    }

    [Fact]
    public void A_named_file_must_be_there()
    {
        ConfigResult result = CommandLine.Parse(["--config", "/nowhere/x.json"]).ReadConfig();
        Assert.Null(result.Config);
        Assert.Equal("Unreadable", Assert.Single(result.Faults).Code);
    }

    [Fact]
    public void The_file_is_read_and_overrides_win()
    {
        string path = Path.GetTempFileName();
        File.WriteAllText(path, "{ \"table\": \"a\", \"on_change\": \"keep\" }");
        DaemonConfig config = CommandLine.Parse(["--config", path, "--set", "table=b"]).ReadConfig().Config!;
        Assert.Equal(("b", OnChange.Keep), (config.Compiler.Table, config.OnChange));
        File.Delete(path);
    }
}
