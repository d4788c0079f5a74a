using System.Collections.Immutable;
using System.Threading.Channels;
using Agent.Daemon.Config;

namespace Agent.Daemon.Supervision;

/// <summary>
/// Reads the configuration again when it is asked to, and hands on what may change while the daemon runs.
/// </summary>
/// <param name="first">What the daemon began with.</param>
/// <param name="read">Reads all sources again.</param>
/// <param name="manager">Told when it begins and ends.</param>
/// <param name="clock">Time, for people.</param>
/// <param name="log">Told what changed, what waits for a restart, and each fault.</param>
internal sealed class Reloading(
    ConfigResult first, Func<ConfigResult> read, ServiceNotifier manager, TimeProvider clock, ILogger log)
{
    // Whoever asks while it is being read asks for one more reading, and no more than one.
    private readonly Channel<bool> asked = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    private volatile EffectiveConfig current = EffectiveConfig.Of(first, clock.GetUtcNow());

    public EffectiveConfig Current => current;

    /// <summary>Settings that this daemon cannot change, beside those that none can.</summary>
    public Func<string, bool> IsFixed { get; set; } = _ => false;

    public void Ask() => asked.Writer.TryWrite(true);

    /// <summary>Serves until cancelled.</summary>
    /// <param name="apply">Brings settings into force, and ends when they are.</param>
    /// <param name="cancel">Ends it.</param>
    public async Task RunAsync(Func<DaemonConfig, Task> apply, CancellationToken cancel)
    {
        try
        {
            while (await asked.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
            {
                asked.Reader.TryRead(out _);
                manager.Reloading();
                await ReadAsync(apply).ConfigureAwait(false);
                manager.Ready();
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task ReadAsync(Func<DaemonConfig, Task> apply)
    {
        EffectiveConfig before = current;
        EffectiveConfig next = before.After(read(), IsFixed, clock.GetUtcNow());
        current = next;
        if (!next.Faults.IsEmpty)
        {
            log.NotReloaded(next.Faults.Length);
            foreach (ConfigFault fault in next.Faults)
            {
                log.FaultyConfiguration(fault.ToString());
            }

            return;
        }

        await apply(next.Config).ConfigureAwait(false);
        ImmutableArray<string> changed = [.. next.Settings
            .Zip(before.Settings, (now, then) => now.Value == then.Value ? null : $"{now.Key}={now.Value}")
            .OfType<string>()];
        log.Reloaded(changed.Length, string.Join(' ', changed));
        foreach (Setting pending in next.Pending.Values)
        {
            string inForce = next.Settings.First(one => one.Key == pending.Key).Value;
            log.RestartNeeded(pending.Key, Quoted(inForce), Quoted(pending.Value));
        }
    }

    private static string Quoted(string value) => $"'{value}'";
}
