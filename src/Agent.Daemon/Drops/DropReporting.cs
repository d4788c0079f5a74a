using Agent.Compiler;
using Agent.Daemon.Config;
using Agent.Daemon.Enforcement;
using Agent.Daemon.Logging;
using Agent.Netlink.Nflog;
using Agent.Netlink.Route;
using Prometheus;

namespace Agent.Daemon.Drops;

/// <summary>All that has to do with reported packets: it reads and writes, and nothing waits for it.</summary>
internal sealed class DropReporting : IDisposable
{
    private readonly DaemonConfig config;
    private readonly DropMetrics metrics;
    private readonly DropReader reader;
    private readonly EventLog events;
    private readonly ILogger log;
    private readonly TimeProvider clock;
    private readonly DropWatch? watch;

    /// <param name="config">Configuration.</param>
    /// <param name="kernel">Whether the kernel reports at all.</param>
    /// <param name="registry">Where the series go.</param>
    /// <param name="clock">Time.</param>
    /// <param name="events">Log.</param>
    public DropReporting(
        DaemonConfig config, HostFacts kernel, CollectorRegistry registry, TimeProvider clock, EventLog events)
    {
        (this.config, this.events, this.clock) = (config, events, clock);
        log = events.CreateLogger(EventLog.Ours);
        metrics = new DropMetrics(registry);
        Hub = new DropHub(config.Drops.Kept, metrics.Lost);
        reader = new DropReader(() => HostLinks.Of(LinkMonitor.ReadAll()), clock);
        CompilerSettings rules = config.Compiler;
        bool wanted = rules.DropRate > 0 || !rules.FlowVnics.IsEmpty || !rules.FlowRules.IsEmpty;
        watch = wanted && !kernel.LogFamilies.IsEmpty
            ? DropWatch.Start(rules.LogGroup, NflogSettings.Default, reader, Hub, metrics, log) : null;
    }

    public DropHub Hub { get; }

    /// <summary>Rates that were none at the start: nobody would read what rules reported.</summary>
    public bool Fixes(string setting) => watch is null && setting.StartsWith("drops.", StringComparison.Ordinal);

    /// <summary>Follows the rulesets and writes records until cancelled.</summary>
    public Task RunAsync(Func<long, CancellationToken, Task<AgentState>> next, CancellationToken cancel) =>
        Task.WhenAll(
            DropWatch.FollowAsync(reader, next, cancel),
            DropSinks.RunAsync(config.Drops, Hub, metrics, clock, events, log, cancel));

    public void Dispose() => watch?.Dispose();
}
