namespace Agent.Daemon.Logging;

/// <summary>Entries with all their fields to the journal; what it does not take, as a line to the console.</summary>
internal sealed class JournalSink(JournalSocket journal, ConsoleSink console) : ILogSink
{
    public bool Write(LogEntry entry) => journal.Send(JournalWire.Encode(entry)) || console.Write(entry);

    public void Dispose()
    {
        journal.Dispose();
        console.Dispose();
    }
}
