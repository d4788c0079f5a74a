using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace Agent.TestNet;

/// <summary>Takes journald's place: a datagram socket, and the entries that came.</summary>
public sealed class FakeJournal : IDisposable
{
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(15));

    private readonly Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly ConcurrentQueue<JournalEntry> entries = new();
    private readonly Thread reading;

    private FakeJournal(string path)
    {
        Path = path;
        socket.ReceiveBufferSize = 8 << 20;
        socket.Bind(new UnixDomainSocketEndPoint(path));
        reading = new Thread(Read) { IsBackground = true };
    }

    public string Path { get; }

    /// <summary>All that came so far, the oldest first.</summary>
    public IReadOnlyList<JournalEntry> Entries => [.. entries];

    public static FakeJournal Listen(string path)
    {
        FakeJournal journal = Stuck(path);
        journal.reading.Start();
        return journal;
    }

    /// <summary>One that does not read.</summary>
    public static FakeJournal Stuck(string path) => new(path);

    /// <summary>The first entry that fits, once it has come.</summary>
    public async Task<JournalEntry> WaitAsync(string what, Func<JournalEntry, bool> fits)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            if (Entries.FirstOrDefault(fits) is { } entry)
            {
                return entry;
            }

            if (waited.Elapsed > Patience)
            {
                throw new TimeoutException($"in {Patience}, this did not come: {what}; there are:\n"
                    + string.Join('\n', Entries.Select(one => $"{one["SG_EVENT"]} {one["MESSAGE"]}")));
            }

            await Task.Delay(10);
        }
    }

    public void Dispose()
    {
        socket.Dispose();
        File.Delete(Path);
        if (reading.IsAlive)
        {
            reading.Join();
        }
    }

    private void Read()
    {
        byte[] buffer = new byte[1 << 20];
        try
        {
            while (true)
            {
                entries.Enqueue(JournalEntry.Parse(buffer.AsSpan(0, socket.Receive(buffer))));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }
}

/// <summary>An entry's fields; a field that is not there is empty.</summary>
public sealed class JournalEntry
{
    private readonly Dictionary<string, string> fields = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, string> Fields => fields;

    public string this[string name] => fields.GetValueOrDefault(name, "");

    /// <summary>Reads journald's format strictly: what it would not take is an exception.</summary>
    public static JournalEntry Parse(ReadOnlySpan<byte> datagram)
    {
        var entry = new JournalEntry();
        while (!datagram.IsEmpty)
        {
            int line = datagram.IndexOf((byte)'\n');
            int equals = datagram[..line].IndexOf((byte)'=');
            string name = Encoding.ASCII.GetString(datagram[..(equals >= 0 ? equals : line)]);
            if (name.Length is 0 or > 64 || !char.IsAsciiLetterUpper(name[0])
                || !name.All(c => char.IsAsciiLetterUpper(c) || char.IsAsciiDigit(c) || c == '_'))
            {
                throw new FormatException($"not a field's name: '{name}'");
            }

            ReadOnlySpan<byte> value;
            if (equals >= 0)
            {
                value = datagram[(equals + 1)..line];
                datagram = datagram[(line + 1)..];
            }
            else
            {
                int length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(datagram[(line + 1)..]));
                int begin = line + 1 + sizeof(ulong);
                value = datagram.Slice(begin, length);
                if (datagram[begin + length] != '\n')
                {
                    throw new FormatException($"{name} does not end with a line feed");
                }

                datagram = datagram[(begin + length + 1)..];
            }

            entry.fields.Add(name, Encoding.UTF8.GetString(value));
        }

        return entry;
    }
}
