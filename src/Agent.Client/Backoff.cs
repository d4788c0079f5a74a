namespace Agent.Client;

/// <summary>
/// How long to wait before trying again: anything from zero to a ceiling that doubles, so that those who lost the same
/// peer at the same moment do not come back together.
/// </summary>
internal sealed class Backoff(TimeSpan first, TimeSpan most, Random random)
{
    /// <summary>More would make no difference to any span.</summary>
    private const int MostDoublings = 40;

    private int doublings;

    public TimeSpan Next()
    {
        double ceiling = Math.Min(most.Ticks, first.Ticks * Math.Pow(2, doublings));
        doublings = Math.Min(doublings + 1, MostDoublings);
        return TimeSpan.FromTicks((long)(random.NextDouble() * ceiling));
    }

    public void Reset() => doublings = 0;
}
