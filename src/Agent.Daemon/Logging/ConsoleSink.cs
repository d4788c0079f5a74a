using System.Globalization;
using System.Text;
using System.Threading.Channels;

namespace Agent.Daemon.Logging;

/// <summary>
/// A line for each entry. A thread of its own writes them: a pager that somebody stopped holds up nothing.
/// </summary>
internal sealed class ConsoleSink : ILogSink
{
    /// <summary>Lines that the reader may be behind.</summary>
    private const int Behind = 4096;

    /// <summary>For the last lines, when the daemon ends.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly TextWriter writer;
    private readonly bool color;
    private readonly Thread thread;

    private readonly Channel<string> lines = Channel.CreateBounded<string>(
        new BoundedChannelOptions(Behind) { SingleReader = true });

    /// <param name="writer">Where lines go.</param>
    /// <param name="color">Escape sequences may be written.</param>
    public ConsoleSink(TextWriter writer, bool color)
    {
        (this.writer, this.color) = (writer, color);
        thread = new Thread(Run) { IsBackground = true, Name = "log" };
        thread.Start();
    }

    public bool Write(LogEntry entry) => lines.Writer.TryWrite(LineOf(entry, color));

    public void Dispose()
    {
        lines.Writer.TryComplete();
        thread.Join(Patience);
    }

    /// <summary>Time, level, number and message; nothing in it steers a terminal.</summary>
    public static string LineOf(LogEntry entry, bool color)
    {
        (string word, string paint) = entry.Level switch
        {
            LogLevel.Critical or LogLevel.Error => ("error", "\e[31m"),
            LogLevel.Warning => ("warn", "\e[33m"),
            LogLevel.Information => ("info", ""),
            _ => ("debug", "\e[2m"),
        };
        string text = entry.Exception is null ? entry.Message : $"{entry.Message}: {entry.Exception}";
        string who = entry.Event.Id == 0 ? entry.Category : entry.Event.Id.ToString(CultureInfo.InvariantCulture);
        string level = color && paint.Length > 0 ? $"{paint}{word}\e[0m" : word;
        return string.Create(CultureInfo.InvariantCulture,
            $"{entry.Time.UtcDateTime:yyyy-MM-ddTHH:mm:ss.fffZ} {level}{new string(' ', 5 - word.Length)} {who} ")
            + Visible(text);
    }

    private static string Visible(string text)
    {
        var line = new StringBuilder(text.Length);
        foreach (char c in text.ReplaceLineEndings(" | "))
        {
            if (char.IsControl(c) || char.GetUnicodeCategory(c) == UnicodeCategory.Format)
            {
                line.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            }
            else
            {
                line.Append(c);
            }
        }

        return line.ToString();
    }

    private void Run()
    {
        try
        {
            while (lines.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
            {
                while (lines.Reader.TryRead(out string? line))
                {
                    writer.WriteLine(line);
                }

                writer.Flush();
            }
        }
        catch (IOException)
        {
            lines.Writer.TryComplete(); // nobody reads any more: what follows is lost, and counted
        }
    }
}
