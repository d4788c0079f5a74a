using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;

namespace Agent.TestNet;

/// <summary>Takes systemd's place: the socket of $NOTIFY_SOCKET, and what came, a line each with its time.</summary>
public sealed class NotifySocket : IDisposable
{
    private static readonly TimeSpan Patience = Pace.Scaled(TimeSpan.FromSeconds(60));

    private readonly Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly ConcurrentQueue<(TimeSpan At, string Line)> lines = new();
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private readonly Thread reading;

    public NotifySocket(string path)
    {
        Path = path;
        socket.Bind(new UnixDomainSocketEndPoint(path));
        File.SetUnixFileMode(path, (UnixFileMode)0b110_110_110);
        reading = new Thread(Read) { IsBackground = true };
        reading.Start();
    }

    public string Path { get; }

    public TimeSpan Now => clock.Elapsed;

    /// <summary>All lines, the oldest first.</summary>
    public IReadOnlyList<string> Lines => [.. lines.Select(one => one.Line)];

    /// <summary>When a line like this came last; null: it did not.</summary>
    public TimeSpan? Last(string line) => lines.Where(one => one.Line == line).Select(one => (TimeSpan?)one.At).Max();

    /// <summary>How many lines like this have come.</summary>
    public int Count(string line) => lines.Count(one => one.Line == line);

    public async Task<string> WaitAsync(string what, Func<string, bool> fits, int after = 0)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            if (Lines.Skip(after).FirstOrDefault(fits) is { } line)
            {
                return line;
            }

            if (waited.Elapsed > Patience)
            {
                throw new TimeoutException($"in {Patience}, this did not come: {what}; there are:\n"
                    + string.Join('\n', Lines.Skip(after)));
            }

            await Task.Delay(10);
        }
    }

    public void Dispose()
    {
        socket.Dispose();
        File.Delete(Path);
        reading.Join();
    }

    private void Read()
    {
        byte[] buffer = new byte[1 << 16];
        try
        {
            while (true)
            {
                string text = Encoding.UTF8.GetString(buffer, 0, socket.Receive(buffer));
                foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                {
                    lines.Enqueue((clock.Elapsed, line));
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The end.
        }
    }
}
