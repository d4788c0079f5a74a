namespace Agent.Tests.Simulation.Host;

/// <summary>How often what happened, over some lives: a simulation in which nothing happens shows nothing.</summary>
internal sealed class HostTally
{
    private readonly SortedDictionary<string, int> counts = new(StringComparer.Ordinal);

    public int this[string what] => counts.GetValueOrDefault(what);

    public void Count(string what, int times = 1) => counts[what] = this[what] + times;

    public void Add(HostTally other)
    {
        foreach ((string what, int times) in other.counts)
        {
            Count(what, times);
        }
    }

    public override string ToString() => string.Join(", ", counts.Select(pair => $"{pair.Value} {pair.Key}"));
}
