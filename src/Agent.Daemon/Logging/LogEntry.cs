namespace Agent.Daemon.Logging;

/// <summary>One event, or one record, as it is written.</summary>
/// <param name="Time">When it happened.</param>
/// <param name="Level">How bad it is.</param>
/// <param name="Category">Who says it: <see cref="EventLog.Ours"/>, or a library.</param>
/// <param name="Message">For people; may have several lines.</param>
internal sealed record LogEntry(DateTimeOffset Time, LogLevel Level, string Category, string Message)
{
    /// <summary>Number and name in the catalogue; nothing: a library's line.</summary>
    public EventId Event { get; init; }

    /// <summary>Names of the journal (<see cref="FieldName"/>) and values; empty values say nothing.</summary>
    public IReadOnlyList<(string Name, string Value)> Fields { get; init; } = [];

    public Exception? Exception { get; init; }
}

/// <summary>Where events go. Never waits for long: nobody may be held up by who reads logs.</summary>
internal interface ILogSink : IDisposable
{
    /// <returns>False: it is lost.</returns>
    bool Write(LogEntry entry);
}
