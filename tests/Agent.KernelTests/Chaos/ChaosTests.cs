using System.Diagnostics;
using System.Globalization;

namespace Agent.KernelTests.Chaos;

/// <summary>
/// A real daemon, a real kernel and real traffic, and whatever may befall a host, drawn by a seed. <c>make chaos</c>
/// draws others: SEED=n the first, RUNS=n how many, STEPS=n how long, KIND=Kill one kind alone.
/// </summary>
/// <remarks>
/// What is promised. Nothing forbidden ever passes, but for one case: while the tables are nobody's (the daemon is
/// dead, or the kernel cannot protect them) and another program flushes them; then all is closed again within fifteen
/// seconds of the agent's start, or of the flush. What is allowed passes within five seconds after each misfortune, and
/// misfortunes that are the daemon's alone (a kill, a full disk, no memory, no processor, no descriptors) cost no
/// packet at all.
/// </remarks>
public sealed class ChaosTests(ITestOutputHelper output)
{
    /// <summary>Odd seeds have everybody's tables, even ones the daemon's own where the kernel can.</summary>
    private const int UsualRuns = 1;

    [Fact]
    public async Task Whatever_befalls_a_host_nothing_forbidden_passes_and_what_is_allowed_comes_back_in_time()
    {
        int first = Number("SG_CHAOS_SEED") ?? 1;
        MisfortuneKind[] kinds = Kinds(out string? missing);
        int steps = Number("SG_CHAOS_STEPS") ?? kinds.Length;
        int runs = Number("SG_CHAOS_RUNS") ?? UsualRuns;
        ChaosTally tally = new();
        Stopwatch took = Stopwatch.StartNew();
        for (int seed = first; seed < first + runs; seed++)
        {
            await new ChaosRun(seed, steps, kinds, tally).LiveAsync();
        }

        output.WriteLine($"{runs} runs in {took.Elapsed.TotalSeconds:0} s: {tally}");
        if (missing is not null)
        {
            output.WriteLine($"without pressure on memory: {missing}");
        }

        Assert.True(tally.Steps == runs * steps && tally.Packets > 1000, $"{tally}");
        Assert.True(tally.Kills > 0 || !kinds.Contains(MisfortuneKind.Kill), $"{tally}");
    }

    [Fact]
    public void A_seed_draws_the_same_misfortunes_each_time()
    {
        MisfortuneKind[] kinds = Enum.GetValues<MisfortuneKind>();
        Assert.Equal(Misfortune.Draw(7, 40, kinds), Misfortune.Draw(7, 40, kinds));
        Assert.NotEqual(Misfortune.Draw(7, 40, kinds), Misfortune.Draw(8, 40, kinds));
        Assert.Equal(kinds, Misfortune.Draw(7, kinds.Length, kinds).Select(one => one.Kind).Order());
    }

    private static MisfortuneKind[] Kinds(out string? missing)
    {
        missing = MemoryLimit.Obstacle();
        bool squeezes = missing is null;
        return Environment.GetEnvironmentVariable("SG_CHAOS_KIND") is { Length: > 0 } one
            ? [Enum.Parse<MisfortuneKind>(one)]
            : [.. Enum.GetValues<MisfortuneKind>().Where(kind => squeezes || kind != MisfortuneKind.LittleMemory)];
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int number)
            ? number : null;
}
