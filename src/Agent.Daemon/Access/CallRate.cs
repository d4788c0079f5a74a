namespace Agent.Daemon.Access;

/// <summary>How often each client may ask: a bucket of tokens for each, filled at an even rate.</summary>
/// <param name="perSecond">Tokens a second.</param>
/// <param name="burst">Tokens that a bucket holds.</param>
/// <param name="time">Clock.</param>
internal sealed class CallRate(int perSecond, int burst, TimeProvider time)
{
    /// <summary>Above, full buckets are forgotten: they say nothing.</summary>
    private const int BucketsMax = 1024;

    private readonly Lock gate = new();
    private readonly Dictionary<string, (double Tokens, long At)> buckets = new(StringComparer.Ordinal);

    public int Buckets => buckets.Count;

    /// <summary>From now on; a bucket that holds more than <paramref name="most"/> loses it.</summary>
    public void Set(int rate, int most)
    {
        lock (gate)
        {
            (perSecond, burst) = (rate, most);
        }
    }

    /// <returns>Zero: taken. Otherwise nothing was taken, and there will be enough after so long.</returns>
    public TimeSpan Take(string client, int tokens)
    {
        lock (gate)
        {
            long now = time.GetTimestamp();
            if (buckets.Count >= BucketsMax && !buckets.ContainsKey(client))
            {
                Forget(now);
            }

            double held = Held(buckets.GetValueOrDefault(client, (burst, now)), now);
            double missing = Math.Min(tokens, burst) - held;
            buckets[client] = (missing > 0 ? held : held - tokens, now);
            return missing > 0 ? TimeSpan.FromSeconds(missing / perSecond) : TimeSpan.Zero;
        }
    }

    // Who has asked least recently of those who are not full goes too: the table stays bounded.
    private void Forget(long now)
    {
        foreach (string full in buckets.Where(one => Held(one.Value, now) >= burst).Select(one => one.Key).ToArray())
        {
            buckets.Remove(full);
        }

        if (buckets.Count >= BucketsMax)
        {
            buckets.Remove(buckets.MinBy(one => one.Value.At).Key);
        }
    }

    private double Held((double Tokens, long At) bucket, long now) =>
        Math.Min(burst, bucket.Tokens + (time.GetElapsedTime(bucket.At, now).TotalSeconds * perSecond));
}
