namespace Agent.Soak;

/// <summary>How long, and how hard.</summary>
internal sealed record SoakOptions
{
    public TimeSpan Time { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Changes of the desired state.</summary>
    public double StepsPerSecond { get; init; } = 4;

    public int Seed { get; init; } = 1;

    /// <summary>A group for which the daemon under test errs; null: none.</summary>
    public string? Plant { get; init; }

    /// <summary>The daemon's setting.</summary>
    public string Verify { get; init; } = "enforce";

    /// <summary>
    /// Restarts are all in the first part of the run: after it comes one long life, in which memory and descriptors
    /// have to be flat.
    /// </summary>
    public TimeSpan RestartsUntil => Time / 4;

    /// <summary>Three at least; in a long run every three quarters of an hour.</summary>
    public TimeSpan RestartInterval => TimeSpan.FromTicks(
        Math.Min(RestartsUntil.Ticks / 3, TimeSpan.FromMinutes(45).Ticks));

    /// <summary>A second at least, and some hundred samples in all.</summary>
    public TimeSpan SampleInterval => TimeSpan.FromSeconds(Math.Max(1, Time.TotalSeconds / 900));
}
