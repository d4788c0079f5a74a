using System.Globalization;

namespace Agent.Cli.Live;

/// <summary>A line on a terminal that moves while something takes long, and leaves nothing behind.</summary>
/// <param name="terminal">Standard error.</param>
/// <param name="width">Its columns.</param>
/// <param name="clock">When, and for how long.</param>
internal sealed class Progress(TextWriter terminal, int width, TimeProvider clock)
{
    private const string Frames = @"-\|/";
    private const string Clear = "\r\e[K";

    /// <summary>What is done sooner says nothing.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromMilliseconds(400);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(150);

    /// <param name="what">Such as "proving".</param>
    /// <param name="work">What is waited for.</param>
    public async Task<T> WhileAsync<T>(string what, Task<T> work)
    {
        using var ended = new CancellationTokenSource();
        Task drawing = DrawAsync(what, ended.Token);
        try
        {
            return await work.ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await drawing.ConfigureAwait(false);
        }
    }

    private async Task DrawAsync(string what, CancellationToken ended)
    {
        long begun = clock.GetTimestamp();
        bool drawn = false;
        try
        {
            await Task.Delay(Silence, clock, ended).ConfigureAwait(false);
            using var timer = new PeriodicTimer(Interval, clock);
            for (int frame = 0; ; frame++)
            {
                string line = string.Create(CultureInfo.InvariantCulture,
                    $"{Frames[frame % Frames.Length]} {what}, {clock.GetElapsedTime(begun).TotalSeconds:0} s");
                terminal.Write(Clear + line[..Math.Min(line.Length, Math.Max(1, width - 1))]);
                terminal.Flush();
                drawn = true;
                await timer.WaitForNextTickAsync(ended).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            terminal.Write(drawn ? Clear : "");
            terminal.Flush();
        }
    }
}
