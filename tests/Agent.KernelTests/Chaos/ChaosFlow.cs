using System.ComponentModel;
using System.Net;
using System.Net.Sockets;
using Agent.TestNet;

namespace Agent.KernelTests.Chaos;

/// <summary>Numbered packets of one kind between two ends, as long as a test lasts, and an account of them.</summary>
/// <param name="name">For a person.</param>
/// <param name="isAllowed">What the policy says of it, whatever happens.</param>
internal abstract class ChaosFlow(string name, bool isAllowed) : IDisposable
{
    public string Name => name;

    public bool IsAllowed => isAllowed;

    /// <summary>
    /// Of an allowed session, what came back to its beginning; otherwise what reached the other end.
    /// </summary>
    public FloodStream Account { get; } = new();

    /// <summary>A session whose packets wait for each other comes back as late as its timers say.</summary>
    public virtual bool IsRetransmitted => false;

    /// <summary>Null: nothing went wrong that no policy would do.</summary>
    public virtual string? Complaint => null;

    /// <summary>Sends the next packet. A device that is away swallows it, and it does not count.</summary>
    public void Send()
    {
        Span<byte> record = stackalloc byte[FloodStream.RecordLength];
        Account.Stamp(record);
        try
        {
            if (TrySend(record))
            {
                Account.CountSent();
            }
        }
        catch (Exception e) when (e is SocketException or Win32Exception or ObjectDisposedException)
        {
            // No device, no route, a wire that is being exchanged.
        }
    }

    public abstract void Dispose();

    /// <returns>Whether it was sent.</returns>
    protected abstract bool TrySend(ReadOnlySpan<byte> record);

    public override string ToString() => name;
}

/// <summary>One UDP session that lives all the time: the far end answers.</summary>
internal sealed class LivingUdp : ChaosFlow
{
    private readonly Socket near;
    private readonly Socket far;

    public LivingUdp(string name, bool isAllowed, UdpPath path)
        : base(name, isAllowed)
    {
        near = path.Client.OpenUdp(path.ClientAddress.Address, path.ClientAddress.Port);
        far = path.Server.OpenUdp(path.ServerAddress.Address, path.ServerAddress.Port);
        near.Connect(far.LocalEndPoint!);
        far.Connect(near.LocalEndPoint!);
        _ = ReceiveAsync(far, record =>
        {
            if (!isAllowed)
            {
                Account.Arrived(record);
            }

            far.Send(record); // also of what is forbidden: an answer would open it from the other side
        });
        _ = ReceiveAsync(near, record =>
        {
            if (isAllowed)
            {
                Account.Arrived(record);
            }
        });
    }

    public override void Dispose()
    {
        near.Dispose();
        far.Dispose();
    }

    protected override bool TrySend(ReadOnlySpan<byte> record) => near.Send(record) > 0;

    private static async Task ReceiveAsync(Socket socket, Action<byte[]> arrived)
    {
        byte[] buffer = new byte[2048];
        while (true)
        {
            try
            {
                if (await socket.ReceiveAsync(buffer) == FloodStream.RecordLength)
                {
                    arrived(buffer[..FloodStream.RecordLength]);
                }
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.OperationAborted)
            {
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(1); // an error of the way, told once
            }
        }
    }
}

/// <summary>One TCP connection that lives all the time; the server sends back what it gets.</summary>
internal sealed class LivingTcp : ChaosFlow
{
    private readonly TcpStream stream;
    private volatile string? complaint;

    private LivingTcp(string name, TcpStream stream)
        : base(name, isAllowed: true)
    {
        this.stream = stream;
        stream.Client.Blocking = false;
        _ = ReceiveAsync(stream.Server, stream.Server.Send);
        _ = ReceiveAsync(stream.Client, Count);
    }

    public override bool IsRetransmitted => true;

    public override string? Complaint => complaint;

