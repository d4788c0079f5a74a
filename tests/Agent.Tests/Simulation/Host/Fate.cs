namespace Agent.Tests.Simulation.Host;

/// <summary>The process dies here. The loop lets this kind of exception through, since it ends a process.</summary>
internal sealed class ProcessDiedException(string at) : OutOfMemoryException(at);

/// <summary>What must always hold does not.</summary>
internal sealed class BrokenPromiseException(string promise, string how) : OutOfMemoryException($"{promise}: {how}")
{
    public string Promise { get; } = promise;
}

/// <summary>One seed: all that is left to chance is asked of it, in one order.</summary>
internal sealed class Fate(int seed)
{
    private readonly Random random = new(seed);

    /// <summary>No more faults.</summary>
    public bool IsCalm { get; set; }

    /// <summary>For what needs numbers of its own.</summary>
    public Random Random => random;

    /// <summary>A fault; never in the calm.</summary>
    public bool Strikes(int percent) => !IsCalm && random.Next(100) < percent;

    public int Pick(int below) => random.Next(below);

    public T Pick<T>(IReadOnlyList<T> items) => items[random.Next(items.Count)];
}
