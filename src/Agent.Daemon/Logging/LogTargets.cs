using Agent.Daemon.Config;

namespace Agent.Daemon.Logging;

/// <summary>Finds out where events go.</summary>
internal static class LogTargets
{
    private const int StandardError = 2;

    /// <summary>The log that the configuration asks for, in this process's surroundings.</summary>
    public static EventLog Open(LogConfig config, TimeProvider clock)
    {
        bool color = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
        var console = new ConsoleSink(Console.Error, color);
        bool journal = IsJournal(
            config, Environment.GetEnvironmentVariable("JOURNAL_STREAM"), LinkOf(StandardError));
        ILogSink sink = journal ? new JournalSink(new JournalSocket(config.JournalSocket, clock), console) : console;
        return new EventLog(config, sink, clock);
    }

    /// <param name="config">Configuration.</param>
    /// <param name="journalStream">
    /// $JOURNAL_STREAM, "device:inode" of the socket that systemd made the standard error of its service
    /// (systemd.exec(5)); null: not started by it.
    /// </param>
    /// <param name="standardError">What /proc says that it is: "socket:[inode]" for a socket.</param>
    public static bool IsJournal(LogConfig config, string? journalStream, string? standardError) => config.To switch
    {
        LogTarget.Journal => true,
        LogTarget.Console => false,
        // Whoever started us may have passed the variable on, and sent our standard error elsewhere.
        _ => journalStream?.Split(':') is [_, { Length: > 0 } inode] && standardError == $"socket:[{inode}]",
    };

    private static string? LinkOf(int descriptor)
    {
        try
        {
            return new FileInfo($"/proc/self/fd/{descriptor}").LinkTarget;
        }
        catch (IOException)
        {
            return null;
        }
    }
}