    public static async Task<LivingTcp> OpenAsync(string name, NetworkEndpoint from, NetworkEndpoint to, bool v4)
    {
        TcpStream? stream = await Probe.ConnectAsync(
            new TcpRoute(from, new IPEndPoint(v4 ? to.V4 : to.V6, 22), to), Probe.PassWait);
        return new LivingTcp(name, stream ?? throw new InvalidOperationException($"{name}: no connection"));
    }

    public override void Dispose() => stream.Dispose();

    protected override bool TrySend(ReadOnlySpan<byte> record)
    {
        try
        {
            int sent = stream.Client.Send(record);
            complaint ??= sent == record.Length ? null : "part of a record was sent";
            return true;
        }
        catch (SocketException full) when (full.SocketErrorCode == SocketError.WouldBlock)
        {
            return false; // what it holds is on its way
        }
    }

    private int Count(byte[] records)
    {
        for (int at = 0; at < records.Length; at += FloodStream.RecordLength)
        {
            Account.Arrived(records.AsSpan(at, FloodStream.RecordLength));
        }

        return records.Length;
    }

    private async Task ReceiveAsync(Socket socket, Func<byte[], int> arrived)
    {
        byte[] buffer = new byte[64 << 10];
        int held = 0;
        try
        {
            while (await socket.ReceiveAsync(buffer.AsMemory(held)) is > 0 and var count)
            {
                held += count;
                int whole = held / FloodStream.RecordLength * FloodStream.RecordLength;
                arrived(buffer[..whole]);
                buffer.AsSpan(whole, held - whole).CopyTo(buffer);
                held -= whole;
            }

            complaint ??= "it was closed";
        }
        catch (ObjectDisposedException)
        {
            // The test is over.
        }
        catch (SocketException e)
        {
            complaint ??= e.SocketErrorCode == SocketError.OperationAborted ? null : $"it was cut: {e.Message}";
        }
    }
}

/// <summary>Packets that each open a session of their own: a source port that was not used before.</summary>
/// <param name="name">For a person.</param>
/// <param name="isAllowed">What the policy says of it.</param>
/// <param name="sender">Whose wire they leave from.</param>
/// <param name="source">Who they say they are from.</param>
/// <param name="receiver">Whose wire is watched.</param>
/// <param name="target">Where they go.</param>
/// <param name="isTcp">Segments with SYN, otherwise datagrams.</param>
internal sealed class FreshSessions(
    string name, bool isAllowed, NetworkEndpoint sender, IPAddress source, NetworkEndpoint receiver, IPEndPoint target,
    bool isTcp) : ChaosFlow(name, isAllowed)
{
    private const int UdpHeaderBytes = 8;
    private const int TcpHeaderBytes = 20;

    private static int last;

    /// <summary>Known again by it among all that is on a wire.</summary>
    private readonly byte[] tag = [0x5c, 0x4a, .. BitConverter.GetBytes(Interlocked.Increment(ref last))];

    public NetworkEndpoint Receiver => receiver;

    /// <summary>To be called with every frame on the receiver's wire.</summary>
    public void See(ReceivedPacket packet)
    {
        int header = isTcp ? TcpHeaderBytes : UdpHeaderBytes;
        ReadOnlySpan<byte> segment = packet.Transport.Span;
        if (packet.Protocol == (isTcp ? 6 : 17) && segment.Length == header + tag.Length + FloodStream.RecordLength
            && segment[header..].StartsWith(tag))
        {
            Account.Arrived(segment[(header + tag.Length)..]);
        }
    }

    public override void Dispose()
    {
    }

    protected override bool TrySend(ReadOnlySpan<byte> record)
    {
        int port = PortNumbers.Next();
        byte[] payload = [.. tag, .. record];
        byte[] packet = isTcp
            ? Packets.Tcp(new IPEndPoint(source, port), target, TcpFlags.Syn, (uint)port << 16, 0, payload)
            : Packets.Udp(source, target.Address, port, target.Port, payload);
        sender.Wire.Send(Packets.FrameOf(sender.HostMac, sender.Mac, packet));
        return true;
    }
}
