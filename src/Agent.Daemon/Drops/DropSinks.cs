using Agent.Daemon.Config;
using Agent.Daemon.Logging;

namespace Agent.Daemon.Drops;

/// <summary>Writes records where the configuration says: as lines of JSON to the journal, and to a file.</summary>
internal static class DropSinks
{
    /// <summary>A file that cannot be written is tried again so often; records are lost meanwhile.</summary>
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(1);

    public static async Task RunAsync(
        DropsConfig config, DropHub hub, DropMetrics metrics, TimeProvider clock, EventLog events, ILogger log,
        CancellationToken cancel)
    {
        await Task.WhenAll(
            config.Journal ? JournalAsync(hub, metrics, events, cancel) : Task.CompletedTask,
            config.File.Length > 0 ? FileAsync(config, hub, metrics, clock, log, cancel) : Task.CompletedTask)
            .ConfigureAwait(false);
    }

    private static async Task JournalAsync(
        DropHub hub, DropMetrics metrics, EventLog events, CancellationToken cancel)
    {
        using DropHub.DropReading reading = hub.Read(DropMetrics.Journal, _ => true).Reading;
        try
        {
            await foreach ((DropRecord record, long lost) in
                reading.Records.ReadAllAsync(cancel).ConfigureAwait(false))
            {
                if (!events.Record(DropEvent.Of(record, lost)))
                {
                    metrics.Lost(DropMetrics.Journal, 1);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private static async Task FileAsync(
        DropsConfig config, DropHub hub, DropMetrics metrics, TimeProvider clock, ILogger log,
        CancellationToken cancel)
    {
        using DropHub.DropReading reading = hub.Read(DropMetrics.File, _ => true).Reading;
        using var file = new DropFile(config.File, (long)config.FileMaxMegabytes << 20, config.FileKeep);
        string? fault = null;
        long faultAt = 0;
        long unwritten = 0;
        try
        {
            await foreach ((DropRecord record, long lost) in
                reading.Records.ReadAllAsync(cancel).ConfigureAwait(false))
            {
                unwritten += lost;
                bool tries = fault is null || clock.GetElapsedTime(faultAt) > Retry;
                string? now = tries ? file.Write(DropJson.Line(record, unwritten)) : fault;
                if (now is null)
                {
                    (fault, unwritten) = (null, 0);
                    continue;
                }

                metrics.Lost(DropMetrics.File, 1);
                unwritten++;
                if (tries)
                {
                    if (now != fault)
                    {
                        log.DropFileUnwritable(config.File, now);
                    }

                    (fault, faultAt) = (now, clock.GetTimestamp());
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
