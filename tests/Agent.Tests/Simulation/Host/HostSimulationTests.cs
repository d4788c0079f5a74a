using System.Globalization;

namespace Agent.Tests.Simulation.Host;

/// <summary>
/// Whole lives of hosts, the same ones each time: README.md beside this file. <c>make sim</c> lives others; a seed is
/// one life.
/// </summary>
public sealed class HostSimulationTests(ITestOutputHelper output)
{
    private const int Lives = 200;

    private static readonly int? Asked = Number("SG_SIM_RUNS");

    private static readonly int Steps = Number("SG_SIM_STEPS") ?? 10;

    [Fact]
    public void Whatever_happens_to_a_host_it_keeps_its_promises_and_ends_up_with_the_policy()
    {
        (FailedLife? failed, int lived, HostTally tally) = HostLives.Live(
            Number("SG_SIM_SEED") ?? 1, Asked ?? Lives, Steps);
        output.WriteLine($"{lived} lives: {tally}");
        Assert.True(failed is null, failed?.ToString());
        if (Asked is null)
        {
            string[] rare = ["deaths", "power cuts", "refusals", "foreign changes", "device changes", "disk faults"];
            Assert.All(rare, what => Assert.True(tally[what] > 0, $"no {what}"));
        }
    }

    [Fact]
    public void A_seed_is_the_same_life_each_time()
    {
        string[] stories = [.. Enumerable.Range(0, 2).Select(_ =>
        {
            using var life = new HostLife(seed: 25, Steps, new HostTally(), proves: true);
            life.Live();
            return life.Story;
        })];
        Assert.Equal(stories[0], stories[1]);
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int number)
            ? number : null;
}
