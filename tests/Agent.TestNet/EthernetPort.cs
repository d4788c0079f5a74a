using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Agent.TestNet;

/// <summary>The wire behind a device: sends any frame, and sees every frame that arrives whoever listens.</summary>
/// <remarks>An AF_PACKET socket; one thread reads, so that any number of probes may wait at once.</remarks>
public sealed unsafe class EthernetPort : IDisposable
{
    private const byte OutgoingPacket = 4;
    private const int SocketLevel = 1;
    private const int ReceiveBufferForced = 33;
    private const int PollMilliseconds = 50;
    private const int DontWait = 0x40;

    private readonly int descriptor;
    private readonly ConcurrentDictionary<long, Action<byte[]>> subscribers = new();
    private readonly Thread reader;
    private readonly Lock gate = new();
    private long nextSubscriber;
    private bool closed;
    private volatile bool stopping;

    private EthernetPort(int descriptor)
    {
        this.descriptor = descriptor;
        reader = new Thread(Read) { IsBackground = true, Name = "ethernet-port" };
        reader.Start();
    }

    internal static EthernetPort Open(NetNamespace place, string device) => new(place.Run(() => Attach(device)));

    /// <summary>Puts a frame on the wire as it is.</summary>
    public void Send(byte[] frame)
    {
        ArgumentNullException.ThrowIfNull(frame);
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            fixed (byte* data = frame)
            {
                LinuxCalls.Require((int)LinuxCalls.Send(descriptor, data, (nuint)frame.Length, 0), "send");
            }
        }
    }

    /// <summary>Calls back with every incoming frame until the result is disposed.</summary>
    public IDisposable Subscribe(Action<byte[]> onFrame)
    {
        long key = Interlocked.Increment(ref nextSubscriber);
        subscribers[key] = onFrame;
        return new Subscription(subscribers, key);
    }

    public void Dispose()
    {
        stopping = true;
        reader.Join();
    }

    private static int Attach(string device)
    {
        uint index = LinuxCalls.InterfaceIndex(device);
        if (index == 0)
        {
            throw new InvalidOperationException($"no device {device}: {Marshal.GetLastPInvokeErrorMessage()}");
        }

        int created = LinuxCalls.Require(
            LinuxCalls.OpenSocket(
                LinuxCalls.PacketFamily, LinuxCalls.RawType | LinuxCalls.CloseOnExec, LinuxCalls.AllProtocols),
            "socket");
        LinuxCalls.LinkLayerAddress address = new()
        {
            Family = LinuxCalls.PacketFamily,
            Protocol = LinuxCalls.AllProtocols,
            InterfaceIndex = (int)index,
        };
        LinuxCalls.Require(LinuxCalls.Bind(created, &address, (uint)sizeof(LinuxCalls.LinkLayerAddress)), "bind");
        int size = 8 << 20;
        _ = LinuxCalls.SetOption(created, SocketLevel, ReceiveBufferForced, &size, sizeof(int));
        return created;
    }

    private void Read()
    {
        byte[] buffer = new byte[65_600];
        LinuxCalls.PollEntry entry = new() { Descriptor = descriptor, Events = LinuxCalls.PollIn };
        fixed (byte* data = buffer)
        {
            while (!stopping)
            {
                if (LinuxCalls.Poll(&entry, 1, PollMilliseconds) <= 0)
                {
                    continue;
                }

                LinuxCalls.LinkLayerAddress from;
                uint length = (uint)sizeof(LinuxCalls.LinkLayerAddress);
                nint count = LinuxCalls.ReceiveFrom(descriptor, data, (nuint)buffer.Length, DontWait, &from, &length);
                // A device that went down or away reports an error once; it may come up again.
                if (count > 0 && from.PacketType != OutgoingPacket && !subscribers.IsEmpty)
                {
                    Deliver(buffer[..(int)count]);
                }
            }
        }

        lock (gate)
        {
            closed = true;
            _ = LinuxCalls.Close(descriptor);
        }
    }

    private void Deliver(byte[] frame)
    {
        foreach (Action<byte[]> subscriber in subscribers.Values)
        {
            subscriber(frame);
        }
    }

    private sealed class Subscription(ConcurrentDictionary<long, Action<byte[]>> all, long key) : IDisposable
    {
        public void Dispose() => all.TryRemove(key, out _);
    }
}
