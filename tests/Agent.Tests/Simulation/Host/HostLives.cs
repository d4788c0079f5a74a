using System.Collections.Concurrent;

namespace Agent.Tests.Simulation.Host;

/// <summary>A life in which a promise was broken.</summary>
/// <param name="Seed">Which.</param>
/// <param name="Steps">As few turbulent steps as lead there.</param>
/// <param name="Broken">The promise, and how.</param>
/// <param name="Story">The last steps before.</param>
internal sealed record FailedLife(int Seed, int Steps, Exception Broken, string Story)
{
    public string? Promise => (Broken as BrokenPromiseException)?.Promise;

    public override string ToString() => $"""
        {Story}
        {Broken.Message}

        make sim SEED={Seed} RUNS=1 STEPS={Steps}
        """;
}

/// <summary>Many lives, on all processors; each of them on one thread.</summary>
internal static class HostLives
{
    /// <summary>Of so many lives one proves what it commits, which takes several times as long.</summary>
    private const int ProvingEvery = 25;

    /// <summary>Lives the seeds in their order until one fails.</summary>
    /// <param name="first">Seed of the first.</param>
    /// <param name="lives">How many.</param>
    /// <param name="steps">Turbulent ones in each.</param>
    /// <param name="sabotage">What is broken in all of them.</param>
    /// <returns>The one that failed, of the lowest seed; null: none did. How many were lived, and what happened.
    /// </returns>
    public static (FailedLife? Failed, int Lived, HostTally Tally) Live(
        int first, int lives, int steps, Sabotage? sabotage = null)
    {
        var failed = new ConcurrentBag<FailedLife>();
        var tally = new HostTally();
        int begun = 0;
        int lived = 0;
        Parallel.For(0, Environment.ProcessorCount, _ =>
        {
            while (failed.IsEmpty && Interlocked.Increment(ref begun) is var number && number <= lives)
            {
                var own = new HostTally();
                if (Live(first + number - 1, steps, own, sabotage) is { } life)
                {
                    failed.Add(life);
                }

                lock (tally)
                {
                    lived++;
                    tally.Add(own);
                }
            }
        });
        return (failed.MinBy(life => life.Seed) is { } found ? Shortest(found, sabotage) : null, lived, tally);
    }

    private static FailedLife? Live(int seed, int steps, HostTally tally, Sabotage? sabotage)
    {
        bool proves = sabotage is null && seed % ProvingEvery == 0;
        using var life = new HostLife(seed, steps, tally, proves, sabotage);
        try
        {
            life.Live();
            return null;
        }
        catch (Exception e)
        {
            return new FailedLife(seed, steps, e, life.Story);
        }
    }

    // What happens first is the same, however many steps follow.
    private static FailedLife Shortest(FailedLife failed, Sabotage? sabotage)
    {
        for (int steps = 1; steps < failed.Steps; steps++)
        {
            if (Live(failed.Seed, steps, new HostTally(), sabotage) is { } shorter && shorter.Promise == failed.Promise)
            {
                return shorter;
            }
        }

        return failed;
    }
}
