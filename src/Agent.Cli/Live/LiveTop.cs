using System.Threading.Channels;
using Agent.V1;

namespace Agent.Cli.Live;

/// <summary>Something that the live view answers to.</summary>
internal abstract record Happening
{
    private Happening()
    {
    }

    public sealed record Pressed(ConsoleKeyInfo Key) : Happening;

    /// <param name="Report">What came.</param>
    /// <param name="Watch">The watch that it came from.</param>
    public sealed record Reported(TopReport Report, int Watch) : Happening;

    /// <param name="Watch">The watch that ended.</param>
    /// <param name="Reason">Why; null: the agent had no more to say.</param>
    public sealed record Ended(int Watch, Exception? Reason) : Happening;

    /// <summary>The terminal is another one than before: larger, smaller, or back.</summary>
    public sealed record Changed : Happening;
}

/// <summary>Shows reports in a terminal until somebody has seen enough.</summary>
/// <param name="terminal">Where.</param>
/// <param name="agent">Whom it asks.</param>
/// <param name="request">What it asks; the order of sessions follows the view.</param>
/// <param name="color">Colours are wanted.</param>
internal sealed class LiveTop(LiveTerminal terminal, AgentConnection agent, WatchTopRequest request, bool color)
{
    private readonly Channel<Happening> happenings =
        Channel.CreateUnbounded<Happening>(new UnboundedChannelOptions { SingleReader = true });

    private (CancellationTokenSource Stop, Task Done)? watching;
    private int watches;

    /// <exception cref="CliException">The agent cannot be reached, or refused, or went away.</exception>
    /// <exception cref="OperationCanceledException">Interrupted.</exception>
    public async Task RunAsync(TopView view, CancellationToken cancel)
    {
        // Blocked in the terminal most of the time, and ended by the process's end.
        new Thread(ReadKeys) { IsBackground = true }.Start();
        using IDisposable changes = terminal.OnChange(() => happenings.Writer.TryWrite(new Happening.Changed()));
        terminal.Enter();
        try
        {
            await FollowAsync(view, cancel).ConfigureAwait(false);
        }
        finally
        {
            terminal.Leave();
            await StopAsync(watching).ConfigureAwait(false);
        }
    }

    private async Task FollowAsync(TopView view, CancellationToken cancel)
    {
        TopReport? shown = null;
        await WatchAsync(view.Order, cancel).ConfigureAwait(false);
        while (true)
        {
            (int width, int height) = terminal.Size();
            terminal.Draw(new TopFrame(width, height, color).Lines(view, shown));
            switch (await happenings.Reader.ReadAsync(cancel).ConfigureAwait(false))
            {
                case Happening.Pressed pressed:
                    if (view.Press(pressed.Key, TopFrame.Rows(view, shown)) is not { } next)
                    {
                        return;
                    }

                    TopOrder before = view.Order;
                    view = next;
                    if (before != view.Order)
                    {
                        await WatchAsync(view.Order, cancel).ConfigureAwait(false);
                    }

                    break;
                case Happening.Reported reported when reported.Watch == watches && !view.IsPaused:
                    shown = reported.Report;
                    break;
                case Happening.Changed:
                    terminal.Enter(); // after a stop, the shell's page is there
                    break;
                case Happening.Ended ended when ended.Watch == watches:
                    throw ended.Reason ?? new CliException(ExitCode.Unreachable, "unreachable",
                        "the agent ended the call", "See the agent's log; then try again.");
            }
        }
    }

    // Another order of sessions is another question. It is asked before the old one ends, so that the agent can answer
    // it with the looks that it has.
    private async Task WatchAsync(TopOrder order, CancellationToken cancel)
    {
        (CancellationTokenSource, Task)? before = watching;
        WatchTopRequest asked = request.Clone();
        asked.Order = order;
        var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        watching = (stop, AskAsync(asked, ++watches, stop.Token));
        await StopAsync(before).ConfigureAwait(false);
    }

    private static async Task StopAsync((CancellationTokenSource Stop, Task Done)? watching)
    {
        if (watching is { } one)
        {
            await one.Stop.CancelAsync().ConfigureAwait(false);
            await one.Done.ConfigureAwait(false);
            one.Stop.Dispose();
        }
    }

    private async Task AskAsync(WatchTopRequest asked, int number, CancellationToken cancel)
    {
        Exception? reason = null;
        try
        {
            await agent.WatchTopAsync(
                asked, report => happenings.Writer.TryWrite(new Happening.Reported(report, number)), cancel)
                .ConfigureAwait(false);
        }
        catch (Exception e) when (e is CliException or OperationCanceledException)
        {
            reason = e;
        }

        happenings.Writer.TryWrite(new Happening.Ended(number, reason));
    }

    private void ReadKeys()
    {
        try
        {
            while (true)
            {
                happenings.Writer.TryWrite(new Happening.Pressed(terminal.ReadKey()));
            }
        }
        catch (Exception e) when (e is InvalidOperationException or IOException)
        {
            // The terminal went away: reports go on until somebody ends us.
        }
    }
}
