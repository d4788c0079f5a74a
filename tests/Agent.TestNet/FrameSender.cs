using System.Diagnostics;

namespace Agent.TestNet;

/// <summary>What a burst took.</summary>
/// <param name="Frames">Frames sent.</param>
/// <param name="Processor">Processor time of the sending thread, softirqs that ran in its context included.</param>
/// <param name="Wall">Time that passed.</param>
public readonly record struct BurstCost(int Frames, TimeSpan Processor, TimeSpan Wall)
{
    /// <summary>Of processor time, per frame.</summary>
    public double Nanoseconds => Processor.TotalNanoseconds / Frames;
}

/// <summary>
/// Puts frames on a device as fast as one thread can: an AF_PACKET socket past the queueing discipline.
/// </summary>
/// <remarks>
/// Over a veth pair the whole way of a frame (the other end's receive softirq, forwarding, the next veth, and what its
/// far end does with it) runs before the sender's system call returns, on its CPU and in its context. A kernel without
/// CONFIG_IRQ_TIME_ACCOUNTING counts that as the thread's own time; with it, only the time that passes tells.
/// </remarks>
public sealed unsafe class FrameSender : IDisposable
{
    private const int PacketLevel = 263; // SOL_PACKET
    private const int QueueBypass = 20; // PACKET_QDISC_BYPASS
    private const int FramesPerCall = 256;

    private readonly int descriptor;

    private FrameSender(int descriptor) => this.descriptor = descriptor;

    public static FrameSender Open(NetNamespace place, string device)
    {
        ArgumentNullException.ThrowIfNull(place);
        return new FrameSender(place.Run(() => Attach(device)));
    }

    /// <summary>Keeps the calling thread on one CPU.</summary>
    public static void PinThread(int cpu)
    {
        ulong mask = 1UL << cpu;
        LinuxCalls.Require(LinuxCalls.SetAffinity(0, sizeof(ulong), &mask), "sched_setaffinity");
    }

    /// <summary>Sends that many frames, the burst from its start again and again.</summary>
    /// <param name="burst">What to send.</param>
    /// <param name="frames">How many.</param>
    /// <param name="first">The first one's place in the burst.</param>
    public BurstCost Send(FrameBurst burst, int frames, int first = 0)
    {
        ArgumentNullException.ThrowIfNull(burst);
        long began = Stopwatch.GetTimestamp();
        TimeSpan processor = CpuClock.OfThread;
        int at = first;
        for (int left = frames; left > 0;)
        {
            int count = Math.Min(Math.Min(left, FramesPerCall), burst.Count - at);
            int sent = LinuxCalls.Require(
                LinuxCalls.SendMany(descriptor, burst.HeaderOf(at), (uint)count, 0), "sendmmsg");
            at = (at + sent) % burst.Count;
            left -= sent;
        }

        return new BurstCost(frames, CpuClock.OfThread - processor, Stopwatch.GetElapsedTime(began));
    }

    public void Dispose() => _ = LinuxCalls.Close(descriptor);

    private static int Attach(string device)
    {
        int socket = LinuxCalls.Require(
            LinuxCalls.OpenSocket(LinuxCalls.PacketFamily, LinuxCalls.RawType | LinuxCalls.CloseOnExec, 0), "socket");
        LinuxCalls.LinkLayerAddress address = new()
        {
            Family = LinuxCalls.PacketFamily,
            InterfaceIndex = (int)LinuxCalls.InterfaceIndex(device), // protocol 0: it receives nothing
        };
        LinuxCalls.Require(
            LinuxCalls.Bind(socket, &address, (uint)sizeof(LinuxCalls.LinkLayerAddress)), "bind");
        int on = 1;
        LinuxCalls.Require(LinuxCalls.SetOption(socket, PacketLevel, QueueBypass, &on, sizeof(int)), "setsockopt");
        return socket;
    }
}
