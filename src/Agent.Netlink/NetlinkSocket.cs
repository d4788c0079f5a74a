using System.Runtime.InteropServices;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Agent.Netlink;

/// <summary>What a receive came to.</summary>
public enum ReceiveResult
{
    /// <summary>A whole datagram from the kernel.</summary>
    Datagram,

    /// <summary>Nothing arrived in time.</summary>
    Timeout,

    /// <summary>ENOBUFS: the kernel dropped messages for this socket. What it knew is to be read again.</summary>
    Overrun,

    /// <summary><see cref="NetlinkSocket.Interrupt"/> was called.</summary>
    Interrupted,
}

/// <summary>A bound AF_NETLINK socket, synchronous. One thread sends and receives; any thread may interrupt.</summary>
/// <remarks>The only file that calls libc. Tmds.LibC has the calls; netlink's own constants are below.</remarks>
public sealed unsafe partial class NetlinkSocket : IDisposable
{
    /// <summary>linux/netlink.h, NETLINK_*: socket options at SOL_NETLINK.</summary>
    private const int SolNetlink = 270;
    private const int AddMembership = 1;
    private const int CapAck = 10;
    private const int ExtAck = 11;
    private const int StrictCheck = 12;
    private const int AfNetlink = 16;

    /// <summary>asm-generic/socket.h.</summary>
    private const int SoSndbuf = 7;
    private const int SoRcvbuf = 8;
    private const int SoSndbufforce = 32;
    private const int SoRcvbufforce = 33;

    /// <summary>poll.h.</summary>
    private const short PollIn = 1;

    private readonly Lock closing = new();
    private readonly int fd;
    private readonly int wakeFd;
    private byte[] buffer = new byte[32 * 1024];
    private int receivedBytes;
    private int sendBufferBytes;
    private bool disposed;

    /// <param name="protocol">linux/netlink.h NETLINK_*.</param>
    /// <param name="receiveBufferBytes">What the kernel may queue; acks of a large refused batch need room.</param>
    public NetlinkSocket(NetlinkProtocol protocol, int receiveBufferBytes = 4 << 20)
    {
        fd = Check(socket(AfNetlink, SOCK_RAW | SOCK_CLOEXEC, (int)protocol), "socket");
        try
        {
            wakeFd = Check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
            Option(SolNetlink, ExtAck, 1, "NETLINK_EXT_ACK");
            Option(SolNetlink, CapAck, 1, "NETLINK_CAP_ACK");
            if (protocol == NetlinkProtocol.Route)
            {
                Option(SolNetlink, StrictCheck, 1, "NETLINK_GET_STRICT_CHK");
            }

            SetBuffer(SoRcvbufforce, SoRcvbuf, receiveBufferBytes);
            SockaddrNl address = new() { Family = AfNetlink };
            // SAFETY: bind copies the twelve bytes during the call.
            Check(bind(fd, (sockaddr*)&address, sizeof(SockaddrNl)), "bind");
            socklen_t size = sizeof(SockaddrNl);
            Check(getsockname(fd, (sockaddr*)&address, &size), "getsockname");
            PortId = address.PortId;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>This socket's netlink address. Ownership of a table is by this number.</summary>
    public uint PortId { get; }

    /// <summary>The datagram of the last receive that returned <see cref="ReceiveResult.Datagram"/>.</summary>
    public ReadOnlySpan<byte> Received => buffer.AsSpan(0, receivedBytes);

    public void Join(uint group) => Option(SolNetlink, AddMembership, (int)group, "NETLINK_ADD_MEMBERSHIP");

    /// <summary>Sends one datagram to the kernel, which handles it before this returns.</summary>
    /// <returns>Null, or why nothing of it was handled (EMSGSIZE, ENOBUFS).</returns>
    public KernelError? Send(ReadOnlySpan<byte> datagram)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        EnsureSendBuffer(datagram.Length);
        SockaddrNl kernel = new() { Family = AfNetlink };
        while (true)
        {
            // SAFETY: the span is pinned and the address is on the stack; sendto keeps neither.
            fixed (byte* bytes = datagram)
            {
                ssize_t sent = sendto(fd, bytes, datagram.Length, 0, (sockaddr*)&kernel, sizeof(SockaddrNl));
                if ((long)sent >= 0)
                {
                    return null;
                }
            }

            int errno = Marshal.GetLastPInvokeError();
            if (errno != KernelError.Eintr)
            {
                NetlinkTally.Error(errno);
                return new KernelError(errno, "send");
            }
        }
    }

    /// <summary>Waits for one datagram from the kernel; it is then in <see cref="Received"/>.</summary>
    /// <param name="timeout">Zero: what has already arrived. <see cref="Timeout.InfiniteTimeSpan"/>: without
    /// end.</param>
    public ReceiveResult Receive(TimeSpan timeout)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        while (true)
        {
            if (timeout != TimeSpan.Zero && Wait(timeout) is { } reason)
            {
                return reason;
            }

            long length = ReceiveFrom(0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT, out _);
            if (length > buffer.Length)
            {
                buffer = new byte[Math.Max(length, buffer.Length * 2L)];
            }

            uint sender = 0;
            if (length >= 0)
            {
                length = ReceiveFrom(buffer.Length, MSG_TRUNC | MSG_DONTWAIT, out sender);
            }

            if (length < 0)
            {
                switch (unchecked((int)-length))
                {
                    case KernelError.Eagain when timeout == TimeSpan.Zero: return ReceiveResult.Timeout;
                    case KernelError.Eagain or KernelError.Eintr: continue;
                    case KernelError.Enobufs:
                        NetlinkTally.Overrun();
                        return ReceiveResult.Overrun;
                    default: throw new NetlinkException("recvfrom", new KernelError(unchecked((int)-length)));
                }
            }

            if (length > buffer.Length)
            {
                return ReceiveResult.Overrun; // another thread raced the peek: the datagram was cut, hence lost
            }

            if (sender == 0)
            {
                receivedBytes = (int)length;
                NetlinkTally.Received(receivedBytes);
                return ReceiveResult.Datagram;
            }
        }
    }

