using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Sockets;

namespace Agent.TestNet;

/// <summary>One record of a flood that arrived.</summary>
/// <param name="Sequence">From 0, without gaps at the sender.</param>
/// <param name="SentAt"><see cref="Stopwatch.GetTimestamp"/> just before the system call that sent it.</param>
/// <param name="ReceivedAt">The same clock, when the receiver had read it.</param>
public readonly record struct FloodArrival(long Sequence, long SentAt, long ReceivedAt);

/// <summary>
/// One direction of a flood: numbered records at a steady rate, and an exact account of the arrivals.
/// </summary>
/// <remarks>
/// "Not one packet after the acknowledgement" is <see cref="SentAfter"/> of the moment of the acknowledgement: the
/// time of sending travels in the record, so that no scheduling of the receiver can blur it.
/// </remarks>
public sealed class FloodStream
{
    public const int RecordLength = 16;

    private readonly List<FloodArrival> arrivals = [];
    private readonly List<long> completed = [];
    private readonly Lock gate = new();
    private long sent;

    /// <summary>Records sent so far.</summary>
    public long Sent => Interlocked.Read(ref sent);

    public long Received
    {
        get
        {
            lock (gate)
            {
                return arrivals.Count;
            }
        }
    }

    /// <summary>-1 before the first.</summary>
    public long FirstSequence => At(a => a[0].Sequence);

    /// <summary>-1 before the first.</summary>
    public long LastSequence => At(a => a[^1].Sequence);

    public FloodArrival[] Arrivals()
    {
        lock (gate)
        {
            return [.. arrivals];
        }
    }

    /// <summary>Arrivals that were sent later than a <see cref="Stopwatch"/> timestamp.</summary>
    public FloodArrival[] SentAfter(long timestamp) => [.. Arrivals().Where(a => a.SentAt > timestamp)];

    /// <summary>Arrivals whose sending began and ended in an interval of <see cref="Stopwatch"/> timestamps.</summary>
    /// <remarks>Between the stamp and the call a sender may be interrupted as long as the scheduler likes.</remarks>
    public FloodArrival[] SentBetween(long after, long before)
    {
        lock (gate)
        {
            return [.. arrivals.Where(a =>
                a.SentAt > after && a.Sequence < completed.Count && completed[(int)a.Sequence] < before)];
        }
    }

    /// <summary>Numbers below the count of those sent that never arrived.</summary>
    public long[] Missing()
    {
        HashSet<long> seen = [.. Arrivals().Select(a => a.Sequence)];
        return [.. Enumerable.Range(0, (int)Sent).Select(s => (long)s).Where(s => !seen.Contains(s))];
    }

    /// <summary>
    /// Numbers whose sending began and ended in an interval of <see cref="Stopwatch"/> timestamps, and that never
    /// arrived.
    /// </summary>
    public long[] LostBetween(long after, long before)
    {
        HashSet<long> seen = [.. Arrivals().Select(a => a.Sequence)];
        lock (gate)
        {
            // One thread sends: a record is begun when the one before it is out.
            return [.. Enumerable.Range(1, Math.Max(0, completed.Count - 1))
                .Where(s => completed[s - 1] > after && completed[s] < before && !seen.Contains(s))
                .Select(s => (long)s)];
        }
    }

    /// <summary>Writes the number and the time of the record that is sent next.</summary>
    public void Stamp(Span<byte> record)
    {
        BinaryPrimitives.WriteInt64BigEndian(record, Sent);
        BinaryPrimitives.WriteInt64BigEndian(record[8..], Stopwatch.GetTimestamp());
    }

    /// <summary>The record that was stamped last is out.</summary>
    public void CountSent()
    {
        lock (gate)
        {
            completed.Add(Stopwatch.GetTimestamp());
        }

        Interlocked.Increment(ref sent);
    }

