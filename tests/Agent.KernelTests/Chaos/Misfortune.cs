namespace Agent.KernelTests.Chaos;

/// <summary>What may befall a host.</summary>
internal enum MisfortuneKind
{
    /// <summary>SIGKILL while it commits, and a start.</summary>
    Kill,

    /// <summary>SIGKILL again and again, most of the time before it was ready.</summary>
    KillStorm,

    /// <summary>Another program flushes the ruleset.</summary>
    Flush,

    /// <summary>The same while the daemon is dead and the tables are nobody's, as nftables.service does it.</summary>
    FlushWhileDead,

    /// <summary>Another program replaces its own table, as firewalld reloads.</summary>
    Reload,

    /// <summary>A device is deleted, and made again under its name.</summary>
    Replug,

    /// <summary>A device has another name for a while, and the routes follow it.</summary>
    Rename,

    /// <summary>A device is in another namespace for a while.</summary>
    Move,

    /// <summary>The state directory is full, and the daemon dies meanwhile.</summary>
    FullDisk,

    /// <summary>Little memory is left to it: it may die of that, and is started again.</summary>
    LittleMemory,

    /// <summary>Neighbours take all processors, and it dies meanwhile.</summary>
    BusyNeighbours,

    /// <summary>It can open no more files and sockets.</summary>
    FewDescriptors,
}

/// <summary>One step of a run.</summary>
/// <param name="Kind">What.</param>
/// <param name="Guest">Whose device, if one is concerned.</param>
/// <param name="Times">How often, if it is done repeatedly.</param>
/// <param name="Delay">Into the churn, before it happens.</param>
/// <param name="Duration">How long it lasts, if it does.</param>
internal sealed record Misfortune(MisfortuneKind Kind, string Guest, int Times, TimeSpan Delay, TimeSpan Duration)
{
    private static readonly string[] Guests = ["e1", "e2", "e3", "g1", "g2"];

    /// <summary>It is the daemon's alone: no packet notices.</summary>
    public bool CutsNothing => Kind is MisfortuneKind.Kill or MisfortuneKind.KillStorm or MisfortuneKind.Reload
        or MisfortuneKind.FullDisk or MisfortuneKind.LittleMemory or MisfortuneKind.BusyNeighbours
        or MisfortuneKind.FewDescriptors;

    public override string ToString()
    {
        string what = Kind switch
        {
            MisfortuneKind.Replug or MisfortuneKind.Rename or MisfortuneKind.Move => $"{Kind} of {Guest}",
            MisfortuneKind.KillStorm => $"{Kind} of {Times}",
            _ => $"{Kind}",
        };
        return $"{what}, {Delay.TotalMilliseconds} ms into the churn, for {Duration.TotalMilliseconds} ms";
    }

    /// <summary>The same steps for the same seed: each kind once in a dozen, in any order.</summary>
    /// <param name="seed">Decides all.</param>
    /// <param name="steps">How many.</param>
    /// <param name="kinds">Which there are.</param>
    public static IReadOnlyList<Misfortune> Draw(int seed, int steps, IReadOnlyList<MisfortuneKind> kinds)
    {
        var random = new Random(seed);
        var drawn = new List<Misfortune>();
        while (drawn.Count < steps)
        {
            MisfortuneKind[] deck = [.. kinds];
            random.Shuffle(deck);
            drawn.AddRange(deck.Select(kind => new Misfortune(
                kind,
                Guests[random.Next(Guests.Length)],
                random.Next(2, 9),
                TimeSpan.FromMilliseconds(random.Next(0, 150)),
                TimeSpan.FromMilliseconds(random.Next(50, 600)))));
        }

        return drawn[..steps];
    }
}