    /// <summary>Makes the present or the next waiting receive return <see cref="ReceiveResult.Interrupted"/>.</summary>
    public void Interrupt()
    {
        lock (closing)
        {
            if (!disposed)
            {
                ulong one = 1;
                // SAFETY: eight bytes of this frame. A full counter means that a wake-up is already pending.
                _ = write(wakeFd, &one, sizeof(ulong));
            }
        }
    }

    public void Dispose()
    {
        lock (closing) // an interrupt must not write to a number that another file got meanwhile
        {
            if (!disposed)
            {
                disposed = true;
                _ = close(fd);
                _ = wakeFd > 0 ? close(wakeFd) : 0;
            }
        }
    }

    /// <summary>linux/netlink.h struct sockaddr_nl.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct SockaddrNl
    {
        public ushort Family;
        public ushort Padding;
        public uint PortId;
        public uint Groups;
    }

    /// <summary>poll.h struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(PollFd* fds, nuint count, int timeoutMs);

    /// <returns>Null if the netlink socket is readable.</returns>
    private ReceiveResult? Wait(TimeSpan timeout)
    {
        PollFd* fds = stackalloc PollFd[2];
        fds[0] = new PollFd { Fd = fd, Events = PollIn };
        fds[1] = new PollFd { Fd = wakeFd, Events = PollIn };
        int timeoutMs = timeout < TimeSpan.Zero
            ? -1 : (int)Math.Min(Math.Ceiling(timeout.TotalMilliseconds), int.MaxValue);
        // SAFETY: two entries on this frame, two announced.
        int ready = Poll(fds, 2, timeoutMs);
        if (ready < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            return errno == KernelError.Eintr ? null : throw new NetlinkException("poll", new KernelError(errno));
        }

        if (fds[1].Returned != 0)
        {
            ulong count;
            // SAFETY: eight bytes of this frame.
            _ = read(wakeFd, &count, sizeof(ulong));
            return ReceiveResult.Interrupted;
        }

        return ready == 0 ? ReceiveResult.Timeout : null;
    }

    /// <returns>The datagram's true length, or minus errno.</returns>
    private long ReceiveFrom(int capacity, int flags, out uint sender)
    {
        SockaddrNl from = default;
        socklen_t size = sizeof(SockaddrNl);
        // SAFETY: the buffer is pinned and at least `capacity` long; recvfrom keeps nothing.
        fixed (byte* bytes = buffer)
        {
            ssize_t length = recvfrom(fd, bytes, capacity, flags, (sockaddr*)&from, &size);
            sender = from.PortId;
            return (long)length >= 0 ? (long)length : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>net/netlink/af_netlink.c: a datagram must be at most the send buffer less 32 bytes.</summary>
    private void EnsureSendBuffer(int bytes)
    {
        const int defaultBytes = 128 * 1024; // below the usual wmem_default of 212,992
        if (bytes > Math.Max(defaultBytes, sendBufferBytes))
        {
            SetBuffer(SoSndbufforce, SoSndbuf, bytes + 4096);
            sendBufferBytes = bytes;
        }
    }

    /// <summary>
    /// The FORCE form passes rmem_max and wmem_max, and wants CAP_NET_ADMIN in the first user namespace.
    /// </summary>
    private void SetBuffer(int forceOption, int option, int bytes)
    {
        if (setsockopt(fd, SOL_SOCKET, forceOption, &bytes, sizeof(int)) < 0)
        {
            Option(SOL_SOCKET, option, bytes, "SO_SNDBUF or SO_RCVBUF");
        }
    }

    private void Option(int level, int option, int value, string name) =>
        Check(setsockopt(fd, level, option, &value, sizeof(int)), name);

    private static int Check(int result, string operation) =>
        result >= 0 ? result : throw new NetlinkException(operation, new KernelError(Marshal.GetLastPInvokeError()));
}
