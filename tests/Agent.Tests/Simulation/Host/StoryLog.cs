using Agent.Daemon.Enforcement;
using Agent.Netlink;
using Microsoft.Extensions.Logging;

namespace Agent.Tests.Simulation.Host;

/// <summary>The last steps of a run, and among them what the daemon says.</summary>
internal sealed class StoryLog(int length) : ILogger
{
    private const int LoopFailed = 400;
    private const int StateDamaged = 101;
    private const int DriftRepaired = 301;
    private readonly Queue<string> lines = [];

    /// <summary>The first thing that the daemon says and never should; null: nothing.</summary>
    public string? Complaint { get; private set; }

    /// <summary>Somebody else changed our tables: it may be said.</summary>
    public bool IsHarmed { get; set; }

    /// <summary>The disk was not read: it may be said that nothing is known.</summary>
    public Func<bool> IsUnread { get; init; } = () => false;

    public void Tell(string line)
    {
        lines.Enqueue(line);
        if (lines.Count > length)
        {
            lines.Dequeue();
        }
    }

    public override string ToString() => string.Join('\n', lines);

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        string text = formatter(state, exception);
        Tell($"    {text}{(exception is null ? "" : $": {exception.Message}")}");
        bool isOurFault = eventId.Id == LoopFailed && exception is not (NetlinkException or EnforcementFailedException);
        if (isOurFault || (eventId.Id == StateDamaged && !IsUnread()) || (eventId.Id == DriftRepaired && !IsHarmed))
        {
            Complaint ??= $"{text}: {exception}";
        }
    }
}
