using System.Globalization;

namespace Agent.Benchmarks.Packets;

/// <summary>One number of one case, measured in each round: nanoseconds of processor time per packet.</summary>
internal sealed class Samples
{
    private readonly List<double> rounds = [];

    public IReadOnlyList<double> Rounds => rounds;

    public double Median => At(rounds, 0.5);

    /// <summary>Half of what lies between the quartiles, as a part of the median.</summary>
    public double Spread => (At(rounds, 0.75) - At(rounds, 0.25)) / 2 / Median;

    public void Add(double nanoseconds) => rounds.Add(nanoseconds);

    /// <summary>
    /// What this costs beyond another series: the median of the differences within a round, so that what the machine
    /// did meanwhile is taken away.
    /// </summary>
    public double Over(Samples other) => At([.. rounds.Zip(other.rounds, (one, two) => one - two)], 0.5);

    /// <summary>The same as a part of the other series.</summary>
    public double PartOver(Samples other) => Over(other) / other.Median;

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Median:N0} ns ±{100 * Spread:0.0} %");

    private static double At(IEnumerable<double> values, double part)
    {
        double[] sorted = [.. values.Order()];
        double place = part * (sorted.Length - 1);
        int below = (int)place;
        double next = sorted[Math.Min(below + 1, sorted.Length - 1)];
        return sorted[below] + (place - below) * (next - sorted[below]);
    }
}

/// <summary>A thread of its own on one CPU, on which bursts are sent in turn.</summary>
internal static class Turns
{
    /// <summary>Sends on the first; what else runs (churn) goes to the last one.</summary>
    public const int Cpu = 0;

    /// <summary>Runs every case once without counting, then all of them in each round: A B C, A B C, ...</summary>
    public static void Take(int rounds, IReadOnlyList<(Samples Into, Func<double> Measure)> cases) => Pinned(() =>
    {
        foreach ((_, Func<double> measure) in cases)
        {
            measure();
        }

        for (int round = 0; round < rounds; round++)
        {
            foreach ((Samples into, Func<double> measure) in cases)
            {
                into.Add(measure());
            }
        }
    });

    public static void Pinned(Action action, int cpu = Cpu)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                Agent.TestNet.FrameSender.PinThread(cpu);
                action();
            }
            catch (Exception error) when (error is InvalidOperationException or System.ComponentModel.Win32Exception)
            {
                failure = error;
            }
        });
        thread.Name = "bursts";
        thread.Start();
        thread.Join();
        if (failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }
    }
}
