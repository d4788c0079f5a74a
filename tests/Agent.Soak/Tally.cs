using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace Agent.Soak;

/// <summary>What was done and seen, from many tasks.</summary>
internal sealed class Tally
{
    /// <summary>More of them say nothing new.</summary>
    private const int FaultsKept = 50;

    private readonly ConcurrentDictionary<string, long> counts = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<string> faults = new();
    private readonly ConcurrentQueue<double> answers = new();
    private readonly long began = Stopwatch.GetTimestamp();

    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(began);

    public IReadOnlyDictionary<string, long> Counts => counts;

    /// <summary>What must not be, with when.</summary>
    public IReadOnlyCollection<string> Faults => faults;

    public void Count(string what) => counts.AddOrUpdate(what, 1, (_, count) => count + 1);

    public void Fault(string what)
    {
        if (faults.Count < FaultsKept)
        {
            faults.Enqueue(string.Create(CultureInfo.InvariantCulture, $"{Elapsed.TotalSeconds:0.0} s: {what}"));
        }
    }

    /// <summary>Counts a packet, session or exchange that has to pass.</summary>
    public void Allowed(string what, bool passed)
    {
        Count($"allowed: {Kind(what)}");
        if (!passed)
        {
            Fault($"lost although allowed: {what}");
        }
    }

    /// <summary>Counts one that must not.</summary>
    public void Forbidden(string what, bool passed)
    {
        Count($"forbidden: {Kind(what)}");
        if (passed)
        {
            Fault($"passed although forbidden: {what}");
        }
    }

    /// <summary>From sending a step to its answer.</summary>
    public void Answered(TimeSpan time) => answers.Enqueue(time.TotalMilliseconds);

    /// <returns>How many since the last call, and their mean.</returns>
    public (int Count, double Mean) TakeAnswers()
    {
        double sum = 0;
        int count = 0;
        while (answers.TryDequeue(out double one))
        {
            sum += one;
            count++;
        }

        return (count, count == 0 ? 0 : sum / count);
    }

    // "UDP session g1 -> g2" counts as "UDP session".
    private static string Kind(string what) => string.Join(
        ' ', what.Split(' ').TakeWhile(word => !char.IsDigit(word[^1]) && word != "outside"));
}
