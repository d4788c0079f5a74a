using System.Collections.Immutable;
using System.Globalization;
using Agent.Daemon.Config;

namespace Agent.Daemon.Logging;

/// <summary>The way of every event: level, bound, sink. Counts what it writes and what it does not.</summary>
internal sealed class EventLog : ILoggerProvider
{
    /// <summary>Category of our own events, and the journal's identifier.</summary>
    public const string Ours = "sg-agentd";

    /// <summary>How often it is looked whether something was held back.</summary>
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(5);

    private readonly ILogSink sink;
    private readonly TimeProvider clock;
    private readonly EventBound bound;
    private readonly ILogger own;
    private readonly ITimer looking;
    private readonly long[] written = new long[(int)LogLevel.None];
    private long suppressed;
    private long lost;

    public EventLog(LogConfig config, ILogSink sink, TimeProvider clock)
    {
        (this.sink, this.clock) = (sink, clock);
        bound = new EventBound(config.Burst, clock);
        own = CreateLogger(Ours);
        Level = new LevelSwitch(config.Level, clock, Say);
        looking = clock.CreateTimer(_ => Sum(all: false), null, LookInterval, LookInterval);
    }

    public LevelSwitch Level { get; }

    /// <summary>Events that the bound held back.</summary>
    public long Suppressed => Interlocked.Read(ref suppressed);

    /// <summary>Events and records that nobody took.</summary>
    public long Lost => Interlocked.Read(ref lost);

    /// <summary>Events and records of a level that were written.</summary>
    public long Written(LogLevel level) => Interlocked.Read(ref written[(int)level]);

    /// <summary>A logger for <see cref="Ours"/>, or for a library: of those, warnings and worse are written.</summary>
    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    /// <summary>Writes something that has a bound of its own, whatever the level is.</summary>
    /// <returns>False: it is lost.</returns>
    public bool Record(LogEntry entry)
    {
        bool taken = sink.Write(entry);
        Interlocked.Increment(ref (taken ? ref written[(int)entry.Level] : ref lost));
        return taken;
    }

    /// <summary>Takes another level and bound; where events go stays.</summary>
    public void Configure(LogConfig config)
    {
        bound.Set(config.Burst);
        if (config.Level != Level.State.Configured)
        {
            Level.Configure(config.Level);
        }
    }

    public void Dispose()
    {
        looking.Dispose();
        Level.Dispose();
        Sum(all: true);
        sink.Dispose();
    }

    private bool IsEnabled(LogLevel level, bool isOurs) => level != LogLevel.None && level >= (isOurs
        ? Level.State.Current switch
        {
            EventLevel.Debug => LogLevel.Debug,
            EventLevel.Info => LogLevel.Information,
            EventLevel.Warning => LogLevel.Warning,
            _ => LogLevel.Error,
        }
        : LogLevel.Warning);

    // Who asked for debug events wants all of them, and has set a time.
    private void Write(LogEntry entry)
    {
        if (entry.Level > LogLevel.Debug && !bound.Admits(entry.Event))
        {
            Interlocked.Increment(ref suppressed);
            return;
        }

        Record(entry);
    }

    private void Sum(bool all)
    {
        foreach ((EventId kind, long count) in bound.Take(all))
        {
            own.EventsSuppressed(count, kind.Name ?? "of libraries", kind.Id, (int)EventBound.Window.TotalSeconds);
        }
    }

    private void Say(LevelState state) => own.LevelChanged(
        state.Current.ToString().ToLowerInvariant(), state.Until is { } until
            ? $"until {until.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture)}"
            : "as long as the agent runs");

    /// <summary>Turns what a <c>[LoggerMessage]</c> method says into an entry.</summary>
    private sealed class Logger(EventLog log, string category) : ILogger
    {
        private readonly bool isOurs = category == Ours;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => log.IsEnabled(logLevel, isOurs);

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
            {
                return;
            }

            // A library's numbers are not of our catalogue, and its arguments are not ours to spread.
            log.Write(new LogEntry(log.clock.GetUtcNow(), logLevel, category, formatter(state, exception))
            {
                Event = isOurs ? eventId : default,
                Fields = isOurs && state is IReadOnlyList<KeyValuePair<string, object?>> arguments
                    ? FieldsOf(arguments) : [],
                Exception = exception,
            });
        }

        private static ImmutableArray<(string, string)> FieldsOf(
            IReadOnlyList<KeyValuePair<string, object?>> arguments) =>
        [
            .. arguments.Where(argument => argument.Key != "{OriginalFormat}")
                .Select(argument => (FieldName.Of(argument.Key), TextOf(argument.Value))),
        ];

        private static string TextOf(object? value) => value switch
        {
            null => "",
            bool flag => flag ? "true" : "false",
            double number => number.ToString("0.###", CultureInfo.InvariantCulture),
            IFormattable other => other.ToString(format: null, CultureInfo.InvariantCulture),
            _ => value.ToString() ?? "",
        };
    }
}