    /// <summary>A record has come.</summary>
    public void Arrived(ReadOnlySpan<byte> record)
    {
        long now = Stopwatch.GetTimestamp();
        FloodArrival arrival = new(
            BinaryPrimitives.ReadInt64BigEndian(record), BinaryPrimitives.ReadInt64BigEndian(record[8..]), now);
        lock (gate)
        {
            arrivals.Add(arrival);
        }
    }

    private long At(Func<List<FloodArrival>, long> read)
    {
        lock (gate)
        {
            return arrivals.Count == 0 ? -1 : read(arrivals);
        }
    }
}

[Flags]
public enum FloodDirections
{
    None = 0,
    Forward = 1,
    Backward = 2,
    Both = Forward | Backward,
}

/// <summary>A steady stream of numbered records through one session, in one direction or both.</summary>
public sealed class Flood : IDisposable
{
    private const int WaitMicroseconds = 20_000;

    /// <summary>
    /// A session that does not open (it is denied) is flooded from both ends all the same, after this.
    /// </summary>
    private static readonly TimeSpan OpeningTime = Pace.Scaled(TimeSpan.FromMilliseconds(500));

    /// <summary>SOL_SOCKET and SO_RCVBUFFORCE of asm-generic/socket.h.</summary>
    private const int SocketLevel = 1;
    private const int ForcedReceiveBuffer = 33;

    private readonly Socket near;
    private readonly Socket far;
    private readonly bool ownsSockets;
    private readonly List<Thread> senders = [];
    private readonly List<Thread> receivers = [];
    private volatile bool sending = true;
    private volatile bool receiving = true;

    private Flood(Socket near, Socket far, bool ownsSockets)
    {
        this.near = near;
        this.far = far;
        this.ownsSockets = ownsSockets;
    }

    /// <summary>From the client to the server.</summary>
    public FloodStream Forward { get; } = new();

    /// <summary>From the server to the client.</summary>
    public FloodStream Backward { get; } = new();

    /// <summary>Datagrams between two new sockets: one session when both directions are on.</summary>
    public static Flood StartUdp(UdpPath path, int packetsPerSecond, FloodDirections directions = FloodDirections.Both)
    {
        ArgumentNullException.ThrowIfNull(path);
        Socket near = path.Client.OpenUdp(path.ClientAddress.Address, path.ClientAddress.Port);
        Socket far = path.Server.OpenUdp(path.ServerAddress.Address, path.ServerAddress.Port);
        ForceReceiveBuffer(near);
        ForceReceiveBuffer(far);
        near.Connect(far.LocalEndPoint!);
        far.Connect(near.LocalEndPoint!);
        return new Flood(near, far, ownsSockets: true).Start(packetsPerSecond, directions, ReceiveDatagrams);
    }

    /// <summary>
    /// Room for seconds of a flood, whatever net.core.rmem_max says: a receiver that was not scheduled for a while must
    /// not look like a filter that dropped.
    /// </summary>
    private static void ForceReceiveBuffer(Socket socket) =>
        socket.SetRawSocketOption(SocketLevel, ForcedReceiveBuffer, BitConverter.GetBytes(8 << 20));

