namespace Agent.Tests.Simulation.Host;

/// <summary>How often what happened, over some lives: a simulation in which nothing happens shows nothing.</summary>
internal sealed class HostTally
{
    private readonly SortedDictionary<string, int> counts = new(StringComparer.Ordinal);

    public int this[string what] => counts.GetValueOrDefault(what);

    public void Count(string what) => counts[what] = this[what] + 1;

    public override string ToString() =>
        string.Join(", ", counts.Select(pair => $"{pair.Value} {pair.Key}"));
}
