using System.Diagnostics;
using System.Text;

namespace Agent.Tests.Fuzz;

/// <summary>An input that a reader does not bear.</summary>
/// <param name="Target">The reader.</param>
/// <param name="Seed">Of the round; it comes to this input again.</param>
/// <param name="Number">Of the input in it.</param>
/// <param name="Input">As short as it was made.</param>
/// <param name="Error">What happened.</param>
internal sealed record FuzzFinding(FuzzTarget Target, int Seed, int Number, byte[] Input, Exception Error)
{
    public override string ToString() => $"""
        {Target.Name}, seed {Seed}, input {Number}: {Error}

        {Convert.ToHexStringLower(Input)}
        {Shown}

        make fuzz TARGET={Target.Name} SEED={Seed}
        """;

    /// <summary>A log with other bytes in it is no text to the tools that read it.</summary>
    private string Shown => string.Concat(
        Encoding.UTF8.GetString(Input).Select(c => char.IsControl(c) && c != '\n' ? '.' : c));
}

/// <summary>
/// Rounds of broken inputs. Within a round, what comes to something new is kept and broken further; so a round finds
/// its way behind checks that no single mutation passes. One seed decides all of it.
/// </summary>
internal sealed class Fuzzer(FuzzTarget target, IReadOnlyList<byte[]> corpus)
{
    private const int MostBytes = 64 << 10;
    private const int MostKept = 5000;

    /// <summary>Of so many inputs that came to something new, one is looked at more closely.</summary>
    private const int DeepEvery = 6;

    /// <summary>Of a reading that takes a millisecond at most, on a busy machine.</summary>
    private static readonly TimeSpan Slow = TimeSpan.FromSeconds(2);

    /// <summary>One that takes longer does not end.</summary>
    private static readonly TimeSpan Endless = TimeSpan.FromSeconds(60);

    private readonly HashSet<string> seen = new(StringComparer.Ordinal);
    private readonly HashSet<string> known = new(StringComparer.Ordinal);
    private volatile byte[] current = [];
    private long inputs;

    public long Inputs => Interlocked.Read(ref inputs);

    /// <summary>Different things that inputs came to.</summary>
    public int Kinds => seen.Count;

    /// <summary>One round, on a thread of its own: a reading that does not end is found too.</summary>
    /// <param name="seed">Decides.</param>
    /// <param name="most">Inputs.</param>
    /// <param name="isOver">Asked before each.</param>
    public FuzzFinding? Round(int seed, int most, Func<bool> isOver)
    {
        FuzzFinding? found = null;
        Exception? broken = null;
        var thread = new Thread(() =>
        {
            try
            {
                found = Search(seed, most, isOver);
            }
            catch (Exception e)
            {
                broken = e;
            }
        })
        {
            IsBackground = true,
            Name = $"fuzz {target.Name}",
        };
        thread.Start();
        for (long last = -1; !thread.Join(Endless);)
        {
            if (last == Inputs)
            {
                return new FuzzFinding(
                    target, seed, (int)last, current, new FuzzException("it does not end"));
            }

            last = Inputs;
        }

        return broken is null ? found : throw new InvalidOperationException($"{target.Name}, seed {seed}", broken);
    }

    /// <summary>What is wrong with a reading; null: nothing is.</summary>
    public Exception? Judge(byte[] input, out string came)
    {
        current = input;
        Interlocked.Increment(ref inputs);
        Exception? error = Measured(input, out came);
        return error is not FuzzException { Message: var cost } || !cost.StartsWith("cost", StringComparison.Ordinal)
            ? error : Measured(input, out came); // the first time, code is compiled and tables are made
    }

    private FuzzFinding? Search(int seed, int most, Func<bool> isOver)
    {
        var random = new Random(seed);
        var pool = new List<byte[]>(corpus);
        seen.Clear();
        foreach (byte[] whole in corpus)
        {
            Exception? error = Judge(whole, out string came);
            seen.Add(came);
            if (error is not null)
            {
                return new FuzzFinding(target, seed, -1, whole, error);
            }
        }

        for (int i = 0; i < most && !isOver(); i++)
        {
            byte[] input = target.Mutate(Pick(pool, random), Pick(pool, random), random);
            input = input.Length > MostBytes ? input[..MostBytes] : input;
            Exception? error = Judge(input, out string came);
            if (error is null && seen.Add(came))
            {
                error = random.Next(DeepEvery) == 0 ? Caught(() => target.ReadDeeply(input)) : null;
                pool.Add(input);
                pool.RemoveRange(corpus.Count, Math.Max(0, pool.Count - corpus.Count - MostKept));
            }

            // What was found is not found again: another round looks behind it.
            if (error is not null && known.Add(KindOf(error)))
            {
                return new FuzzFinding(target, seed, i, Shorter(input, error), error);
            }
        }

        return null;
    }

    // What was new last leads on; what is whole leads everywhere.
    private byte[] Pick(List<byte[]> pool, Random random) => random.Next(3) switch
    {
        0 => corpus[random.Next(corpus.Count)],
        1 => pool[^(1 + random.Next(Math.Min(pool.Count, 50)))],
        _ => pool[random.Next(pool.Count)],
    };

    private Exception? Measured(byte[] input, out string came)
    {
        string said = "";
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        long started = Stopwatch.GetTimestamp();
        Exception? error = Caught(() => said = target.Read(input));
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        TimeSpan took = Stopwatch.GetElapsedTime(started);
        came = said;
        long allowed = target.LeastAllowance + input.Length * target.AllowancePerByte;
        return error ?? (allocated > allowed
            ? new FuzzException($"cost: {allocated} bytes were allocated for {input.Length}; {allowed} are allowed")
            : took > Slow ? new FuzzException($"cost: {took.TotalSeconds} s for {input.Length} bytes") : null);
    }

    private static Exception? Caught(Action read)
    {
        try
        {
            read();
            return null;
        }
        catch (Exception e)
        {
            return e;
        }
    }

    /// <summary>Without what can be taken away, so that the same goes wrong still.</summary>
    private byte[] Shorter(byte[] input, Exception error)
    {
        long started = Stopwatch.GetTimestamp();
        for (int size = Math.Max(1, input.Length / 2); size > 0; size /= 2)
        {
            for (int at = 0; at + size <= input.Length;)
            {
                if (Stopwatch.GetElapsedTime(started) > TimeSpan.FromSeconds(10))
                {
                    return input;
                }

                byte[] without = [.. input[..at], .. input[(at + size)..]];
                Exception? again = Judge(without, out _) ?? Caught(() => target.ReadDeeply(without));
                if (again is not null && KindOf(again) == KindOf(error))
                {
                    input = without;
                }
                else
                {
                    at += size;
                }
            }
        }

        return input;
    }

    private static string KindOf(Exception e) => $"{e.GetType().Name} {FuzzTarget.Kind(e.Message)} " + (
        e.StackTrace?.Split('\n').FirstOrDefault(line => line.Contains("Agent.", StringComparison.Ordinal)
            && !line.Contains("Agent.Tests", StringComparison.Ordinal)) ?? "");
}