    /// <summary>
    /// Writers on an established connection. The stream stays the caller's, and is not to be used otherwise.
    /// </summary>
    public static Flood StartTcp(
        TcpStream stream, int recordsPerSecond, FloodDirections directions = FloodDirections.Both)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return new Flood(stream.Client, stream.Server, ownsSockets: false)
            .Start(recordsPerSecond, directions, ReceiveStream);
    }

    /// <summary>Ends the sending, lets what is under way arrive, and ends the receiving.</summary>
    public async Task StopAsync(TimeSpan? drain = null)
    {
        sending = false;
        await Task.Run(() => senders.ForEach(t => t.Join()));
        await Task.Delay(drain ?? Pace.Scaled(TimeSpan.FromMilliseconds(100)));
        receiving = false;
        await Task.Run(() => receivers.ForEach(t => t.Join()));
    }

    public void Dispose()
    {
        sending = false;
        receiving = false;
        senders.ForEach(t => t.Join());
        receivers.ForEach(t => t.Join());
        if (ownsSockets)
        {
            near.Dispose();
            far.Dispose();
        }
    }

    private Flood Start(int perSecond, FloodDirections directions, Action<Socket, FloodStream, Func<bool>> receive)
    {
        Func<bool> sessionIsOpen = () => true;
        if (directions == FloodDirections.Both)
        {
            // The client opens the session: a datagram of the server that came before would be a session of its own.
            long began = Stopwatch.GetTimestamp();
            sessionIsOpen = () => Forward.Received > 0 || Stopwatch.GetElapsedTime(began) > OpeningTime;
        }

        if (directions.HasFlag(FloodDirections.Forward))
        {
            Launch(far, Forward, () => SendSteadily(near, Forward, perSecond, () => true), receive);
        }

        if (directions.HasFlag(FloodDirections.Backward))
        {
            Launch(near, Backward, () => SendSteadily(far, Backward, perSecond, sessionIsOpen), receive);
        }

        return this;
    }

    private void Launch(
        Socket to, FloodStream stream, ThreadStart send, Action<Socket, FloodStream, Func<bool>> receive)
    {
        Thread receiver = new(() => receive(to, stream, () => receiving)) { IsBackground = true };
        Thread sender = new(send) { IsBackground = true };
        receivers.Add(receiver);
        senders.Add(sender);
        receiver.Start();
        sender.Start();
    }

    private void SendSteadily(Socket socket, FloodStream stream, int perSecond, Func<bool> mayBegin)
    {
        byte[] record = new byte[FloodStream.RecordLength];
        while (sending && !mayBegin())
        {
            Thread.Sleep(1);
        }

        long began = Stopwatch.GetTimestamp();
        try
        {
            while (sending)
            {
                double due = Stopwatch.GetElapsedTime(began).TotalSeconds * perSecond;
                while (sending && stream.Sent < due)
                {
                    stream.Stamp(record);
                    if (!SendWhole(socket, record))
                    {
                        return;
                    }

                    stream.CountSent();
                }

                Thread.Sleep(1);
            }
        }
        catch (SocketException)
        {
            // The session was reset; what arrived until then is the account.
        }
    }

    /// <summary>A stopped TCP session fills its buffer: wait, but not longer than the flood lasts.</summary>
    private bool SendWhole(Socket socket, byte[] record)
    {
        int done = 0;
        while (done < record.Length)
        {
            if (!socket.Poll(WaitMicroseconds, SelectMode.SelectWrite))
            {
                if (!sending)
                {
                    return false;
                }

                continue;
            }

            done += socket.Send(record, done, record.Length - done, SocketFlags.None);
        }

        return true;
    }

    private static void ReceiveDatagrams(Socket socket, FloodStream stream, Func<bool> goOn)
    {
        byte[] buffer = new byte[2048];
        while (goOn())
        {
            if (socket.Poll(WaitMicroseconds, SelectMode.SelectRead)
                && socket.Receive(buffer) == FloodStream.RecordLength)
            {
                stream.Arrived(buffer);
            }
        }
    }

    private static void ReceiveStream(Socket socket, FloodStream stream, Func<bool> goOn)
    {
        byte[] buffer = new byte[64 << 10];
        int held = 0;
        try
        {
            while (goOn())
            {
                if (!socket.Poll(WaitMicroseconds, SelectMode.SelectRead))
                {
                    continue;
                }

                int count = socket.Receive(buffer, held, buffer.Length - held, SocketFlags.None);
                if (count == 0)
                {
                    return;
                }

                held += count;
                int whole = held / FloodStream.RecordLength * FloodStream.RecordLength;
                for (int at = 0; at < whole; at += FloodStream.RecordLength)
                {
                    stream.Arrived(buffer.AsSpan(at, FloodStream.RecordLength));
                }

                buffer.AsSpan(whole, held - whole).CopyTo(buffer);
                held -= whole;
            }
        }
        catch (SocketException)
        {
            // Reset by the other end.
        }
    }
}
