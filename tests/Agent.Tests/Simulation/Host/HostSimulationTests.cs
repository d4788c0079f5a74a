using System.Globalization;

namespace Agent.Tests.Simulation.Host;

/// <summary>Whole lives of hosts. `make sim SEED=n RUNS=n` runs others; a seed is the same life each time.</summary>
public sealed class HostSimulationTests(ITestOutputHelper output)
{
    private const int Steps = 14;

    /// <summary>Of so many lives one proves what it commits, which takes ten times as long.</summary>
    private const int ProvingEvery = 10;

    private static readonly int First = Number("SG_SIM_SEED", 1);

    private static readonly int Lives = Number("SG_SIM_RUNS", 200);

    [Fact]
    public void Whatever_happens_to_a_host_it_keeps_its_promises_and_ends_up_with_the_policy()
    {
        var tally = new HostTally();
        for (int seed = First; seed < First + Lives; seed++)
        {
            var life = new HostLife(seed, Steps, tally, proves: seed % ProvingEvery == 0);
            try
            {
                life.Live();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException(
                    $"make sim SEED={seed} RUNS=1\n{life.Story}\n{e.Message}", e);
            }
        }

        output.WriteLine($"{Lives} lives: {tally}");
    }

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int number)
            ? number : otherwise;
}
