using Agent.Cli.Verbs;

namespace Agent.Tests.Cli;

public sealed class LogLevelVerbTests
{
    [Theory]
    [InlineData("1s", 1)]
    [InlineData("90s", 90)]
    [InlineData("10m", 600)]
    [InlineData("2h", 7200)]
    [InlineData("7d", 604_800)]
    [InlineData("604800s", 604_800)]
    [InlineData("604801s", null)]
    [InlineData("8d", null)]
    [InlineData("4294967295d", null)]
    [InlineData("0s", null)]
    [InlineData("-1s", null)]
    [InlineData("1.5h", null)]
    [InlineData("10", null)]
    [InlineData("m", null)]
    [InlineData("", null)]
    public void A_duration_is_a_number_with_its_unit_and_has_an_end(string text, int? seconds) =>
        Assert.Equal(seconds, (int?)LogLevelVerb.DurationOf(text)?.TotalSeconds);
}
