using Agent.Daemon.Config;
using Agent.Daemon.Logging;
using Agent.TestNet;
using Microsoft.Extensions.Logging;

namespace Agent.Tests.Logging;

/// <summary>Entries on their way to a journal that is there, gone, stuck or new.</summary>
public sealed class JournalTests : IDisposable
{
    private readonly DirectoryInfo folder = ScratchDirectory.Create("journal");
    private readonly StringWriter console = new();

    private string Place => Path.Combine(folder.FullName, "socket");

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("two\nlines", "two\nlines")]
    [InlineData("=\0\u001b[31m\n", "=\0\u001b[31m\n")]
    [InlineData("Gr\u00fc\u00dfe \ud83d\ude00", "Gr\u00fc\u00dfe \ud83d\ude00")]
    public void Any_value_arrives_as_it_is(string value, string arrives)
    {
        JournalEntry entry = JournalEntry.Parse(JournalWire.Encode(Entry(value) with { Fields = [("SG_X", value)] }));
        Assert.Equal((arrives, arrives), (entry["MESSAGE"], entry["SG_X"]));
    }

    [Fact]
    public void An_entry_has_the_fields_of_the_journal_and_ours()
    {
        JournalEntry entry = JournalEntry.Parse(JournalWire.Encode(
            Entry("m") with { Fields = [("SG_VNIC", "eni-1"), ("SG_EMPTY", "")], Exception = new IOException("why") }));
        Assert.Equal(
            new Dictionary<string, string>
            {
                ["MESSAGE"] = "m",
                ["PRIORITY"] = "4",
                ["SYSLOG_IDENTIFIER"] = "sg-agentd",
                ["MESSAGE_ID"] = EventIdentity.Of(205),
                ["SG_EVENT"] = "205",
                ["SG_EVENT_NAME"] = "VnicFailed",
                ["SG_VNIC"] = "eni-1",
                ["SG_EXCEPTION"] = "System.IO.IOException: why",
            },
            entry.Fields);
        JournalEntry library = JournalEntry.Parse(JournalWire.Encode(
            new LogEntry(default, LogLevel.Error, "Microsoft.Kestrel", "m")));
        Assert.Equal(("", "", "Microsoft.Kestrel"),
            (library["MESSAGE_ID"], library["SG_EVENT"], library["SG_LIBRARY"]));
    }

    /// <summary>More fields than any event has, all of them too long; characters of four bytes at the cut.</summary>
    [Fact]
    public void What_is_too_long_is_cut_between_characters_and_the_whole_fits_a_datagram()
    {
        string much = string.Concat(Enumerable.Repeat("\ud83d\ude00", 20_000));
        byte[] datagram = JournalWire.Encode(Entry("x" + much) with
        {
            Fields = [.. Enumerable.Range(0, 25).Select(i => ($"SG_{(char)('A' + i)}", much))],
        });
        Assert.InRange(datagram.Length, 100_000, 208 << 10);
        using FakeJournal journal = FakeJournal.Listen(Place);
        using var socket = new JournalSocket(Place, TimeProvider.System);
        Assert.True(socket.Send(datagram));
        string message = JournalEntry.Parse(datagram)["MESSAGE"];
        Assert.EndsWith($"\ud83d\ude00... ({80_001 - 16_381} bytes more)", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\ufffd', message);
    }

    [Fact]
    public async Task A_journal_that_is_started_anew_gets_what_comes_then_and_the_console_what_came_between()
    {
        using var sink = new JournalSink(
            new JournalSocket(Place, TimeProvider.System), new ConsoleSink(console, color: false));
        using (FakeJournal first = FakeJournal.Listen(Place))
        {
            Assert.True(sink.Write(Entry("one")));
            await first.WaitAsync("one", entry => entry["MESSAGE"] == "one");
        }

        Assert.True(sink.Write(Entry("two")));
        using (FakeJournal second = FakeJournal.Listen(Place))
        {
            Assert.True(sink.Write(Entry("three")));
            await second.WaitAsync("three", entry => entry["MESSAGE"] == "three");
            Assert.Single(second.Entries);
        }

        sink.Dispose();
        Assert.Equal("0001-01-01T00:00:00.000Z warn  205 two\n", console.ToString());
    }

    [Fact]
    public void A_journal_that_does_not_read_is_waited_for_once_and_then_no_more()
    {
        using FakeJournal journal = FakeJournal.Stuck(Place);
        using var socket = new JournalSocket(Place, TimeProvider.System);
        byte[] datagram = JournalWire.Encode(Entry("m"));
        int sent = 0;
        var took = System.Diagnostics.Stopwatch.StartNew();
        while (socket.Send(datagram))
        {
            sent++; // into the socket's queue
        }

        Assert.InRange(sent, 1, 1_000_000);
        for (int i = 0; i < 1000; i++)
        {
            Assert.False(socket.Send(datagram));
        }

        Assert.InRange(took.Elapsed, TimeSpan.FromMilliseconds(40), Pace.Scaled(TimeSpan.FromSeconds(5)));
    }

    [Theory]
    [InlineData(nameof(LogTarget.Auto), "9:4711", "socket:[4711]", true)]
    [InlineData(nameof(LogTarget.Auto), "9:4711", "socket:[4712]", false)]
    [InlineData(nameof(LogTarget.Auto), "9:4711", "/var/log/agent.log", false)]
    [InlineData(nameof(LogTarget.Auto), "9:4711", null, false)]
    [InlineData(nameof(LogTarget.Auto), null, "socket:[4711]", false)]
    [InlineData(nameof(LogTarget.Auto), "", "socket:[]", false)]
    [InlineData(nameof(LogTarget.Auto), "9:", "socket:[]", false)]
    [InlineData(nameof(LogTarget.Journal), null, null, true)]
    [InlineData(nameof(LogTarget.Console), "9:4711", "socket:[4711]", false)]
    public void Events_go_to_the_journal_where_systemd_says_that_it_reads(
        string to, string? stream, string? standardError, bool expected) => Assert.Equal(
        expected, LogTargets.IsJournal(new LogConfig { To = Enum.Parse<LogTarget>(to) }, stream, standardError));

    [Fact]
    public void A_line_for_people_is_one_line_that_steers_no_terminal()
    {
        LogEntry entry = Entry("a\nb\u001b[2J\u202e") with { Exception = new IOException("c\nd") };
        Assert.Equal(
            "0001-01-01T00:00:00.000Z warn  205 a | b\\u001b[2J\\u202e: System.IO.IOException: c | d",
            ConsoleSink.LineOf(entry, color: false));
        Assert.Equal(
            "0001-01-01T00:00:00.000Z \u001b[31merror\u001b[0m 205 m",
            ConsoleSink.LineOf(Entry("m") with { Level = LogLevel.Error }, color: true));
    }

    public void Dispose()
    {
        console.Dispose();
        folder.Delete(recursive: true);
    }

    private static LogEntry Entry(string message) => new(default, LogLevel.Warning, EventLog.Ours, message)
    {
        Event = new EventId(205, "VnicFailed"),
    };
}
